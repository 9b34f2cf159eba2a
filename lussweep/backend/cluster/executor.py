"""Steps on a Ray cluster: data as plain tasks, learning through Ray Tune, gangs through Train."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lussweep.backend.admission import (
    TASK_STAGES,
    Admission,
    GpuShares,
    Resources,
    is_gang,
    n_workers,
)
from lussweep.backend.cluster.limit import TimeLimit
from lussweep.backend.cluster.link import ClusterLink
from lussweep.backend.cluster.loss import lost
from lussweep.backend.cluster.nodes import leaving_nodes
from lussweep.backend.cluster.session import ray
from lussweep.backend.cluster.training import train_on_workers
from lussweep.backend.cluster.tuning import TuneService
from lussweep.backend.driver import BackendError, Outcome
from lussweep.backend.inline import attempt, failed, refuse_unsupported
from lussweep.backend.stop import Stop
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.study.plan import Plan, Step

NOTICE_S = 2.0
"""How often Ray is asked for nodes that are about to go; a cloud's notice comes minutes before."""
LOOK_S = 30.0
"""After so long without an end of a step, it is asked whether there still is a node for it."""


def n_slots(need: Resources, nodes: Sequence[Mapping[str, Any]]) -> int:
    """How many workers of this kind the nodes that live hold, were they empty."""
    return sum(
        min(int(node["Resources"].get(name, 0) / amount) for name, amount in need.named().items())
        for node in nodes
        if node["Alive"]
    )


