"""Runs steps in one Ray Tune run, whose searcher suggests them as they become ready.

The start of a worker and the import of torch take seconds. A step of a small grid takes hardly
more. All steps with one worker therefore share one Tuner, which reuses its workers: each step is a
trial of Tune. The
configurations of classifiers come from Optuna's list (models/classifiers/search_space.py).

Tune writes its configurations and results into the run folder, and errors name patients. Tune
therefore gets refs and states only. Errors go to the driver through the memory of Ray's head.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from lussweep.backend.admission import Resources
from lussweep.backend.cluster.limit import TimeLimit
from lussweep.backend.cluster.link import own_mark
from lussweep.backend.cluster.loss import lost
from lussweep.backend.cluster.private import delete_from_head, get_from_head, put_in_head
from lussweep.backend.driver import Outcome
from lussweep.backend.inline import attempt, stopped
from lussweep.stages import Context
from lussweep.study.plan import Step

STEPS_PER_PIECE = 500
START_S = 10.0
"""Seconds within which a worker starts, the import of torch included."""


class StepSearcher(Searcher):
    """Suggests the steps that the driver submitted, in that order."""

    def __init__(self) -> None:
        super().__init__(metric="done", mode="max")
        self.submitted: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.closed = threading.Event()

    def suggest(  # type: ignore[override]  # Ray's annotation leaves FINISHED out
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        try:
            return self.submitted.get_nowait()
        except queue.Empty:
            return Searcher.FINISHED if self.closed.is_set() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        if not error:  # `LostSteps` reports errors
            assert result is not None, "a step reports how it ended"
            self.ended.put(_take_outcome(result["ref"], result["failed"]))

    def __getstate__(self) -> dict[str, Any]:
        """Return no state for Tune to save, because a grid never resumes from it."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a resumed grid reads from the artifact store what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


class StepScheduler(FIFOScheduler):
    """Chooses the step of an idle worker: the newest one, unless another waits for long.

    Tune holds a step for each worker that starts. If an idle worker takes this step, Tune ends the
    worker that starts. Where steps are shorter than the start of a worker, one worker would do all
    of them, however many fit. An idle worker therefore leaves an older step for START_S seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray has no types here
        self._waiting: dict[Trial, float] = {}
        """The steps that wait for a worker, in their order, and since when."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._waiting[trial] = time.monotonic()

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        self._waiting = {
            trial: since for trial, since in self._waiting.items() if trial.status == Trial.PENDING
        }
        waited_since = time.monotonic() - START_S
        for trial, since in self._waiting.items():
            if since < waited_since:
                return trial
        return next(reversed(self._waiting), None)

    def __getstate__(self) -> dict[str, Any]:
        """See StepSearcher."""
        return {}


class LostSteps(tune.Callback):
    """Reports lost steps to the driver, with Tune's message."""

    def __init__(self, ended: queue.SimpleQueue[Outcome], limit: TimeLimit | None) -> None:
        self.ended, self.limit = ended, limit

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ref = trial.config["ref"]
        if self.limit is not None and (outcome := self.limit.timeout_outcome(ref)):
            self.ended.put(outcome)
            return
        message = Path(trial.error_file).read_text() if trial.error_file else ""
        self.ended.put(lost(ref, message))

    def __getstate__(self) -> dict[str, Any]:
        """See StepSearcher."""
        return {}


class TuneService:
    """A Tuner in a thread of its own, which runs from the first step until `close`."""

    def __init__(
        self,
        steps: Mapping[str, Step],
        context: Context,
        folder: Path,
        limit: TimeLimit | None = None,
    ) -> None:
        self.searcher = StepSearcher()
        self.folder = folder
        self.error: BaseException | None = None
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the driver reports lost steps
        self.tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(
                    _run_step, pieces=_in_pieces(steps), context=context, limit=limit
                ),
                lambda config: _placement(Resources(**config["needs"])),
            ),
            tune_config=tune.TuneConfig(
                search_alg=self.searcher,
                scheduler=StepScheduler(),
                num_samples=-1,
                reuse_actors=True,
                metric="done",
                mode="max",
                trial_dirname_creator=lambda trial: trial.config["ref"].replace("/", "-"),
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.absolute()),
                verbose=0,
                callbacks=[LostSteps(self.searcher.ended, limit)],
                failure_config=tune.FailureConfig(max_failures=0),  # the driver tries again
            ),
        )
        self.thread = threading.Thread(target=self._fit, name="tune", daemon=True)
        self.thread.start()

    def submit(self, step: Step, needs: Resources) -> None:
        """Run the step with these resources. `searcher.ended` gets its outcome."""
        self.searcher.submitted.put({"ref": step.ref, "needs": asdict(needs)})

    def close(self) -> None:
        """Wait for the submitted steps, end the Tuner and delete its error files."""
        self.searcher.closed.set()
        self.thread.join()
        for error_file in self.folder.glob("tune/*/error.*"):
            error_file.unlink()  # logs/ has the errors, with paths concealed

    def _fit(self) -> None:
        try:
            self.tuner.fit()
        except BaseException as error:  # `ClusterExecutor.wait` raises it in the driver's thread
            self.error = error


def _placement(resources: Resources) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([resources.named()])


def _in_pieces(steps: Mapping[str, Step]) -> list[Any]:
    """Put the steps into Ray's memory in pieces, so that a trial fetches one piece and not all."""
    pieces: list[dict[str, Step]] = [{} for _ in range(1 + len(steps) // STEPS_PER_PIECE)]
    for ref, step in steps.items():
        pieces[_piece(ref, len(pieces))][ref] = step
    return [ray.put(piece) for piece in pieces]


def _piece(ref: str, n_pieces: int) -> int:
    return int(ref.partition("/")[2], 16) % n_pieces


def _run_step(
    config: dict[str, Any], pieces: list[Any], context: Context, limit: TimeLimit | None
) -> None:
    ref = config["ref"]
    step = ray.get(pieces[_piece(ref, len(pieces))])[ref]
    if context.link.stop_is_asked():  # the step was submitted before the stop request
        outcome = stopped(ref)
    else:
        with limit.watching(ref) if limit else nullcontext():
            outcome = attempt(step, context)
    failed = outcome.error is not None  # not `done`, a field that Tune sets itself
    if failed:
        message = json.dumps(asdict(outcome)).encode()
        put_in_head(_address(ref), message)
    tune.report({"done": int(not failed), "ref": ref, "failed": failed})


def _take_outcome(ref: str, failed: bool) -> Outcome:
    """The outcome of a step. That of a failed one is taken out of the memory of Ray's head."""
    if not failed:
        return Outcome(ref)
    message = get_from_head(_address(ref))
    delete_from_head(_address(ref))
    if not message:
        return Outcome(ref, "WorkerLost: Ray has lost the error", is_lost=True)
    return Outcome(**json.loads(message))


def _address(ref: str) -> str:
    """The key of a failed outcome in the memory of Ray's head."""
    return f"{own_mark()}outcome:{ref}"
