"""Executes the steps of a run folder: its data first, then every missing step of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.backend.driver import Executor, Outcome, Progress, run_plan
from lussweep.backend.order import expected_frames, recorded_seconds, step_costs
from lussweep.backend.stop import Stop
from lussweep.data.frames import read_index
from lussweep.errors import InputError
from lussweep.run.ingest import step_problem
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import DATA_STAGES, STAGES, Plan
from lussweep.study.spec import StudySpec


def execute_data(
    asked: Plan,
    store: ArtifactStore,
    executor: Executor,
    on_change: Callable[[Progress], None],
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Bring in every video before anything is trained.

    `asked` is the command's whole plan, of which the data steps run. Raises InputError with all
    that failed, or with every split that lacks frames of a class.
    """
    data = asked.only(DATA_STAGES)
    progress = run_plan(data, store.surveyed(), executor, on_change, retries=retries, stop=stop)
    if progress.failed:
        found = list(dict.fromkeys(step_problem(o.error or "") for o in progress.failed.values()))
        if any(outcome.is_final for outcome in progress.failed.values()):
            found.append("mend these, or leave them out with `lussweep ingest --skip-unreadable`")
        raise InputError(found)
    problems = []
    for ref, step in asked.steps.items():
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
    asked: Plan,
    store: ArtifactStore,
    executor: Executor,
    on_change: Callable[[Progress], None],
    pruning: SnapshotPruning,
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Run every missing step of the asked cells, and prune snapshots as they go out of use."""
    surveyed = store.surveyed(0)  # the data have come since
    done = (ref for ref in asked.steps if surveyed.has(ref))
    frames = expected_frames(asked, surveyed)
    costs = step_costs(asked, frames, recorded_seconds(asked, surveyed, done))

    def prune(progress: Progress) -> None:
        for ref in progress.latest:
            pruning.prune(store, asked.steps[ref].inputs.get("gan", ""))
        on_change(progress)

    run_plan(asked, surveyed, executor, prune, retries=retries, costs=costs, stop=stop)


def is_done(asked: Plan, store: ArtifactStore) -> bool:
    """Whether every step of the asked cells has its artifact."""
    surveyed = store.surveyed()
    return all(surveyed.has(ref) for ref in asked.steps)


@dataclass(frozen=True)
class SnapshotPruning:
    """Which snapshots of a GAN go once no step needs that GAN any more."""

    users: Mapping[str, Collection[str]]
    """The steps that take snapshots of a GAN, by the GAN's ref. Other GANs keep all of theirs."""
    announced: Collection[int]
    """Epochs whose snapshots stay."""

    def prune(self, store: ArtifactStore, gan: str) -> None:
        """Delete the generators of a GAN that nothing came from, if its last user has ended."""
        users = self.users.get(gan)
        if not users or not all(store.has(ref) for ref in users):
            return
        kept = {*self.announced, *(store.record(ref)["summary"].get("epoch") for ref in users)}
        for name in store.files(gan):
            epoch = re.fullmatch(r"snapshots/epoch_(\d+)\.safetensors", name)
            if epoch and int(epoch[1]) not in kept:
                store.discard(gan, name)


def snapshot_pruning(
    study: StudySpec, plan: Plan, grids: Sequence[Mapping[str, Any]], shares_store: bool
) -> SnapshotPruning:
    """The rule for a run folder of which `grids` were asked.

    Epochs that any of these grids names are kept, whatever --only leaves out today. Nothing goes
    from a store that other runs may use, or if the study keeps all snapshots.
    """
    announced = {epoch for grid in grids for epoch in grid["gan_epochs"]}
    dropping = study.keep_snapshots == "selected" and not shares_store
    return SnapshotPruning(_gan_users(plan) if dropping else {}, announced)


def _gan_users(plan: Plan) -> dict[str, list[str]]:
    """The steps that take the snapshots of each GAN, by its ref."""
    users: dict[str, list[str]] = {}
    for ref, step in plan.steps.items():
        if "gan" in step.inputs:
            users.setdefault(step.inputs["gan"], []).append(ref)
    return users


def write_failure_logs(folder: Path, progress: Progress, conceal: Callable[[str], str]) -> None:
    """Write one text for each failed step into the run folder, and delete those of earlier
    commands.

    `conceal` turns a text into what may be written down.
    """
    logs = folder / "logs"
    for path in logs.glob("*.txt"):
        if path.name.partition("-")[0] in STAGES:  # a folder of that name may be the user's
            path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        logs.rmdir()
    for outcome in progress.failed.values():
        write_failure_log(folder, progress.plan, outcome, conceal)


def write_failure_log(
    folder: Path, plan: Plan, outcome: Outcome, conceal: Callable[[str], str]
) -> Path:
    """Write the text of one step that has just failed, and return its path."""
    path = folder / "logs" / f"{outcome.ref.replace('/', '-')}.txt"
    text = f"{plan.steps[outcome.ref].name}\n{outcome.error}\n\n{outcome.traceback}"
    with suppress(OSError):  # no room, perhaps, which is why it failed; failures.parquet has it too
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conceal(text))
    return path
