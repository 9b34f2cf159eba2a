"""Executes the steps of a run folder: its data first, then every missing step of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
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
    run: Run,
    executor: Executor,
    on_change: Callable[[Progress], None],
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Bring in every video before anything is trained.

    Raises InputError with all that failed, and with every split that lacks frames of a class.
    """
    data = run.asked.only(DATA_STAGES)
    progress = run_plan(data, run.store.surveyed(), executor, on_change, retries=retries, stop=stop)
    if progress.failed:
        found = list(dict.fromkeys(step_problem(o.error or "") for o in progress.failed.values()))
        if any(outcome.is_final for outcome in progress.failed.values()):
            found.append("mend these, or leave them out with `lussweep ingest --skip-unreadable`")
        raise InputError(found)
    problems = []
    for ref, step in run.asked.steps.items():
        if step.stage == "ingest":
            labels = set(read_index(run.store.open(ref))["label"].to_pylist())
            problems += [
                f"the {step.spec['split']} split has no usable {word} frame: check labels, frame "
                "annotations and data.preprocess.frame_stride"
                for label, word in ((1, "positive"), (0, "negative"))
                if label not in labels
            ]
    if problems:
        raise InputError(problems)


def execute_grid(
    run: Run,
    executor: Executor,
    on_change: Callable[[Progress], None],
    retries: int = 0,
    stop: Stop | None = None,
) -> None:
    """Every missing step of the asked cells, dropping snapshots that nobody needs any more."""
    # Epochs that any grid of this folder names are kept, whatever --only leaves out today.
    announced = {epoch for grid in run.described["grids"] for epoch in grid["gan_epochs"]}
    dropping = run.study.keep_snapshots == "selected" and not run.shares_store
    users = gan_users(run.plan) if dropping else {}
    store = run.store.surveyed(0)  # the data have come since
    done = (ref for ref in run.asked.steps if store.has(ref))
    frames = expected_frames(run.asked, store)
    costs = step_costs(run.asked, frames, recorded_seconds(run.asked, store, done))

    def watch(progress: Progress) -> None:
        for ref in progress.latest:
            gan = run.asked.steps[ref].inputs.get("gan")
            if gan in users:
                drop_snapshots(run.store, gan, users[gan], announced)
        on_change(progress)

    run_plan(run.asked, store, executor, watch, retries=retries, costs=costs, stop=stop)


def is_done(run: Run) -> bool:
    """Whether every step of the asked cells has its artifact."""
    store = run.store.surveyed()
    return all(store.has(ref) for ref in run.asked.steps)


def gan_users(plan: Plan) -> dict[str, list[str]]:
    """Every GAN with the steps that take its snapshots."""
    users: dict[str, list[str]] = {}
    for ref, step in plan.steps.items():
        if "gan" in step.inputs:
            users.setdefault(step.inputs["gan"], []).append(ref)
    return users


def drop_snapshots(
    store: ArtifactStore, gan: str, users: Collection[str], announced: Collection[int]
) -> None:
    """If the last user of a GAN has ended, delete the generators that nothing came from."""
    if not all(store.has(ref) for ref in users):
        return
    kept = {*announced, *(store.record(ref)["summary"].get("epoch") for ref in users)}
    for name in store.files(gan):
        epoch = re.fullmatch(r"snapshots/epoch_(\d+)\.safetensors", name)
        if epoch and int(epoch[1]) not in kept:
            store.discard(gan, name)


def write_failure_logs(run: Run, progress: Progress) -> None:
    """One concealed text a failed step; those of earlier runs of the command go."""
    folder = run.folder / "logs"
    for path in folder.glob("*.txt"):
        if path.name.partition("-")[0] in STAGES:  # a folder of that name may be the user's
            path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        folder.rmdir()
    for outcome in progress.failed.values():
        write_failure_log(run, outcome)


def write_failure_log(run: Run, outcome: Outcome) -> Path:
    """Of one step that has just failed, while others go on."""
    path = run.folder / "logs" / f"{outcome.ref.replace('/', '-')}.txt"
    text = f"{run.asked.steps[outcome.ref].name}\n{outcome.error}\n\n{outcome.traceback}"
    with suppress(OSError):  # no room, perhaps, which is why it failed; failures.parquet has it too
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(run.conceal(text))
    return path
