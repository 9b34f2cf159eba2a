"""What every stage needs: its Context, and checks of the patients that it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from lussweep.data.cohort import of_class, patient_ids
from lussweep.data.external import ExternalImages
from lussweep.data.frames import read_index
from lussweep.errors import LeakageError
from lussweep.models.classifiers.network import Network, build_network
from lussweep.models.classifiers.search_space import TrialConfig
from lussweep.models.training.layout import channels_last
from lussweep.models.training.weights import read_weights
from lussweep.stages.link import Link, OwnProcess
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import BOTH_CLASSES, Step
from lussweep.study.plugins import Plugin
from lussweep.study.spec.classifiers import VGG


@dataclass(frozen=True)
class Context:
    """The store, files and device that a step uses. Nothing here enters a key."""

    store: ArtifactStore
    device: str = "auto"
    video_paths: Mapping[str, str] = field(default_factory=dict)
    """The file of each video, by the sha256 of the video."""
    weights: Path | None = None
    """A file of ImageNet's ResNet-34 in torchvision's format. If None, it is downloaded."""
    external: Mapping[str, ExternalImages] = field(default_factory=dict)
    """External images, by their sha256."""
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    plugins: tuple[Plugin, ...] = ()
    """Plugins whose entries the steps may use. Every process that runs a step loads them."""
    link: Link = field(default_factory=OwnProcess)

    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


Summary = dict[str, Any]
Stage = Callable[[Step, Context, Path], Summary]


def load_classifier(ref: str, context: Context) -> Network:
    """The best classifier of a search, on the context's device, in evaluation mode."""
    summary = context.store.record(ref)["summary"]
    hyperparameters = TrialConfig.of(summary["config"]).hyperparameters
    with torch.random.fork_rng(devices=[]):
        # Summaries of earlier versions name no kind, because `vgg` was the only one.
        model = build_network(summary.get("kind", VGG), hyperparameters, summary["image_size"])
    model.load_state_dict(read_weights(context.store.open(ref) / names.WEIGHTS))
    return channels_last(model, context.torch_device()).eval()


def refuse_overlap(where: str, first: Iterable[str], second: Iterable[str]) -> None:
    """Raises LeakageError that names the patients on both sides, if there are any."""
    both = sorted(set(first) & set(second))
    if both:
        raise LeakageError(f"patients in both {where}: {', '.join(both)}")


def split_index(step: Step, context: Context, split: str) -> pa.Table:
    """The frame index of a split. Raises LeakageError if it holds frames of another split."""
    index = read_index(context.store.open(step.inputs[split]))
    _only_split(index, split)
    return index


def cohort_frames(step: Step, context: Context, role: str = "cohort") -> pa.Table:
    """The frames of the cohort in a role. Raises LeakageError for patients outside the train
    split, and for pixels of an artifact that is not theirs."""
    cohort = tables.read_frames(context.store.open(step.inputs[role]) / names.COHORT)
    _only_split(cohort, "train")
    train = shards_of(split_index(step, context, "train"))
    drawn = shards_of(cohort)
    strangers = sorted(drawn.keys() - train.keys())
    if strangers:
        raise LeakageError(f"patients outside the train split: {', '.join(strangers)}")
    if mixed := sorted(patient for patient in drawn if drawn[patient] - train[patient]):
        raise LeakageError(f"the cohort's frames are not of its patients {', '.join(mixed)}")
    return cohort


def shards_of(frames: pa.Table) -> dict[str, set[str]]:
    """The artifacts that hold the pixels of each patient of an index."""
    places = frames.group_by(["patient_id", "shard"]).aggregate([]).to_pylist()
    shards: dict[str, set[str]] = {}
    for place in places:
        shards.setdefault(place["patient_id"], set()).add(place["shard"])
    return shards


def cohort_class(step: Step, context: Context, label: str, role: str = "cohort") -> pa.Table:
    """The frames of a class of the step's cohort in a role, or of both classes."""
    cohort = cohort_frames(step, context, role)
    return cohort if label == BOTH_CLASSES else of_class(cohort, label)


def _only_split(frames: pa.Table, split: str) -> None:
    is_other = pc.fill_null(pc.not_equal(frames["split"], split), True)
    strangers = patient_ids(frames.filter(is_other))
    if strangers:
        raise LeakageError(f"patients of another split than {split}: {', '.join(strangers)}")
