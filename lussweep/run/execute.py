"""Executes the steps of a run folder: first the data steps, then the missing steps of cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lussweep.backend.driver import Executor, Outcome, Progress, run_plan
from lussweep.backend.order import expected_frames, recorded_seconds, step_costs
from lussweep.backend.stop import Stop
from lussweep.data.frames import read_index
from lussweep.errors import InputError
from lussweep.run.folder import Run
from lussweep.run.ingest import step_problem
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import DATA_STAGES, STAGES, Plan


def execute_data(
    requested: Plan,
    store: ArtifactStore,
    executor: Executor,
    on_change: Callable[[Progress], None],
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Execute the data steps of a plan, so that every video is decoded before anything is trained.

    `requested` is the whole plan of the command. Raises InputError that lists every failed step, or
    every split that lacks frames of a class.
    """
    data = requested.only(DATA_STAGES)
    progress = run_plan(data, store.surveyed(), executor, on_change, retries=retries, stop=stop)
    if progress.failed:
        errors = (outcome.error or "" for outcome in progress.failed.values())
        problems = list(dict.fromkeys(map(step_problem, errors)))
        if any(outcome.is_final for outcome in progress.failed.values()):
            problems.append(
                "mend these, or leave them out with `lussweep ingest --skip-unreadable`"
            )
        raise InputError(problems)
    problems = []
    for ref, step in requested.steps.items():
        if step.stage == "ingest":
            labels = set(read_index(store.open(ref))["label"].to_pylist())
            problems += [
                f"the {step.spec['split']} split has no usable {word} frame: check labels, frame "
                "annotations and data.preprocess.frame_stride"
                for label, word in ((1, "positive"), (0, "negative"))
                if label not in labels
            ]
    if problems:
        raise InputError(problems)


def execute_grid(
    requested: Plan,
    store: ArtifactStore,
    executor: Executor,
    on_change: Callable[[Progress], None],
    pruning: SnapshotPruning,
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Run every missing step of the requested cells, and delete snapshots that no step needs."""
    surveyed = store.surveyed(0)  # the last survey was before the data steps
    done = (ref for ref in requested.steps if surveyed.has(ref))
    frames = expected_frames(requested, surveyed)
    costs = step_costs(requested, frames, recorded_seconds(requested, surveyed, done))

    def prune(progress: Progress) -> None:
        for ref in progress.latest:
            pruning.prune(store, requested.steps[ref].inputs.get("gan", ""))
        on_change(progress)

    run_plan(requested, surveyed, executor, prune, retries=retries, costs=costs, stop=stop)


def is_done(requested: Plan, store: ArtifactStore) -> bool:
    """Whether every step of the requested cells has its artifact."""
    surveyed = store.surveyed()
    return all(surveyed.has(ref) for ref in requested.steps)


@dataclass(frozen=True)
class SnapshotPruning:
    """The snapshots of a GAN that are deleted when no step needs that GAN any more."""

    users: Mapping[str, Collection[str]]
    """Refs of the steps that use a GAN, by the GAN's ref. Other GANs keep all snapshots."""
    announced: Collection[int]
    """Epochs whose snapshots are never deleted, because a grid of the run folder names them."""

    def prune(self, store: ArtifactStore, gan: str) -> None:
        """Delete the snapshots of `gan` that no step has used, if all its users are done."""
        users = self.users.get(gan)
        if not users or not all(store.has(ref) for ref in users):
            return
        sampled = (store.record(ref)["summary"].get("epoch") for ref in users)
        kept_epochs = {*self.announced, *sampled}
        for name in store.files(gan):
            epoch = re.fullmatch(r"snapshots/epoch_(\d+)\.safetensors", name)
            if epoch and int(epoch[1]) not in kept_epochs:
                store.discard(gan, name)


def snapshot_pruning(run: Run) -> SnapshotPruning:
    """The pruning rule for a run folder.

    Keeps the epochs that any grid of the folder names, and what other cells of these grids need
    to select an epoch, even if --only leaves them out in this command. Deletes nothing from a
    store that other runs may use, or if the study keeps all snapshots.
    """
    announced = {epoch for grid in run.described["grids"] for epoch in grid["gan_epochs"]}
    dropping = run.study.keep_snapshots == "selected" and not run.shares_store
    return SnapshotPruning(_gan_users(run) if dropping else {}, announced)


def _gan_users(run: Run) -> dict[str, set[str]]:
    """Refs of the steps that use each GAN, by the GAN's ref."""
    users = {gan: set(refs) for gan, refs in run.left_out.items()}
    for ref, step in run.plan.steps.items():
        if "gan" in step.inputs:
            users.setdefault(step.inputs["gan"], set()).add(ref)
    return users


def write_failure_logs(folder: Path, progress: Progress, conceal: Callable[[str], str]) -> None:
    """Write a log file for each failed step into the run folder, and delete older ones.

    `conceal` replaces patients and paths in a text.
    """
    logs = folder / "logs"
    for path in logs.glob("*.txt"):
        if path.name.partition("-")[0] in STAGES:  # `logs` may hold files of the user
            path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        logs.rmdir()
    for outcome in progress.failed.values():
        write_failure_log(folder, progress.plan, outcome, conceal)


def write_failure_log(
    folder: Path, plan: Plan, outcome: Outcome, conceal: Callable[[str], str]
) -> Path:
    """Write the log file of one failed step, and return its path."""
    path = folder / "logs" / f"{outcome.ref.replace('/', '-')}.txt"
    text = f"{plan.steps[outcome.ref].name}\n{outcome.error}\n\n{outcome.traceback}"
    with suppress(OSError):  # the disk may be full; failures.parquet has the error too
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conceal(text))
    return path
