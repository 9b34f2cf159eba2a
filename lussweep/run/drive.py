"""A sweep from its first step to its report: one command in a folder, its steps somewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from lussweep.backend.driver import BackendError, Executor, Progress
from lussweep.backend.stop import INTERRUPTED, Stop
from lussweep.cli.arguments import Data
from lussweep.cli.exits import CELLS_MISSING, OK
from lussweep.cli.terminal import (
    live_progress,
    print_failures,
    print_outputs,
    print_statistics,
    print_summary,
    time_left,
)
from lussweep.errors import InputError
from lussweep.report.write import write_interim, write_report
from lussweep.run.folder import (
    Run,
    check_room,
    claim,
    execute_data,
    execute_grid,
    is_claimed,
    is_done,
    write_failure_log,
    write_failure_logs,
)
from lussweep.run.heartbeat import Heartbeat
from lussweep.run.hold import Hold, alone_in
from lussweep.run.lease import TakenOver, own_command
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.disk import room_named
from lussweep.store.remote import StorageError
from lussweep.study.plan import Plan
from lussweep.study.spec import StudySpec

BACKENDS = ("ray", "inline")
INTERIM_S, INTERIM_SHARE = 60.0, 0.02
"""Interim results are written so far apart at least, and take no larger share of the time."""
OPEN_CLUSTER = "warning: whoever reaches this Ray can run code on its nodes: see `lussweep doctor`"


@dataclass(frozen=True)
class How:
    """Where and how steps run: changes no result."""

    address: str | None
    backend: str
    cpus: int | None
    dashboard: bool
    retries: int = 0
    step_minutes: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for what no backend can do."""
        if self.backend not in BACKENDS:
            raise InputError(f"--backend {self.backend} is neither ray nor inline")
        if self.step_minutes is None:
            return
        if self.step_minutes <= 0:
            raise InputError(f"--step-timeout {self.step_minutes:g}: give more than 0 minutes")
        if self.backend == "inline":
            raise InputError(
                "--step-timeout ends the process of a step, and --backend inline has but one: "
                "leave out either"
            )


def run_alone(run: Run, context: Context, data: Data, how: How) -> int:
    """Run with the folder's lease in hand, and stop in order when a signal asks for it."""
    check_room(run)
    with room_named(run.folder), alone_in(run.folder, run.mirror) as hold:
        return _run_grid(run, context, data, how, hold)


def _run_grid(run: Run, context: Context, data: Data, how: How, hold: Hold) -> int:
    watch = _Watch(run)
    broken = ""
    shared = [] if run.mirror else [ArtifactStore(run.folder)]
    try:
        if not is_done(run):
            _check_weights(run, context)
            with (
                executor_of(
                    run.asked, context, run.folder / "ray", how, run.study, hold.stop, shared
                ) as executor,
                live_progress(executor.told) as watch.show,
                watch.heartbeat.asking(executor.told),
            ):
                hold.stop.listen()  # Ray, once started, handles SIGTERM in its own way
                write_failure_logs(run, watch.progress)  # those of an earlier command go
                run.publish()
                execute_data(run, executor, watch.look, how.retries, hold.stop)
                claim(run)
                execute_grid(run, executor, watch, how.retries, hold.stop)
        else:
            watch.heartbeat.settle()
        claim(run)
    except KeyboardInterrupt:  # steps in hand are lost, what is done stays
        broken = "interrupted"
    except (BackendError, StorageError) as error:
        broken = str(error)
    if hold.lost:  # the report is the other command's now
        raise TakenOver(hold.lost)
    if broken and not is_claimed(run.folder):
        say_again(f"{broken} before anything was trained: run the same command again")
        return INTERRUPTED if broken == "interrupted" else CELLS_MISSING
    write_failure_logs(run, watch.progress)
    failures = {ref: o.error or "" for ref, o in watch.progress.failed.items()}
    results = write_report(run.reported(), failures, watch.progress.blocked, data.skipped)
    run.publish()
    print_summary(results, run.study, data.source)
    print_statistics(run.folder)
    print_failures(run, failures)
    print_outputs(run)
    if broken:
        say_again(f"{broken}: run the same command again to go on")
        return INTERRUPTED if broken == "interrupted" else CELLS_MISSING
    done = set(results["status"].to_pylist()) == {"done"} and not failures
    return OK if done else CELLS_MISSING


def say_again(why: str) -> None:
    typer.echo(why, err=True)
    typer.echo(own_command(), err=True)


class _Watch:
    """Shows the progress, remembers it, and keeps the results so far on disk."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.heartbeat = Heartbeat(run, time_left)
        self.progress = Progress(run.asked)
        self.show: Callable[[Progress], None] = lambda progress: None
        self.logged: set[str] = set()
        self.next_interim = time.monotonic() + INTERIM_S

    def look(self, progress: Progress) -> None:
        """For those who watch: this terminal, and `lussweep status` elsewhere."""
        self.show(progress)
        self.heartbeat.take(progress)

    def __call__(self, progress: Progress) -> None:
        for ref in progress.failed.keys() - self.logged:
            self.run.show(write_failure_log(self.run, progress.failed[ref]))
            self.logged.add(ref)
        self.progress = progress
        self.look(progress)
        judged = any(ref.startswith("evaluate/") for ref in progress.latest)
        if judged and time.monotonic() > self.next_interim:
            started = time.monotonic()
            try:
                failures = {r: o.error or "" for r, o in progress.failed.items()}
                with room_named(self.run.folder):
                    write_interim(self.run.reported(), failures)
                    self.run.publish()
            except StorageError as error:  # the next one, or the report, makes up for it
                typer.echo(f"{error}: the run goes on", err=True)
            self.next_interim = time.monotonic() + max(
                INTERIM_S, (time.monotonic() - started) / INTERIM_SHARE
            )


def _check_weights(run: Run, context: Context) -> None:
    """A wrong or missing weights file is found before anything is trained."""
    if "imagenet" in run.study.score.embedders:
        from lussweep.models.resnet import load_resnet34

        load_resnet34(context.weights)


@contextmanager
def executor_of(
    plan: Plan,
    context: Context,
    folder: Path,
    how: How,
    study: StudySpec | None = None,
    stop: Stop | None = None,
    shared: Sequence[ArtifactStore] = (),
) -> Iterator[Executor]:
    """`shared` are folders beside the context's store that every node must see."""
    if how.backend == "inline":
        from lussweep.backend.inline import InlineExecutor

        yield InlineExecutor(plan, context, stop)
    else:
        from lussweep.backend.cluster.session import ray_session

        with ray_session(how.address, n_cpus=how.cpus, dashboard=how.dashboard) as url:
            from lussweep.backend.admission import GpuShares
            from lussweep.backend.cluster.executor import ClusterExecutor
            from lussweep.backend.cluster.inspection import is_open
            from lussweep.backend.cluster.probe import check_nodes

            if url:
                typer.echo(f"Ray dashboard: {url}", err=True)
            if is_open():
                typer.echo(OPEN_CLUSTER, err=True)
            check_nodes([context.store, *shared])
            shares = GpuShares()
            if study is not None:
                shares = GpuShares(study.gan.gpus or GpuShares.gan, study.search.gpus_per_trial)
            with ClusterExecutor(plan, context, folder, shares, how.step_minutes, stop) as executor:
                yield executor
