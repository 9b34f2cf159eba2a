"""Sums and decisions that the workers of one training share. One worker alone sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from lussweep.models.generators.checkpoint import Checkpoints

T = TypeVar("T")

AGREEMENTS = 10
"""How often workers compare clocks between two checkpoints."""


@dataclass(frozen=True)
class Gang:
    """The workers of one training, as one of them sees them. Their process group is initialised."""

    rank: int = 0
    """The number of this worker."""
    size: int = 1

    def share(self, start: int, n_batch: int) -> slice:
        """This worker's share of a batch: every `size`-th image."""
        return slice(start + self.rank, start + n_batch, self.size)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all workers, as a new tensor."""
        total = values.clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def of_first(self, value: torch.Tensor) -> torch.Tensor:
        """The first worker's value. Workers may round differently, but must decide alike."""
        if self.size > 1:
            dist.broadcast(value, 0)
        return value

    def gathered(self, value: T) -> list[T]:
        """The objects of all workers, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def latest(self, checkpoints: Checkpoints) -> dict[str, Any] | None:
        """Load the latest checkpoint. All workers load the one that the first can read."""
        if self.size == 1:
            return checkpoints.load()
        saved = checkpoints.load() if self.rank == 0 else None
        number = [None if saved is None else saved["number"]]
        dist.broadcast_object_list(number, src=0)
        if self.rank == 0 or number[0] is None:
            return saved
        return checkpoints.load(number[0])


class CheckpointClock:
    """Says after each step whether a checkpoint is due, and whether the training must stop."""

    def __init__(self, checkpoints: Checkpoints | None, gang: Gang, device: torch.device) -> None:
        self.checkpoints, self.gang, self.device = checkpoints, gang, device
        self.n_steps = self.next_agreement = 0

    def stop_is_asked(self) -> bool:
        """Whether this training was asked to stop.

        With several workers the answer is always no: they would have to agree, so they save
        checkpoints by the clock only.
        """
        if self.checkpoints is None or self.gang.size > 1:
            return False
        self.checkpoints.look()
        return self.checkpoints.is_asked

    def is_due(self) -> bool:
        """Whether a checkpoint is due. All workers must agree, so they compare clocks at times."""
        self.n_steps += 1
        if self.checkpoints is None:
            return False
        limit_s = 60 * self.checkpoints.minutes
        if self.gang.size == 1:
            return self.checkpoints.seconds_since() >= limit_s
        if self.n_steps < self.next_agreement:
            return False
        elapsed = torch.tensor([self.checkpoints.seconds_since()], device=self.device)
        dist.all_reduce(elapsed, dist.ReduceOp.MAX)
        seconds_per_step = max(float(elapsed) / self.n_steps, 1e-6)
        is_due = float(elapsed) >= limit_s * (1 - 1 / AGREEMENTS)
        if is_due:
            self.n_steps = 0
        wait = int(limit_s / AGREEMENTS / seconds_per_step)
        self.next_agreement = self.n_steps + max(1, wait)
        return is_due
