"""Steps on a Ray cluster: data as plain tasks, learning through Ray Tune, gangs through Train."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lussweep.backend.cluster.session import ray
from lussweep.backend.cluster.training import train_on_workers
from lussweep.backend.cluster.tuning import Resources, TuneService
from lussweep.backend.driver import BackendError, Outcome
from lussweep.backend.inline import attempt, failed, refuse_unsupported
from lussweep.errors import InputError
from lussweep.plan import Plan, Step
from lussweep.stages import Context

TASK_STAGES = ("shard", "ingest", "cohort", "external")
GPU_STAGES = ("gan", "trial", "features", "score", "synth", "memorisation", "evaluate")
LOOK_AHEAD = 2
"""Steps handed to Ray beyond what it can run, so that no worker waits for the driver."""


@dataclass(frozen=True)
class GpuShares:
    """GPUs that one step of each kind takes, where the cluster has any."""

    gan: float = 1.0
    trial: float = 0.25
    other: float = 0.25


class ClusterExecutor:
    """Submits to the Ray that this process is connected to."""

    def __init__(
        self, plan: Plan, context: Context, folder: Path, gpu_shares: GpuShares | None = None
    ) -> None:
        self.plan = plan
        self.context = context
        self.folder = folder
        self.total = ray.cluster_resources()
        self.use_gpu = self.total.get("GPU", 0) > 0 and context.device != "cpu"
        self.gpu_shares = gpu_shares or GpuShares()
        self.in_flight: dict[str, Resources] = {}
        self.tasks: dict[Any, str] = {}
        self.tune: TuneService | None = None
        self.gang_waits = False
        store = context.store.surveyed()
        self.shards_left = {
            ref for ref, step in plan.steps.items() if step.stage == "shard" and not store.has(ref)
        }
        self._refuse_unplaceable()
        if not self.use_gpu:  # what the GPUs of other nodes can do, only their workers know
            refuse_unsupported(plan, torch.device("cpu"))

    def __enter__(self) -> ClusterExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.tune is not None and exc[0] is None:
            self.tune.close()

    def accepts(self, step: Step) -> bool:
        """Bounded by what the cluster has; a gang waits for a free cluster, others wait for it."""
        if _is_gang(step):
            self.gang_waits = bool(self.in_flight)
            return not self.gang_waits
        if self.gang_waits or any(_is_gang(self.plan.steps[ref]) for ref in self.in_flight):
            return False
        # Tune's workers keep their CPUs from one trial to the next, and a task that asks for one
        # would wait behind them, perhaps for ever: shards, which need no other step, go first.
        if step.stage not in TASK_STAGES and self.shards_left:
            return False
        need = self._needs(step)
        cpus = sum(r.cpus for r in self.in_flight.values()) + need.cpus
        gpus = sum(r.gpus for r in self.in_flight.values()) + need.gpus
        fits = cpus <= self.total.get("CPU", 1) + LOOK_AHEAD * need.cpus
        return fits and (not need.gpus or gpus <= self.total["GPU"] + LOOK_AHEAD * need.gpus)

    def submit(self, step: Step) -> None:
        self.in_flight[step.ref] = self._needs(step)
        if _is_gang(step):
            if self.tune is not None:  # its idle workers would keep the gang from starting
                self.tune.close()
                self.tune = None
            self._start_task(_gang_task, step, str(self.folder), self.use_gpu)
        elif step.stage in TASK_STAGES:
            self._start_task(_step_task, step)
        else:
            if self.tune is None:
                self.tune = TuneService(
                    self.plan.steps, self._resources(), self.context, self.folder
                )
            self.tune.submit(step)

    def wait(self) -> list[Outcome]:
        ended: list[Outcome] = []
        while not ended:
            ended += self._finished_tasks(timeout=0.05 if self._tune_runs() else 5.0)
            ended += self._finished_trials(timeout=0.0 if self.tasks else 1.0)
        for outcome in ended:
            del self.in_flight[outcome.ref]
            self.shards_left.discard(outcome.ref)
        return ended

    def _refuse_unplaceable(self) -> None:
        """Ray would wait for ever, and in silence, for what no node has."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = {
            (self._worker_needs(step), step.spec["gan"]["n_workers"] if step.stage == "gan" else 1)
            for step in self.plan.steps.values()
        }
        problems = []
        for need, n_workers in sorted(asked, key=str):
            slots = sum(
                min(int(node.get(name, 0) / amount) for name, amount in need.named().items())
                for node in nodes
            )
            if slots < n_workers:
                each = ", ".join(f"{amount:g} {name}" for name, amount in need.named().items())
                problems.append(
                    f"{n_workers} worker(s) of {each} asked, the cluster's nodes hold {slots}: "
                    "lower gan.n_workers or compute.n_threads, or add nodes"
                )
        if problems:
            raise InputError(problems)

    def _worker_needs(self, step: Step) -> Resources:
        n_threads = float(step.spec.get("n_threads", 1))
        gpus = 0.0
        if self.use_gpu and _is_gang(step):
            gpus = 1.0  # the workers of one gang cannot share a GPU
        elif self.use_gpu and step.stage in GPU_STAGES:
            gpus = getattr(self.gpu_shares, step.stage, self.gpu_shares.other)
        return Resources(n_threads, gpus)

    def _needs(self, step: Step) -> Resources:
        worker = self._worker_needs(step)
        n_workers = step.spec["gan"]["n_workers"] if step.stage == "gan" else 1
        return Resources(worker.cpus * n_workers, worker.gpus * n_workers)

    def _resources(self) -> Mapping[str, Resources]:
        """By stage: steps with one worker are the same throughout a stage of one study."""
        steps = self.plan.steps.values()
        return {step.stage: self._needs(step) for step in steps if not _is_gang(step)}

    def _start_task(self, function: Any, step: Step, *arguments: Any) -> None:
        # The other tasks are too small to wait for a CPU; a gang's driver computes nothing.
        n_cpus = self._needs(step).cpus if step.stage == "shard" else 0
        task = function.options(num_cpus=n_cpus).remote(step, self.context, *arguments)
        self.tasks[task] = step.ref

    def _tune_runs(self) -> bool:
        return self.tune is not None and len(self.in_flight) > len(self.tasks)

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
                outcomes.append(failed(ref, error))
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


def _is_gang(step: Step) -> bool:
    return step.stage == "gan" and step.spec["gan"]["n_workers"] > 1


@ray.remote(max_retries=2)
def _step_task(step: Step, context: Context) -> Outcome:
    return attempt(step, context)


@ray.remote(max_retries=0)
def _gang_task(step: Step, context: Context, folder: str, use_gpu: bool) -> Outcome:
    try:
        train_on_workers(step, context, Path(folder), use_gpu)
    except Exception as error:  # the boundary: a step may fail in any way
        return failed(step.ref, error)
    return Outcome(step.ref)
