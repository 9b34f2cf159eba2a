"""One Ray Tune run for the whole grid: its searcher hands out steps as they become ready.

Starting a worker and importing torch costs seconds, a step of a small grid hardly more. So every
step with one worker is a Tune trial of a single Tuner whose actors are reused; the classifier
trials among them take their configurations from Optuna's list (classifier/search_space.py).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.backend.driver import Outcome
from lussweep.backend.inline import attempt
from lussweep.plan import Step
from lussweep.stages import Context

from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip


class StepSearcher(Searcher):
    """Suggests the steps that the driver submitted, in that order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(metric="done", mode="max")
        self.folder = folder
        self.submitted: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.refs: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        try:
            config = self.submitted.get_nowait()
        except queue.Empty:
            return Searcher.FINISHED if self.closed.is_set() else None
        self.refs[trial_id] = config["ref"]
        return config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        ref = self.refs.pop(trial_id)
        if error or not result or "ref" not in result:
            self.ended.put(lost(ref, self.folder))
        else:
            self.ended.put(Outcome(ref, result["error"], result["traceback"]))

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes the searcher beside its experiment; a grid never resumes from there."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a resumed grid asks the artifact store what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


def trial_folder(ref: str) -> str:
    """Name of the folder where Tune keeps what it knows of a step."""
    return ref.replace("/", "-")


def lost(ref: str, folder: Path) -> Outcome:
    """A step that ended without a report: what Tune wrote about it, in its last line and whole."""
    path = folder / trial_folder(ref) / "error.txt"
    told = path.read_text() if path.exists() else ""
    lines = [line for line in told.splitlines() if line.strip()] or ["the process was lost"]
    return Outcome(ref, f"WorkerLost: {lines[-1].strip()}", told)


@dataclass(frozen=True)
class Resources:
    """What one step asks of a node."""

    cpus: float
    gpus: float = 0.0

    def named(self) -> dict[str, float]:
        """As Ray names them, without zeros."""
        return {k: v for k, v in (("CPU", self.cpus), ("GPU", self.gpus)) if v}


class TuneService:
    """A Tuner in a thread of its own, alive from the first step until `close`."""

    def __init__(
        self,
        steps: Mapping[str, Step],
        resources: Mapping[str, Resources],
        context: Context,
        folder: Path,
    ) -> None:
        self.searcher = StepSearcher(folder.absolute() / "tune")
        self.steps = steps
        self.error: BaseException | None = None
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_run_step, steps=dict(steps), context=context),
                lambda config: _placement(resources[config["ref"].partition("/")[0]]),
            ),
            tune_config=tune.TuneConfig(
                search_alg=self.searcher,
                num_samples=-1,
                reuse_actors=True,
                metric="done",
                mode="max",
                trial_dirname_creator=lambda trial: trial_folder(trial.config["ref"]),
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.absolute()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=2),
            ),
        )
        self.thread = threading.Thread(target=self._fit, name="tune", daemon=True)
        self.thread.start()

    def submit(self, step: Step) -> None:
        self.searcher.submitted.put({"ref": step.ref, "name": step.name})

    def close(self) -> None:
        self.searcher.closed.set()
        self.thread.join()

    def _fit(self) -> None:
        try:
            self.tuner.fit()
        except BaseException as error:  # the driver's thread must learn of it, whatever it is
            self.error = error


def _placement(resources: Resources) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([resources.named()])


def _run_step(config: dict[str, Any], steps: Mapping[str, Step], context: Context) -> None:
    outcome = attempt(steps[config["ref"]], context)
    tune.report(
        {
            "done": int(outcome.error is None),
            "ref": outcome.ref,
            "error": outcome.error,
            "traceback": outcome.traceback,
        }
    )
