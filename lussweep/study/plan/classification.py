"""Plans the searches of cells and detector, and the evaluation of cells on the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lussweep.study.coordinates import Draw
from lussweep.study.keys import Section, derive_seed
from lussweep.study.plan.builder import SHARES_A_GPU, PlanBuilder, plugin_fields
from lussweep.study.plan.steps import Workers
from lussweep.study.spec import CLASSIFIERS, ClassifierSpec, Recipe, SearchSpec

EVALUATE_VERSION = 2


def plan_search(
    builder: PlanBuilder,
    role: str,
    draw: Draw | None,
    recipe: Recipe,
    search: SearchSpec,
    classifier: ClassifierSpec,
    inputs: Mapping[str, str],
    place: str,
) -> str:
    """Add the trials of one search, and the step that chooses among them.

    `draw` is the cell's, None for the detector. Seeds depend on it and on `role`. `place` names
    the cell in the names of the steps.
    """
    seed = builder.study.seed
    coordinates = (draw.n_patients, draw.replicate) if draw else ()
    # An offset of 0 is left out, so that all variants without an offset have the same seeds.
    offset = ("offset", recipe.seed_offset) if recipe.seed_offset else ()
    val = builder.study.val_of(recipe).of_cohort(draw.n_patients if draw else None)
    shared = {
        "search_seed": derive_seed(seed, role, "search", *coordinates, *offset),
        "classifier": builder.fields(classifier),
        "recipe": Section(recipe.sources()),
        "val": builder.fields(val),
        "val_seed": derive_seed(seed, "val"),
        **builder.threads,
        **plugin_fields(CLASSIFIERS.plugin_of(classifier.kind)),
    }
    if recipe.labels == "shuffled":
        shared["labels_seed"] = derive_seed(seed, "labels", *coordinates)
    if recipe.frames != "whole":
        shared["frames"] = recipe.frames
    trials: dict[str, str] = {}
    workers = Workers(gpus=search.gpus_per_trial)
    for trial in range(1, search.n + 1):
        spec: dict[str, Any] = {
            "trial": trial,
            # The search up to this trial. A longer search then shares its first trials.
            "search": builder.fields(search, n_trials=trial),
            **shared,
            "seed": derive_seed(seed, role, "classifier", *coordinates, trial, *offset),
        }
        n_known = max(0, trial - search.n_concurrent) if search.learns else 0
        trial_inputs = {**inputs, **dict(list(trials.items())[:n_known])} if n_known else inputs
        name = f"trial {trial} {place}"
        trials[f"trial_{trial:03d}"] = builder.add(
            "trial", classifier.version, spec, trial_inputs, name, workers
        )
    chosen_by = {"select_by": search.select_by}
    return builder.add("search", search.version, chosen_by, trials, f"search {place}")


def plan_detector(builder: PlanBuilder) -> str:
    """Plan the search of the detector, once per plan. It trains on all training patients."""
    if builder.known_detector is None:
        builder.known_detector = plan_search(
            builder,
            "detector",
            None,
            Recipe(pos=("real",), neg=("real",)),
            builder.study.detector_search(),
            builder.study.detector_classifier(),
            {
                "train": builder.splits["train"],
                "val": builder.splits["val"],
                "cohort": builder.cohort(Draw(None, 1)),
            },
            "detector",
        )
    return builder.known_detector


def plan_evaluate(builder: PlanBuilder, search: str, recipe: Recipe, place: str) -> str:
    """Plan the evaluation of the classifier that `search` chooses. `place` names the cell."""
    classifier = builder.study.classifier
    spec: dict[str, Any] = {
        **builder.threads,
        "batch_size": classifier.eval_batch_size,
        "precision": classifier.precision,
    }
    if recipe.frames != "whole":
        spec["frames"] = recipe.frames
    inputs = {"search": search, "holdout": builder.splits["holdout"]}
    name = f"evaluate {place}"
    return builder.add("evaluate", EVALUATE_VERSION, spec, inputs, name, SHARES_A_GPU)
