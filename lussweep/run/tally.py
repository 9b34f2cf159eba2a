"""Turns the progress of a run into events, each of which is told once."""

from __future__ import annotations

import math
from collections.abc import Callable

from lussweep.backend.driver import Progress
from lussweep.errors import InputError, one_line
from lussweep.models.training.progress import images_per_s
from lussweep.run.board import Board
from lussweep.run.events import CellDone, RunEvent, Started, StepDone, StepFailed, StepRetried
from lussweep.run.heartbeat import step_name
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.remote import StorageError
from lussweep.study.plan import STAGES, Plan, Step

TRAINING_STAGES = ("gan", "trial")
"""Stages whose steps say how many images they see in a second. Asking a step may be a message."""


class Tally:
    """Tells the steps and cells that have ended since it was asked last."""

    def __init__(
        self,
        plan: Plan,
        store: ArtifactStore,
        conceal: Callable[[str], str],
        tell: Callable[[RunEvent], None],
    ) -> None:
        """`plan` is the run folder's. `conceal` replaces patients and paths in a text."""
        self.plan, self.store, self.conceal, self.tell = plan, store, conceal, tell
        self.board = Board(plan.cells)
        self.progress_text: Callable[[str], str] = lambda ref: ""
        """Returns the text by which a step says how far it is."""
        self._told: set[str] = set()

    def begin(self, study: str, place: str, requested: Plan) -> None:
        """Read the AUC-ROCs of earlier commands, and tell that this command begins.

        `place` is the run folder as the user names it, `requested` the plan of this command.
        """
        surveyed = self.store.surveyed()
        done = [ref for ref in self.board.cells_of if surveyed.has(ref)]
        self.store.read_records(done)
        for ref in done:
            self.board.judge(ref, self._auroc(ref))
        counts = requested.counts()
        self.tell(
            Started(
                study=study,
                run=place,
                n_cells=self.board.n_cells,
                n_cells_done=self.board.n_done,
                n_steps={stage: counts[stage] for stage in STAGES if counts[stage]},
            )
        )

    def take(self, progress: Progress) -> None:
        """Tell what has ended. Call it after each change of the progress."""
        steps = progress.plan.steps
        for outcome in progress.retried:
            error = self._error(outcome.error)
            self.tell(StepRetried(**self._step(steps[outcome.ref]), error=error))
        for ref in progress.latest:
            if ref not in self._told:
                self._told.add(ref)
                self._tell_done(steps[ref], progress.seconds.get(ref))
        for ref in [ref for ref in progress.failed if ref not in self._told]:
            self._told.add(ref)
            error = self._error(progress.failed[ref].error)
            self.tell(StepFailed(**self._step(steps[ref]), error=error))
            self.board.fail((ref, *progress.blocked))

    def _tell_done(self, step: Step, seconds: float | None) -> None:
        text = self.progress_text(step.ref) if step.stage in TRAINING_STAGES else ""
        rate = images_per_s(text)
        self.tell(StepDone(**self._step(step), seconds=seconds, images_per_s=rate))
        if step.ref not in self.board.cells_of:
            return
        for cell in self.board.judge(step.ref, self._auroc(step.ref)):
            self.tell(
                CellDone(
                    **cell.coordinates.row(),
                    auroc=cell.auroc,
                    n_cells_done=cell.n_done,
                    n_cells=self.board.n_cells,
                )
            )

    def _step(self, step: Step) -> dict[str, str]:
        return {"step": step_name(self.plan, step.ref), "stage": step.stage, "ref": step.ref}

    def _error(self, text: str | None) -> str:
        return self.conceal(one_line(text or "", limit=None))

    def _auroc(self, ref: str) -> float | None:
        """The AUC-ROC in a record. None if a score was not finite, or the record is unreadable.

        A record that is unreadable is an error of the report, which says what to do.
        """
        try:
            auroc = self.store.record(ref)["summary"].get("auroc")
        except (InputError, StorageError, OSError):
            return None
        return auroc if isinstance(auroc, float) and math.isfinite(auroc) else None
