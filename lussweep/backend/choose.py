"""Chooses the backend that runs a plan's steps, and opens it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lussweep.backend.driver import Executor
from lussweep.backend.stop import Stop
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan

BACKENDS = ("ray", "inline")
DEVICES = ("auto", "cpu", "cuda")
OPEN_CLUSTER = "warning: whoever reaches this Ray can run code on its nodes: see `lussweep doctor`"


@dataclass(frozen=True)
class ExecutionOptions:
    """Options of where and how steps run. They change no result."""

    address: str | None = None
    """The address of a Ray cluster: local, auto or HOST:PORT. None reads $RAY_ADDRESS."""
    backend: str = "ray"
    cpus: int | None = None
    """CPUs of a local Ray; None takes all."""
    dashboard: bool = False
    retries: int = 0
    """How often a step that fails is tried again."""
    step_minutes: float | None = None
    """Minutes after which a step that hangs is ended; None never ends it."""
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises InputError for values that no backend supports."""
        if self.device not in DEVICES:
            raise InputError(f"--device {self.device} is none of {', '.join(DEVICES)}")
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


def backend_of_ingest(address: str | None, cpus: int | None, step_minutes: float | None) -> str:
    """The backend of `lussweep ingest` if none is named: inline, unless an option is for Ray.

    On two cores one process with two children takes a third of Ray's memory, for the same work
    (tests/benchmarks/RESULTS.md).
    """
    for_ray = address or os.environ.get("RAY_ADDRESS") or cpus or step_minutes
    return "ray" if for_ray else "inline"


@contextmanager
def executor_of(
    plan: Plan,
    context: Context,
    folder: Path,
    options: ExecutionOptions,
    stop: Stop | None = None,
    shared: Sequence[ArtifactStore] = (),
    notify: Callable[[str], None] = lambda line: None,
) -> Iterator[Executor]:
    """Open the backend that `options` names, and yield its executor.

    The backend keeps its own files in `folder`. `shared` are stores beside the context's that every
    node must see. `notify` takes one line for each notice to the user. Raises InputError if no
    cluster can be reached, or if a node cannot use the stores.
    """
    if options.backend == "inline":
        from lussweep.backend.inline import InlineExecutor

        yield InlineExecutor(plan, context, stop)
    else:
        from lussweep.backend.cluster.session import ray_session

        with ray_session(options.address, n_cpus=options.cpus, dashboard=options.dashboard) as url:
            from lussweep.backend.cluster.executor import ClusterExecutor
            from lussweep.backend.cluster.inspection import is_open
            from lussweep.backend.cluster.probe import check_nodes

            if url:
                notify(f"Ray dashboard: {url}")
            if is_open():
                notify(OPEN_CLUSTER)
            check_nodes([context.store, *shared])
            with ClusterExecutor(plan, context, folder, options.step_minutes, stop) as executor:
                yield executor