class ClusterExecutor:
    """Submits to the Ray that this process is connected to."""

    def __init__(
        self,
        plan: Plan,
        context: Context,
        folder: Path,
        gpu_shares: GpuShares | None = None,
        step_minutes: float | None = None,
        stop: Stop | None = None,
    ) -> None:
        """`step_minutes`: a step that takes longer is ended, and counts as failed."""
        self.plan = plan
        self.stop, self.link = stop or Stop(), ClusterLink()
        self.context = replace(context, link=self.link)
        self.folder = folder
        self.limit = TimeLimit(step_minutes) if step_minutes else None
        total = ray.cluster_resources()
        self.use_gpu = total.get("GPU", 0) > 0 and context.device != "cpu"
        store = context.store.surveyed()
        self.admission = Admission(
            (step for ref, step in plan.steps.items() if not store.has(ref)),
            Resources(total.get("CPU", 1), total["GPU"] if self.use_gpu else 0.0),
            gpu_shares or GpuShares(),
        )
        self.tasks: dict[Any, str] = {}
        self.tune: TuneService | None = None
        self.looked_at = self.asked_at = time.monotonic()
        self.leaving: set[str] = set()
        self.missing: set[Resources] = set()
        self._refuse_unplaceable()
        if not self.use_gpu:  # what the GPUs of other nodes can do, only their workers know
            refuse_unsupported(plan, torch.device("cpu"))

    def __enter__(self) -> ClusterExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.tune is not None and exc[0] is None:  # else what runs goes with Ray
            self.tune.close()
        self.link.close()

    def kind(self, step: Step) -> Hashable:
        return self.admission.kind(step)

    def accepts(self, step: Step) -> bool:
        return self.admission.accepts(step)

    def submit(self, step: Step) -> None:
        needs = self.admission.begin(step)
        if is_gang(step):
            if self.tune is not None:  # its idle workers would keep the gang from starting
                self.tune.close()
                self.tune = None
            self._start_task(_gang_task, step, self.folder, self.use_gpu)
        elif step.stage in TASK_STAGES:
            self._start_task(_step_task, step)
        else:
            if self.tune is None:
                self.tune = TuneService(self.plan.steps, self.context, self.folder, self.limit)
            self.tune.submit(step, needs)

    def progress_text(self, ref: str) -> str:
        return self.link.progress_text(ref)

    def forget(self, refs: Iterable[str]) -> None:
        self.admission.forget(refs)

    def wait(self) -> list[Outcome]:
        if self.stop.requested:  # here and not in the signal's handler, which may interrupt Ray
            self.link.ask_to_stop()
        self._pass_notices_on()
        ended = self._finished_tasks(timeout=0.05 if self._tune_runs() else 1.0)
        ended += self._finished_trials(timeout=0.0 if self.tasks else 1.0)
        for outcome in ended:
            self.admission.end(outcome.ref)
        if ended:
            self.looked_at = time.monotonic()
        elif time.monotonic() - self.looked_at > LOOK_S:
            self.looked_at = time.monotonic()
            self._tell_of_missing_nodes()
        return ended

    def _pass_notices_on(self) -> None:
        """To GANs on nodes that are about to be taken away, which then leave checkpoints."""
        if time.monotonic() - self.asked_at < NOTICE_S:
            return
        self.asked_at = time.monotonic()
        leaving = leaving_nodes()
        for node_id in leaving - self.leaving:
            self.link.warn(node_id)
        self.leaving = leaving

    def _tell_of_missing_nodes(self) -> None:
        """Nodes may go, and come again: meanwhile Ray waits in silence."""
        nodes = ray.nodes()
        asked = self._asked(self.admission.in_flight.values())
        missing = {need for need, n in asked if n_slots(need, nodes) < n}
        for need in missing - self.missing:
            logging.getLogger(__name__).warning(
                "too few nodes with %s are left: waiting (Ctrl-C ends the run in order)", need
            )
        self.missing = missing

    def _asked(self, steps: Iterable[Step]) -> set[tuple[Resources, int]]:
        """What a worker of each step needs, and how many there are at once."""
        return {(self.admission.worker_needs(step), n_workers(step)) for step in steps}

    def _refuse_unplaceable(self) -> None:
        """Ray would wait for ever, and in silence, for what no node has."""
        nodes = ray.nodes()
        problems = []
        for need, n_asked in sorted(self._asked(self.plan.steps.values()), key=str):
            slots = n_slots(need, nodes)
            if slots < n_asked:
                problems.append(
                    f"{n_asked} worker(s) of {need} asked, the cluster's nodes hold {slots}: "
                    "lower gan.n_workers or compute.n_threads, or add nodes"
                )
        if problems:
            raise InputError(problems)

    def _start_task(self, function: Any, step: Step, *arguments: Any) -> None:
        # The other tasks are too small to wait for a CPU; a gang's driver computes nothing.
        n_cpus = self.admission.needs(step).cpus if step.stage == "shard" else 0
        task = function.options(num_cpus=n_cpus).remote(step, self.context, self.limit, *arguments)
        self.tasks[task] = step.ref

    def _tune_runs(self) -> bool:
        return self.tune is not None and len(self.admission.in_flight) > len(self.tasks)

    def _finished_tasks(self, timeout: float) -> list[Outcome]:
        if not self.tasks:
            return []
        ready, _ = ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(self.tasks), num_returns=1, timeout=timeout)
        outcomes = []
        for task in ready:
            ref = self.tasks.pop(task)
            try:
                outcomes.append(ray.get(task))
            except ray.exceptions.RayError as error:
                if isinstance(error, ray.exceptions.RayTaskError):  # it raised, and told so
                    outcomes.append(failed(ref, error))
                    continue
                timed_out = self.limit.timeout_outcome(ref) if self.limit else None
                outcomes.append(timed_out or lost(ref, str(error)))
        return outcomes

    def _finished_trials(self, timeout: float) -> list[Outcome]:
        if not self._tune_runs():
            return []
        assert self.tune is not None
        outcomes = []
        try:
            outcomes.append(
                self.tune.searcher.ended.get(timeout=timeout or None, block=timeout > 0)
            )
            while True:
                outcomes.append(self.tune.searcher.ended.get_nowait())
        except queue.Empty:
            pass
        if not outcomes and not self.tune.thread.is_alive():
            raise BackendError(
                f"Ray Tune stopped with steps in flight: {self.tune.error}"
            ) from self.tune.error
        return outcomes


@ray.remote(max_retries=0)  # the driver tries again
def _step_task(step: Step, context: Context, limit: TimeLimit | None) -> Outcome:
    with limit.watching(step.ref) if limit else nullcontext():
        return attempt(step, context)


@ray.remote(max_retries=0)
def _gang_task(
    step: Step, context: Context, limit: TimeLimit | None, folder: Path, use_gpu: bool
) -> Outcome:
    from ray.train import WorkerGroupError

    try:
        with limit.watching(step.ref) if limit else nullcontext():
            train_on_workers(step, context, folder, use_gpu)
    except WorkerGroupError as error:
        causes = [getattr(e, "health_check_failure", e) for e in error.worker_failures.values()]
        if any(isinstance(cause, ray.exceptions.RayActorError) for cause in causes):
            return lost(step.ref, str(error))
        return failed(step.ref, error)
    except Exception as error:  # the boundary: a step may fail in any way
        return failed(step.ref, error)
    return Outcome(step.ref)
