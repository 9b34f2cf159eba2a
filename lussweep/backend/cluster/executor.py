"""Runs steps on a Ray cluster: data as plain tasks, gangs with Ray Train, others with Tune."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import torch

from lussweep.backend.admission import (
    TASK_STAGES,
    Admission,
    Resources,
    is_gang,
)
from lussweep.backend.cluster.limit import TimeLimit
from lussweep.backend.cluster.link import ClusterLink
from lussweep.backend.cluster.loss import lost
from lussweep.backend.cluster.private import cause_of, leaving_nodes
from lussweep.backend.cluster.training import train_on_workers
from lussweep.backend.cluster.tuning import TuneService
from lussweep.backend.driver import BackendError, Outcome
from lussweep.backend.inline import attempt, failed, refuse_unsupported
from lussweep.backend.stop import Stop
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.study.plan import Plan, Step

NOTICE_S = 2.0
"""Seconds between two checks for nodes that will be taken away. Clouds say it minutes before."""
LOOK_S = 30.0
"""Seconds without an end of a step after which the nodes are checked."""


def n_slots(need: Resources, nodes: Sequence[Mapping[str, Any]]) -> int:
    """How many workers with these needs would fit on the live nodes if they were empty."""
    return sum(
        min(int(node["Resources"].get(name, 0) / amount) for name, amount in need.named().items())
        for node in nodes
        if node["Alive"]
    )


class ClusterExecutor:
    """Runs steps on the Ray cluster that this process is connected to."""

    def __init__(
        self,
        plan: Plan,
        context: Context,
        folder: Path,
        step_minutes: float | None = None,
        stop: Stop | None = None,
    ) -> None:
        """`folder` is for Ray's own files. A step fails if it takes more than `step_minutes`.

        Raises InputError for steps that the nodes have no room for or cannot train.
        """
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
        )
        self.tasks: dict[Any, str] = {}
        self.tune: TuneService | None = None
        self.nodes_checked_at = self.notices_checked_at = time.monotonic()
        self.leaving: set[str] = set()
        self.missing: set[Resources] = set()
        self._refuse_unplaceable()
        if not self.use_gpu:  # only another node knows what its GPUs support
            refuse_unsupported(plan, torch.device("cpu"))

    def __enter__(self) -> ClusterExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.tune is not None and exc[0] is None:  # after an error, Ray ends the running steps
            self.tune.close()
        self.link.close()

    def kind(self, step: Step) -> Hashable:
        return self.admission.kind(step)

    def accepts(self, step: Step) -> bool:
        return self.admission.accepts(step)

    def share(self, step: Step) -> float:
        return self.admission.share(step)

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
        if self.stop.requested:  # not in the signal's handler, which may interrupt a call of Ray
            self.link.ask_to_stop()
        self._pass_notices_on()
        ended = self._finished_tasks(timeout=0.05 if self._tune_runs() else 1.0)
        ended += self._finished_trials(timeout=0.0 if self.tasks else 1.0)
        for outcome in ended:
            self.admission.end(outcome.ref)
        if ended:
            self.nodes_checked_at = time.monotonic()
        elif time.monotonic() - self.nodes_checked_at > LOOK_S:
            self.nodes_checked_at = time.monotonic()
            self._warn_of_missing_nodes()
        return ended

    def _pass_notices_on(self) -> None:
        """Warn steps on nodes that will be taken away, so that GANs leave checkpoints."""
        if time.monotonic() - self.notices_checked_at < NOTICE_S:
            return
        self.notices_checked_at = time.monotonic()
        leaving = leaving_nodes()
        for node_id in leaving - self.leaving:
            self.link.warn(node_id)
        self.leaving = leaving

    def _warn_of_missing_nodes(self) -> None:
        """Log a warning if steps wait for nodes that are gone, because Ray waits silently."""
        nodes = ray.nodes()
        needs = self._worker_needs(self.admission.in_flight.values())
        missing = {need for need, n in needs if n_slots(need, nodes) < n}
        for need in missing - self.missing:
            logging.getLogger(__name__).warning(
                "too few nodes with %s are left: waiting (Ctrl-C ends the run in order)", need
            )
        self.missing = missing

    def _worker_needs(self, steps: Iterable[Step]) -> set[tuple[Resources, int]]:
        """The needs of one worker, and the number of workers at once, of each kind of step."""
        return {(self.admission.worker_needs(step), step.workers.n) for step in steps}

    def _refuse_unplaceable(self) -> None:
        """Raises InputError for workers without a node. Ray would wait for them for ever."""
        nodes = ray.nodes()
        problems = []
        for need, n_needed in sorted(self._worker_needs(self.plan.steps.values()), key=str):
            slots = n_slots(need, nodes)
            if slots < n_needed:
                problems.append(
                    f"{n_needed} worker(s) of {need} asked, the cluster's nodes hold {slots}: "
                    "lower gan.n_workers or compute.n_threads, or add nodes"
                )
        if problems:
            raise InputError(problems)

    def _start_task(self, function: Any, step: Step, *arguments: Any) -> None:
        # Other tasks take no CPU: they are small, and a gang's own task only waits for its workers.
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
                if isinstance(error, ray.exceptions.RayTaskError):  # the task raised
                    outcomes.append(failed(ref, error))
                    continue
                ended_by_limit = self.limit.timeout_outcome(ref) if self.limit else None
                outcomes.append(ended_by_limit or lost(ref, str(error)))
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
        causes = [cause_of(failure) for failure in error.worker_failures.values()]
        if any(isinstance(cause, ray.exceptions.RayActorError) for cause in causes):
            return lost(step.ref, str(error))
        return failed(step.ref, error)
    except Exception as error:  # a step may fail in any way
        return failed(step.ref, error)
    return Outcome(step.ref)
