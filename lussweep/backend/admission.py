"""When a step may be handed over: what it needs, what there is, and a little work ahead.

Pure: the cluster's executor and a simulated one (backend/simulated.py) share it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from lussweep.study.costs import GPU_STAGES
from lussweep.study.plan import Step

TASK_STAGES = ("shard", "ingest", "cohort", "external")
SMALLEST = 1e-4
"""Ray counts resources in these; twelve tenths are not quite 1.2."""
LOOK_AHEAD = 2
"""Steps handed over beyond what there is room for, so that no worker waits for the driver; not of
the last round on GPUs, where a longer step or more of a GPU may come first."""


@dataclass(frozen=True)
class Resources:
    """What one step asks of a node, or what there is."""

    cpus: float
    gpus: float = 0.0

    def named(self) -> dict[str, float]:
        """As Ray names them, without zeros."""
        return {k: v for k, v in (("CPU", self.cpus), ("GPU", self.gpus)) if v}

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.named().items())


@dataclass(frozen=True)
class GpuShares:
    """GPUs that one step of each kind takes at least, where the cluster has any."""

    gan: float = 1.0
    trial: float = 0.25
    other: float = 0.25

    def of(self, stage: str) -> float:
        """The share of a step of this stage; 0 where it computes on CPUs alone."""
        if stage not in GPU_STAGES:
            return 0.0
        return {"gan": self.gan, "trial": self.trial}.get(stage, self.other)


class Admission:
    """Bounded by what there is; a gang waits until all is free, and others wait for it."""

    def __init__(self, to_do: Iterable[Step], total: Resources, shares: GpuShares) -> None:
        """`total.gpus` is 0 where none are to be used; `to_do` are steps without an artifact."""
        self.total, self.shares = total, shares
        self.in_flight: dict[str, Step] = {}
        self.handed: dict[str, Resources] = {}
        """What the steps in flight were handed over with."""
        self._left: dict[str, set[str]] = defaultdict(set)
        """By stage the steps that were never begun, whether they are ready or not."""
        for step in to_do:
            self._left[step.stage].add(step.ref)
        self.shards_left = set(self._left["shard"])
        self._n_taken: Counter[Resources] = Counter()
        self._gang_waits = False
        self._n_gangs = 0
        """In flight."""

    def kind(self, step: Step) -> Hashable:
        """Steps of one kind are refused alike."""
        return step.stage, n_workers(step)

    def accepts(self, step: Step) -> bool:
        if is_gang(step):
            self._gang_waits = bool(self.in_flight)
            return not self._gang_waits
        if self._gang_waits or self._n_gangs:
            return False
        # Tune's workers keep their CPUs from one trial to the next, and a task that asks for one
        # would wait behind them, perhaps for ever: shards, which need no other step, go first.
        if step.stage not in TASK_STAGES and self.shards_left:
            return False
        need = self.needs(step)
        taken = self._n_taken.items()
        cpus = sum(each.cpus * n for each, n in taken) + (1 - LOOK_AHEAD) * need.cpus
        gpus_left = sum(self.shares.of(stage) * len(left) for stage, left in self._left.items())
        ahead = LOOK_AHEAD if gpus_left > self.total.gpus else 0
        gpus = sum(each.gpus * n for each, n in taken) + (1 - ahead) * need.gpus
        fits = cpus <= self.total.cpus + SMALLEST
        return fits and (not need.gpus or gpus <= self.total.gpus + SMALLEST)

    def begin(self, step: Step) -> Resources:
        """What the step is handed over with: what it needs, and more of a GPU that would idle."""
        need = self._spread(step)
        self.in_flight[step.ref] = step
        self.handed[step.ref] = need
        self._left[step.stage].discard(step.ref)
        self._n_taken[need] += 1
        self._n_gangs += is_gang(step)
        return need

    def end(self, ref: str) -> None:
        """The step has ended, well or not: a shard that failed holds nothing up."""
        self._n_gangs -= is_gang(self.in_flight.pop(ref))
        need = self.handed.pop(ref)
        self._n_taken[need] -= 1
        if not self._n_taken[need]:
            del self._n_taken[need]
        self.shards_left.discard(ref)

    def forget(self, refs: Iterable[str]) -> None:
        """Steps that will not be begun after all: others have done them, or they are blocked."""
        for ref in refs:
            self._left[ref.partition("/")[0]].discard(ref)
            self.shards_left.discard(ref)

    def _spread(self, step: Step) -> Resources:
        """No GPU is shared while another idles: where a stage's last steps leave room, they have
        a half or a third of a GPU each, or all of it, because Ray would put them on as few as
        they fit on. The first have the larger shares: they are the longest."""
        need = self.needs(step)
        free = self.total.gpus - sum(each.gpus * n for each, n in self._n_taken.items())
        if step.stage != "gan":  # GANs wait for nothing but their data: theirs is not to be had
            free -= self.shares.gan * len(self._left["gan"])
        if is_gang(step) or not need.gpus or free < SMALLEST:
            return need
        # A hundredth more, as thirds are cut to 0.3333: none may be left over for want of a crumb.
        n_a_gpu = max(1, math.floor(1.01 * self._n_left(step) / free), math.ceil(0.99 / free))
        share = math.floor(1 / n_a_gpu / SMALLEST) * SMALLEST
        return replace(need, gpus=max(need.gpus, share))

    def _n_left(self, step: Step) -> int:
        """Of its stage, itself among them."""
        left = self._left[step.stage]
        return len(left) + (step.ref not in left)  # one that is tried again was begun before

    def needs(self, step: Step) -> Resources:
        """Of all workers of the step together, at least."""
        worker = self.worker_needs(step)
        return Resources(worker.cpus * n_workers(step), worker.gpus * n_workers(step))

    def worker_needs(self, step: Step) -> Resources:
        n_threads = float(step.spec.get("n_threads", 1))
        if not self.total.gpus:
            return Resources(n_threads)
        # The workers of one gang cannot share a GPU.
        return Resources(n_threads, 1.0 if is_gang(step) else self.shares.of(step.stage))


def n_workers(step: Step) -> int:
    return int(step.spec["gan"]["n_workers"]) if step.stage == "gan" else 1


def is_gang(step: Step) -> bool:
    return n_workers(step) > 1
