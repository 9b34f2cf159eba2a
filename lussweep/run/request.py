"""The requests of a user: one frozen object for each kind of command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.study.spec import PreprocessSpec, SplitSpec


@dataclass(frozen=True)
class Trust:
    """What a user allows beyond the safe defaults."""

    allow_absolute: bool = False
    """Paths in manifests and experiments may leave the folder of their file."""
    reveal_ids: bool = False
    """Logs and failures name patients and files, so that users can mend their own data."""


@dataclass(frozen=True)
class RunRequest:
    """A request to run an experiment: its data, the part of its grid, and where results go."""

    experiment: str
    """A YAML file, or the name of an experiment that ships with lussweep."""
    data: str | None = None
    """A manifest or a frame store; None stands for the phantom."""
    label: str | None = None
    """The manifest's label column; None leaves the experiment's."""
    annotations: Path | None = None
    """A table of frame labels."""
    out: str | None = None
    """The run folder or its URL; None stands for a folder named after the study."""
    store: str | None = None
    """The folder or URL of the artifacts; None keeps them in the run folder."""
    replicates: int | None = None
    """Replicates of each cell; None leaves the experiment's number."""
    only: Sequence[str] = ()
    """Texts such as variant=baseline,n_patients=6; empty selects every cell."""
    overrides: Sequence[str] = ()
    """Texts such as gan.n_epochs=5, which change the experiment."""
    weights: Path | None = None
    """ImageNet weights of ResNet-34."""
    skip_unreadable: bool = False
    """Leave out videos that cannot be opened, instead of refusing the data."""
    trust: Trust = Trust()
    positive: Sequence[str] = ()
    """Labels that count as positive; empty leaves the experiment's."""
    skip_unlabelled: bool = False
    """Leave out rows of the manifest without a label, instead of refusing the data."""


@dataclass(frozen=True)
class IngestRequest:
    """A request to make a frame store: its manifest, and how its frames are made."""

    manifest: Path
    out: str
    """The folder of the frame store, or its URL."""
    label: str
    """The manifest's label column."""
    preprocess: PreprocessSpec
    split: SplitSpec
    """Shares of patients for each split, used if the manifest assigns none."""
    seed: int
    """The seed of the random split."""
    annotations: Path | None = None
    """A table of frame labels."""
    skip_unreadable: bool = False
    """Leave out videos that cannot be opened or decoded, instead of refusing the data."""
    trust: Trust = Trust()
    positive: Sequence[str] = ()
    """Labels that count as positive, where labels are texts."""
    skip_unlabelled: bool = False
    """Leave out rows of the manifest without a label, instead of refusing the data."""
    plugins: Sequence[str] = ()
    """Installed plugins with readers of further formats."""
