"""Simulates a run with the driver's loop and rule of admission, on a simulated clock and GPUs.

Steps start as on Ray: in the order of submission, as soon as one fits, on the fullest GPU with
room. A GAN that needs a whole GPU therefore waits while trials hold a part of each. Steps run at
full speed as long as they fill at most one GPU together. Beyond that, the GPU slows all of them
alike.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count

from lussweep.backend.admission import SMALLEST, Admission, Resources
from lussweep.backend.driver import Outcome, run_plan
from lussweep.errors import InputError
from lussweep.study.costs import Task
from lussweep.study.plan import Plan, Step


class SimulatedStore:
    """Remembers which steps are done, in place of a store of artifacts."""

    def __init__(self, done: Collection[str] = ()) -> None:
        self.done = set(done)

    def has(self, ref: str) -> bool:
        return ref in self.done


@dataclass
class _Running:
    task: Task
    gpus: list[int]
    left_s: float
    """Seconds left at full speed, as of the time `since_s`."""
    since_s: float
    speed: float = 0.0
    end_id: int = -1
    """The id of its valid entry in the heap of ends. Entries with earlier ids are void."""


class SimulatedExecutor:
    """Runs steps for the seconds of their tasks. The clock jumps from one end to the next."""

    def __init__(
        self,
        plan: Plan,
        tasks: Mapping[str, Task],
        total: Resources,
        store: SimulatedStore,
    ) -> None:
        self.tasks, self.store = tasks, store
        to_do = (step for ref, step in plan.steps.items() if not store.has(ref))
        self.admission = Admission(to_do, total)
        self.kind, self.accepts = self.admission.kind, self.admission.accepts
        self.share, self.forget = self.admission.share, self.admission.forget
        self.free_gpus, self.free_cpus = [1.0] * int(total.gpus), total.cpus
        self.on_gpu: list[set[str]] = [set() for _ in self.free_gpus]
        self.queue: list[Step] = []
        self.running: dict[str, _Running] = {}
        self.ends: list[tuple[float, int, str]] = []
        self.end_ids = count()
        self.now_s = self.gpu_busy_s = 0.0
        self.started_s: dict[str, float] = {}
        self.ended_s: dict[str, float] = {}

    def submit(self, step: Step) -> None:
        assert all(map(self.store.has, step.inputs.values())), "begun before its inputs were there"
        self.admission.begin(step)
        self.queue.append(step)

    def progress_text(self, ref: str) -> str:
        return ""

    def wait(self) -> list[Outcome]:
        self.queue = [step for step in self.queue if not self._start(step)]
        outcomes: list[Outcome] = []
        while self.ends and (not outcomes or self.ends[0][0] == self.now_s):
            end_s, end_id, ref = heapq.heappop(self.ends)
            if ref in self.running and self.running[ref].end_id == end_id:
                self.now_s = end_s
                self._end(ref)
                outcomes.append(Outcome(ref))
        assert outcomes, "what waits has no room though nothing runs"
        return outcomes

    def _start(self, step: Step) -> bool:
        task, need = self.tasks[step.ref], self.admission.granted[step.ref]
        places = _places(self.free_gpus, need.gpus / task.n_workers, task.n_workers)
        if need.cpus > self.free_cpus or places is None:
            return False
        self.free_cpus -= need.cpus
        self.running[step.ref] = _Running(task, places, task.seconds, self.now_s)
        self.started_s[step.ref] = self.now_s
        for gpu in places:
            self.free_gpus[gpu] -= need.gpus / task.n_workers
            self.on_gpu[gpu].add(step.ref)
        self._set_speeds({step.ref}.union(*(self.on_gpu[gpu] for gpu in places)))
        return True

    def _end(self, ref: str) -> None:
        ended, need = self.running.pop(ref), self.admission.granted[ref]
        self.free_cpus += need.cpus
        self.gpu_busy_s += ended.task.work_s
        for gpu in ended.gpus:
            self.free_gpus[gpu] += need.gpus / ended.task.n_workers
            self.on_gpu[gpu].discard(ref)
        self._set_speeds(set().union(*(self.on_gpu[gpu] for gpu in ended.gpus)))
        self.admission.end(ref)
        self.ended_s[ref] = self.now_s
        self.store.done.add(ref)

    def _set_speeds(self, refs: set[str]) -> None:
        for ref in refs:
            running = self.running[ref]
            fullest = max((self._filled(gpu) for gpu in running.gpus), default=0.0)
            speed = 1 / max(1.0, fullest)
            if speed != running.speed:
                running.left_s -= (self.now_s - running.since_s) * running.speed
                running.since_s, running.speed, running.end_id = (
                    self.now_s,
                    speed,
                    next(self.end_ids),
                )
                end_s = self.now_s + max(0.0, running.left_s) / speed
                heapq.heappush(self.ends, (end_s, running.end_id, ref))

    def _filled(self, gpu: int) -> float:
        tasks = (self.running[ref].task for ref in self.on_gpu[gpu])
        return sum(task.gpu_share if task.fills is None else task.fills for task in tasks)


def simulate(
    plan: Plan,
    tasks: Mapping[str, Task],
    total: Resources,
    *,
    costs: Mapping[str, float] | None = None,
    done: Collection[str] = (),
) -> SimulatedExecutor:
    """Run every step that is not done. Returns the executor, whose `now_s` is the time taken.

    `costs` are the durations that the driver expects, by ref, which may differ from the true ones
    of `tasks`. Raises InputError for a GAN with more workers than there are GPUs.
    """
    largest = max((tasks[r].n_workers for r in plan.steps if tasks[r].gpu_share), default=0)
    if largest > total.gpus:
        raise InputError(
            f"a GAN has {largest} workers with a GPU each, --gpus {total.gpus:g} has fewer"
        )
    store = SimulatedStore(done)
    executor = SimulatedExecutor(plan, tasks, total, store)
    progress = run_plan(plan, store, executor, costs=costs)
    assert len(progress.done) == len(plan.steps), "not all was done"
    return executor


def wall_seconds(
    plan: Plan,
    tasks: Mapping[str, Task],
    n_gpus: int,
    done: Collection[str] = (),
) -> float:
    """Simulated seconds of the steps that are not done, on `n_gpus` GPUs and any number of CPUs."""
    total = Resources(math.inf, n_gpus)
    costs = {ref: task.seconds for ref, task in tasks.items()}
    return simulate(plan, tasks, total, costs=costs, done=done).now_s


def _places(free: list[float], share: float, n_workers: int) -> list[int] | None:
    """The fullest GPUs with room for each worker, so that whole ones stay free; None if too few."""
    if not share:
        return []
    fitting = sorted((room, gpu) for gpu, room in enumerate(free) if room >= share - SMALLEST)
    return [gpu for _, gpu in fitting[:n_workers]] if len(fitting) >= n_workers else None
