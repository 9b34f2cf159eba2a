"""What a run tells while it goes on: one frozen object for each kind of event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Started:
    """The command holds the run folder. None of its steps has begun."""

    event: ClassVar[str] = "started"
    study: str
    run: str
    """The run folder or its URL."""
    n_cells: int
    """Cells of the run folder."""
    n_cells_done: int
    """Cells that earlier commands have done."""
    n_steps: Mapping[str, int]
    """Steps of this command by stage, done or not."""


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """A step is done."""

    event: ClassVar[str] = "step_done"
    step: str
    """The step's name, without patient ids."""
    stage: str
    ref: str
    seconds: float | None
    """From submission to end."""
    images_per_s: float | None
    """Training images a second in the last epoch; None if the step has not said it."""


@dataclass(frozen=True, kw_only=True)
class StepRetried:
    """A step has failed or was lost, and is tried again."""

    event: ClassVar[str] = "step_retried"
    step: str
    stage: str
    ref: str
    error: str


@dataclass(frozen=True, kw_only=True)
class StepFailed:
    """A step has failed for the last time. The steps that need it are blocked."""

    event: ClassVar[str] = "step_failed"
    step: str
    stage: str
    ref: str
    error: str


@dataclass(frozen=True, kw_only=True)
class CellDone:
    """A cell has its AUC-ROC."""

    event: ClassVar[str] = "cell_done"
    n_patients: int
    replicate: int
    variant: str
    gan_epoch: int | None
    auroc: float | None
    """On holdout, by frame; None if a score is not finite."""
    n_cells_done: int
    n_cells: int


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something that a user must know. The run goes on."""

    event: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Something that a user may want to know, such as where splits come from."""

    event: ClassVar[str] = "note"
    message: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why the command cannot go on."""

    event: ClassVar[str] = "error"
    message: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The command ends. It is the last event."""

    event: ClassVar[str] = "finished"
    exit_code: int
    files: Sequence[str]
    """Paths or URLs of the report's files; empty if no report was written."""


RunEvent = Started | StepDone | StepRetried | StepFailed | CellDone | Warned | Noted
"""What the driver of a run tells, and its log holds."""
Event = RunEvent | Refused | Finished
"""What `lussweep grid --json` prints: also how the command ends."""
WARNING = "warning: "
"""Begins a notice that is a warning."""


def ignore(event: RunEvent) -> None:
    """Do nothing with an event."""


def row_of(event: Event) -> dict[str, Any]:
    """The event's name, then its fields."""
    return {"event": event.event, **asdict(event)}


def noticed(line: str) -> Warned | Noted:
    """The event of a notice. It is a warning if it begins with WARNING."""
    if line.startswith(WARNING):
        return Warned(message=line.removeprefix(WARNING))
    return Noted(message=line)
