"""Decides when a step may be submitted, and with which resources.

Does no I/O, so that the cluster's executor and the simulated one (backend/simulated.py) share it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from lussweep.study.plan import Step

TASK_STAGES = ("shard", "ingest", "cohort", "external")
SMALLEST = 1e-4
"""The unit in which Ray counts resources. It also covers rounding: twelve times 0.1 is not 1.2."""
LOOK_AHEAD = 2
"""Steps submitted beyond the free resources, so that no worker waits for the driver. On GPUs no
step is submitted ahead while GANs are left, because it would take the place of a GAN that needs
more of a GPU, nor in the last round, because a longer step may become ready first."""


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs: what one step needs, or what a cluster has."""

    cpus: float
    gpus: float = 0.0

    def named(self) -> dict[str, float]:
        """The amounts by Ray's names, without zeros."""
        return {k: v for k, v in (("CPU", self.cpus), ("GPU", self.gpus)) if v}

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.named().items())


class Group(NamedTuple):
    """The features by which steps wait for the same kind of place."""

    stage: str
    gpus: float


def _group(step: Step) -> Group:
    return Group(step.stage, step.workers.gpus)


class Admission:
    """Accepts steps within the resources of the cluster, and remembers which are in flight.

    A gang (a step with several workers) waits until nothing is in flight. Other steps wait for it.
    """

    def __init__(self, to_do: Iterable[Step], total: Resources) -> None:
        """`to_do` are the steps without an artifact. `total.gpus` is 0 if no GPU may be used."""
        self.total = total
        self.in_flight: dict[str, Step] = {}
        self.granted: dict[str, Resources] = {}
        """The resources with which each step in flight was submitted, by ref."""
        self._left: dict[Group, set[str]] = defaultdict(set)
        """Refs of the steps that were never submitted, by group, whether they are ready or not."""
        self._groups: dict[str, Group] = {}
        for step in to_do:
            self._groups[step.ref] = group = _group(step)
            self._left[group].add(step.ref)
        self.shards_left = {ref for ref, group in self._groups.items() if group.stage == "shard"}
        self._n_taken: Counter[Resources] = Counter()
        self._gang_waits = False
        self._n_gangs = 0
        """Gangs in flight."""

    def kind(self, step: Step) -> Hashable:
        """The kind of a step. `accepts` gives the same answer for all steps of one kind."""
        return step.stage, step.workers

    def accepts(self, step: Step) -> bool:
        """Whether the step may be submitted now."""
        if is_gang(step):
            self._gang_waits = bool(self.in_flight)
            return not self._gang_waits
        if self._gang_waits or self._n_gangs:
            return False
        # Shards, which need no other step, go first. Tune's workers keep their CPUs from one trial
        # to the next, so that a task which needs a CPU could wait behind them for ever.
        if step.stage not in TASK_STAGES and self.shards_left:
            return False
        need = self.needs(step)
        taken = self._n_taken.items()
        cpus = sum(each.cpus * n for each, n in taken) + (1 - LOOK_AHEAD) * need.cpus
        gpus_left = sum(group.gpus * len(left) for group, left in self._left.items())
        gans_left = any(left for group, left in self._left.items() if group.stage == "gan")
        ahead = LOOK_AHEAD if gpus_left > self.total.gpus and not gans_left else 0
        gpus = sum(each.gpus * n for each, n in taken) + (1 - ahead) * need.gpus
        fits = cpus <= self.total.cpus + SMALLEST
        return fits and (not need.gpus or gpus <= self.total.gpus + SMALLEST)

    def begin(self, step: Step) -> Resources:
        """Note that the step is submitted. Returns its resources, with shares of idle GPUs."""
        need = self._spread(step)
        self.in_flight[step.ref] = step
        self.granted[step.ref] = need
        self._left[_group(step)].discard(step.ref)
        self._n_taken[need] += 1
        self._n_gangs += is_gang(step)
        return need

    def end(self, ref: str) -> None:
        """Note that the step has ended, done or failed."""
        self._n_gangs -= is_gang(self.in_flight.pop(ref))
        need = self.granted.pop(ref)
        self._n_taken[need] -= 1
        if not self._n_taken[need]:
            del self._n_taken[need]
        self.shards_left.discard(ref)

    def forget(self, refs: Iterable[str]) -> None:
        """Note that these steps will not be submitted, because they are done or blocked."""
        for ref in refs:
            if ref in self._groups:
                self._left[self._groups[ref]].discard(ref)
            self.shards_left.discard(ref)

    def _spread(self, step: Step) -> Resources:
        """The needs of a step, with a larger share of a GPU if GPUs would idle otherwise.

        Ray packs steps onto as few GPUs as possible. The last steps of a stage therefore take a
        third, a half or all of a GPU each if there is room. The first of them get the larger
        shares, because the longest steps come first.
        """
        need = self.needs(step)
        free = self.total.gpus - sum(each.gpus * n for each, n in self._n_taken.items())
        # Generators wait for data only and start soon, so other steps leave room for them.
        if step.stage != "gan":
            gans = (group for group in self._left if group.stage == "gan")
            free -= sum(group.gpus * len(self._left[group]) for group in gans)
        if is_gang(step) or not need.gpus or free < SMALLEST:
            return need
        # Allow 1 % slack: three shares of 1/3 round to 0.9999.
        n_a_gpu = max(1, math.floor(1.01 * self._n_left(step) / free), math.ceil(0.99 / free))
        share = math.floor(1 / n_a_gpu / SMALLEST) * SMALLEST
        return replace(need, gpus=max(need.gpus, share))

    def _n_left(self, step: Step) -> int:
        """The number of steps of its group that were never submitted, with this one."""
        waiting = self._left[_group(step)]
        return len(waiting) + (step.ref not in waiting)  # a retry was submitted before

    def share(self, step: Step) -> float:
        """The share of the cluster's CPUs or GPUs that the step takes at least."""
        need, total = self.needs(step), self.total
        of_gpus = need.gpus / total.gpus if need.gpus else 0.0
        return min(1.0, max(need.cpus / total.cpus, of_gpus))

    def needs(self, step: Step) -> Resources:
        """The least resources of all workers of the step together."""
        worker = self.worker_needs(step)
        return Resources(worker.cpus * step.workers.n, worker.gpus * step.workers.n)

    def worker_needs(self, step: Step) -> Resources:
        """The least resources of one worker of the step."""
        n_threads = float(step.spec.get("n_threads", 1))
        if not self.total.gpus:
            return Resources(n_threads)
        # The workers of one gang cannot share a GPU.
        return Resources(n_threads, 1.0 if is_gang(step) else step.workers.gpus)


def is_gang(step: Step) -> bool:
    """Whether the step runs on several workers that must start together."""
    return step.workers.n > 1
