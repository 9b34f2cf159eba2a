"""When a step may be handed over: what it needs, what there is, and a little work ahead.

Pure: the cluster's executor and a simulated one (tests/benchmarks/bench_schedule.py) share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from lussweep.plan import Step

TASK_STAGES = ("shard", "ingest", "cohort", "external")
GPU_STAGES = ("gan", "trial", "features", "score", "synth", "memorisation", "evaluate")
SMALLEST = 1e-4
"""Ray counts resources in these; twelve tenths are not quite 1.2."""
LOOK_AHEAD = 2
"""Steps handed over beyond what there is room for, so that no worker waits for the driver."""


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
    """GPUs that one step of each kind takes, where the cluster has any."""

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
        self.shards_left = {step.ref for step in to_do if step.stage == "shard"}
        self._n_taken: Counter[Resources] = Counter()
        self._gang_waits = False

    def kind(self, step: Step) -> Hashable:
        """Steps of one kind are refused alike."""
        return step.stage, n_workers(step)

    def accepts(self, step: Step) -> bool:
        if is_gang(step):
            self._gang_waits = bool(self.in_flight)
            return not self._gang_waits
        if self._gang_waits or any(map(is_gang, self.in_flight.values())):
            return False
        # Tune's workers keep their CPUs from one trial to the next, and a task that asks for one
        # would wait behind them, perhaps for ever: shards, which need no other step, go first.
        if step.stage not in TASK_STAGES and self.shards_left:
            return False
        need = self.needs(step)
        taken = self._n_taken.items()
        cpus = sum(each.cpus * n for each, n in taken) + (1 - LOOK_AHEAD) * need.cpus
        gpus = sum(each.gpus * n for each, n in taken) + (1 - LOOK_AHEAD) * need.gpus
        fits = cpus <= self.total.cpus + SMALLEST
        return fits and (not need.gpus or gpus <= self.total.gpus + SMALLEST)

    def begin(self, step: Step) -> None:
        self.in_flight[step.ref] = step
        self._n_taken[self.needs(step)] += 1

    def end(self, ref: str) -> None:
        """The step has ended, well or not: a shard that failed holds nothing up."""
        need = self.needs(self.in_flight.pop(ref))
        self._n_taken[need] -= 1
        if not self._n_taken[need]:
            del self._n_taken[need]
        self.shards_left.discard(ref)

    def needs(self, step: Step) -> Resources:
        """Of all workers of the step together."""
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
