"""How long steps take together, on so many GPUs."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lussweep.errors import InputError

SMALLEST = 1e-9


@dataclass(frozen=True)
class Task:
    """A step as the scheduler sees it: on `n_workers` GPUs, a share of each."""

    seconds: float
    gpu_share: float = 0.0
    n_workers: int = 1
    inputs: Sequence[str] = ()

    @property
    def gpu_s(self) -> float:
        return self.seconds * self.gpu_share * self.n_workers


@dataclass(frozen=True)
class Schedule:
    """Wall time of tasks on so many GPUs, and the two times that none can undercut."""

    wall_s: float
    work_s: float
    """GPU-seconds over GPUs."""
    chain_s: float
    """The longest chain of tasks that wait for each other."""


def schedule(tasks: Mapping[str, Task], n_gpus: int) -> Schedule:
    """Greedy list scheduling: whatever is ready and fits starts, the longest chain behind it first.

    Inputs that are not among the tasks are done. Tasks without a GPU start as soon as they can:
    CPUs are taken to be enough. Never worse than work_s + chain_s where each task takes a whole GPU
    (Graham 1969). Raises InputError for a task that needs more GPUs than there are.
    """
    largest = max((task.n_workers for task in tasks.values() if task.gpu_share), default=0)
    if largest > n_gpus:
        raise InputError(f"a GAN has {largest} workers with a GPU each, --gpus {n_gpus} has fewer")
    chain = _chains(tasks)
    users: dict[str, list[str]] = defaultdict(list)
    waiting_for: dict[str, int] = {}
    for name, task in tasks.items():
        inputs = {i for i in task.inputs if i in tasks}
        waiting_for[name] = len(inputs)
        for parent in inputs:
            users[parent].append(name)
    number = {name: i for i, name in enumerate(tasks)}
    ready: dict[tuple[float, int], list[tuple[float, int, str]]] = defaultdict(list)

    def unlock(name: str) -> None:
        need = (tasks[name].gpu_share, tasks[name].n_workers)
        heapq.heappush(ready[need], (-chain[name], number[name], name))

    for name, n in waiting_for.items():
        if not n:
            unlock(name)
    free = [1.0] * n_gpus
    running: list[tuple[float, int, str, list[int]]] = []
    now = 0.0
    while running or any(ready.values()):
        open_needs = {need for need, queue in ready.items() if queue}
        while open_needs:
            need = min(open_needs, key=lambda need: ready[need][0])
            places = _places(free, *need)
            if places is None:
                open_needs.discard(need)
                continue
            _, i, name = heapq.heappop(ready[need])
            for gpu in places:
                free[gpu] -= need[0]
            heapq.heappush(running, (now + tasks[name].seconds, i, name, places))
            if not ready[need]:
                open_needs.discard(need)
        now, _, name, places = heapq.heappop(running)
        for gpu in places:
            free[gpu] += tasks[name].gpu_share
        for user in users[name]:
            waiting_for[user] -= 1
            if not waiting_for[user]:
                unlock(user)
    total = sum(task.gpu_s for task in tasks.values())
    return Schedule(now, total / n_gpus, max(chain.values(), default=0.0))


def _places(free: Sequence[float], share: float, n_workers: int) -> list[int] | None:
    """GPUs with room, the fullest first, so that whole ones stay free; None if too few have."""
    if not share:
        return []
    fitting = sorted((room, gpu) for gpu, room in enumerate(free) if room >= share - SMALLEST)
    return [gpu for _, gpu in fitting[:n_workers]] if len(fitting) >= n_workers else None


def _chains(tasks: Mapping[str, Task]) -> dict[str, float]:
    """Seconds of the longest chain that begins with each task; inputs stand before their users."""
    chain = {name: task.seconds for name, task in tasks.items()}
    for name in reversed(list(tasks)):
        for parent in tasks[name].inputs:
            if parent in chain:
                chain[parent] = max(chain[parent], tasks[parent].seconds + chain[name])
    return chain
