"""Small studies of variants of known worth, with a classifier that trains in half a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d

from lussweep.backend.driver import run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.phantom import phantom_manifest
from lussweep.models.classifiers.network import Network, standardise
from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.results import collect_outcomes
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import (
    CLASSIFIERS,
    AnalysisSpec,
    AugmentSpec,
    ClassifierKind,
    ClassifierSpec,
    DataSpec,
    GridSpec,
    PhantomSpec,
    PreprocessSpec,
    Recipe,
    SearchSpec,
    StudySpec,
)

TINY = "tiny"


class Tiny(Network):
    """Two convolutions at a quarter of the size; the mean and the maximum of their maps."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 5, padding=2), nn.Conv2d(8, 16, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(16)])
        self.head = nn.Linear(32, 2)

    def embed(self, images_NSS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = avg_pool2d(standardise(images_NSS)[:, None], 2)
        for layer, norm in zip((self.first, self.second), self.norms, strict=True):
            maps = max_pool2d(torch.relu(norm(layer(maps))), 2)
        features = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        return features, self.head(features)


def build(hyperparameters: Mapping[str, Any], image_size: int) -> Tiny:
    return Tiny(image_size)


def add_tiny() -> None:
    """Add the classifier `tiny` to this process."""
    if TINY not in CLASSIFIERS:
        CLASSIFIERS[TINY] = ClassifierKind(SearchSpec, build)


VARIANTS = ("baseline", "oversample", "ideal", "doubled", "again", "memoriser", "unpaired")
N_PATIENTS = (8, 16, 32)


def study_of(seed: int) -> StudySpec:
    """One study of 63 cells. `unpaired` is the memoriser under other seeds than `oversample`."""
    add_tiny()
    return StudySpec(
        name="known",
        seed=seed,
        data=DataSpec(
            phantom=PhantomSpec(
                train_patients=96, val_patients=16, holdout_patients=40, frames_per_video=2
            ),
            preprocess=PreprocessSpec(image_size=64),
        ),
        classifier=ClassifierSpec(
            kind=TINY,
            n_epochs=4,
            images_per_epoch=256,
            batch_size=16,
            patience=4,
            batchnorm_momentum=0.1,
            augment=AugmentSpec(probability=0),
        ),
        search=SearchSpec(n_trials=1, learning_rates=(0.003,)),
        variants={
            "oversample": Recipe(pos=("real", "real"), neg=("real",)),
            "unpaired": Recipe(pos=("real", "copies"), neg=("real",), seed_offset=1),
        },
        analysis=AnalysisSpec(
            contrasts=(*AnalysisSpec().contrasts, ("unpaired", "oversample")), n_resamples=1000
        ),
        grid=GridSpec(n_patients=N_PATIENTS, replicates=3, variants=VARIANTS),
    )


def tables_of(study: StudySpec, folder: Path, *names: str) -> dict[str, list[dict[str, Any]]]:
    """Run a study of the phantom in this process; returns the rows of tables of its report."""
    torch.set_num_threads(1)
    study = study.with_embedders(weights_at_hand=False)
    assert study.data.phantom is not None
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    store = ArtifactStore(folder)
    progress = run_plan(plan, store, InlineExecutor(plan, Context(store, "cpu")))
    assert not progress.failed, progress.failed
    reported = Reported(folder, study, plan, store, str)
    collected = Collected(
        reported=reported, sections=SECTIONS, outcomes=collect_outcomes(reported, {})
    )
    return {name: collected.table(name).to_pylist() for name in names}
