"""Lower bounds on the wall time of any schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

MOST_LOOKS = 4_000_000
"""Limit of the sets that are tried, times the tasks in each. Every set gives a valid bound, so
fewer sets make the bound weaker, not wrong."""


@dataclass(frozen=True)
class Task:
    """A step as a scheduler sees it: on `n_workers` GPUs, for at least `seconds`."""

    seconds: float
    """Seconds if its GPUs do nothing else."""
    gpu_share: float = 0.0
    """Share of each GPU that is reserved for it; 0 without a GPU."""
    n_workers: int = 1
    inputs: Sequence[str] = ()
    fills: float | None = None
    """Share of a GPU that it can use; None: `gpu_share`."""

    @property
    def gpu_s(self) -> float:
        """Seconds of one GPU that no other task can use."""
        return self.seconds * (self.gpu_share if self.fills is None else self.fills)

    @property
    def work_s(self) -> float:
        """GPU-seconds of all workers."""
        return self.gpu_s * self.n_workers


@dataclass(frozen=True)
class Bounds:
    """Lower bounds on the seconds of any schedule."""

    work_s: float
    """GPU-seconds divided by GPUs."""
    chain_s: float
    """Seconds of the longest chain of tasks that wait for each other."""
    no_less_s: float
    """The best known bound, at least as large as the other two."""


def bounds(tasks: Mapping[str, Task], n_gpus: int) -> Bounds:
    """Bound the wall time of tasks on `n_gpus` GPUs from below.

    `tasks` lists inputs before their users. Inputs that are not among the tasks are done.

    Take any set of GPU tasks. None of them can begin before the earliest `head` in the set, and
    after the last one at least the shortest `tail` follows. In between there is at least the
    largest of

    - the work of the set divided by the GPUs;
    - i + 1 times the least GPU time among the i k + 1 largest, for any i, because one of k GPUs
      runs i + 1 of them;
    - i + 1 times the shortest time among the i p + 1 longest, for any i, because one of p places
      runs i + 1 of them. A GPU has floor(1 / share) places.

    The sets tried are those with a head of at least r and a tail of at least q, for some r and q.
    """
    head, tail = chains(tasks)
    on_gpu = [name for name, task in tasks.items() if task.gpu_share]
    work = sum(tasks[name].work_s for name in on_gpu) / n_gpus
    chain = max((head[name] + tasks[name].seconds + tail[name] for name in tasks), default=0.0)
    best = max(work, chain)
    n_tried = max(2, min(40, math.isqrt(MOST_LOOKS // max(1, len(on_gpu)))))
    heads, tails = (_some((times[n] for n in on_gpu), n_tried) for times in (head, tail))
    for r, q in product(heads, tails):
        chosen = [name for name in on_gpu if head[name] >= r and tail[name] >= q]
        if chosen:
            least_head = min(head[name] for name in chosen)
            least_tail = min(tail[name] for name in chosen)
            between = _between([tasks[name] for name in chosen], n_gpus)
            best = max(best, least_head + between + least_tail)
    return Bounds(work, chain, best)


def chains(tasks: Mapping[str, Task]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of the longest chain of tasks before each task, and after it."""
    head = dict.fromkeys(tasks, 0.0)
    tail = dict.fromkeys(tasks, 0.0)
    for name, task in tasks.items():
        parents = [parent for parent in task.inputs if parent in tasks]
        head[name] = max((head[i] + tasks[i].seconds for i in parents), default=0.0)
    for name in reversed(list(tasks)):
        for parent in tasks[name].inputs:
            if parent in tasks:
                tail[parent] = max(tail[parent], tasks[name].seconds + tail[name])
    return head, tail


def _between(tasks: Sequence[Task], n_gpus: int) -> float:
    n_places = n_gpus * math.floor(1 / min(task.gpu_share for task in tasks) + 1e-6)
    return max(
        sum(task.work_s for task in tasks) / n_gpus,
        _fullest([task.gpu_s for task in tasks], n_gpus),
        _fullest([task.seconds for task in tasks], n_places),
    )


def _fullest(amounts: Sequence[float], n_places: int) -> float:
    """The least load of the fullest of n places.

    However amounts are distributed, one place gets i + 1 of the i n + 1 largest.
    """
    down = sorted(amounts, reverse=True)
    return max((i + 1) * amount for i, amount in enumerate(down[::n_places]))


def _some(values: Iterable[float], n: int) -> list[float]:
    """At most n distinct values, evenly spaced in rank, with the least and the largest."""
    distinct = sorted(set(values))
    if len(distinct) <= n:
        return distinct
    return [distinct[round(i * (len(distinct) - 1) / (n - 1))] for i in range(n)]
