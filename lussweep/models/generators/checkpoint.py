"""Checkpoints of a GAN in training. Each is written whole or not at all; the latest few stay."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lussweep.errors import InputError
from lussweep.models.training.weights import read_state
from lussweep.store.files import whole_file

_NAME = re.compile(r"checkpoint_(\d{8})\.pt")


LOOK_S = 1.0
"""Seconds between checks of whether the training must stop or will lose its machine soon."""
MINUTES_BEFORE_THE_END = 0.25
"""Minutes between checkpoints on a machine that will be taken away soon."""


class Stopped(Exception):
    """A step was asked to stop and has ended early. It is neither done nor failed.

    A training has saved a checkpoint.
    """


@dataclass
class Checkpoints:
    """The place and the times at which a training saves its state.

    `key` stands for everything that the training depends on. A checkpoint with another key is
    refused.
    """

    folder: Path
    key: str
    minutes: float = 10.0
    n_kept: int = 2
    saved_at: float = field(default_factory=time.monotonic)
    on_saved: Callable[[], None] = lambda: None
    """Called after each save, for example to copy the folder elsewhere."""
    asked_to_stop: Callable[[], bool] = lambda: False
    """Whether the training must save a checkpoint and end."""
    end_is_near: Callable[[], bool] = lambda: False
    """Whether the machine will be taken away soon. Checkpoints are then closer together."""
    looked_at: float = 0.0
    is_asked: bool = False
    is_warned: bool = False

    def seconds_since(self) -> float:
        """Seconds since the last checkpoint, or since the start."""
        return time.monotonic() - self.saved_at

    def look(self) -> None:
        """Ask whether to stop and whether the machine will go, at most once in LOOK_S seconds."""
        now = time.monotonic()
        if now - self.looked_at >= LOOK_S:
            self.looked_at = now
            self.is_asked = self.asked_to_stop()
            if not self.is_warned and self.end_is_near():
                self.is_warned, self.saved_at = True, -math.inf  # makes a checkpoint due now
                self.minutes = min(self.minutes, MINUTES_BEFORE_THE_END)

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all, and delete all but the last `n_kept`."""
        earlier = self._paths()
        number = 1 + (_number(earlier[-1]) if earlier else 0)
        path = self.folder / f"checkpoint_{number:08d}.pt"
        with whole_file(path, durable=True) as scratch, scratch.open("wb") as file:
            torch.save({"key": self.key, **state}, file)
        for old in [*earlier, path][: -self.n_kept]:
            old.unlink()
        self.on_saved()
        self.saved_at = time.monotonic()

    def load(self, number: int | None = None) -> dict[str, Any] | None:
        """Load the latest readable checkpoint on the CPU, or None if there is none.

        With `number`, load exactly that one. Raises InputError if it is missing or cannot be
        read, or if a checkpoint belongs to another training.
        """
        paths = self._paths()
        if number is not None:
            paths = [path for path in paths if _number(path) == number]
            if not paths:
                raise InputError(f"{self.folder} has no checkpoint {number}: all workers share it")
        for path in reversed(paths):
            state = _read(path)
            if state is None:
                continue  # damaged: the checkpoint before it costs a few more minutes
            if state["key"] != self.key:
                raise InputError(
                    f"{path} is a checkpoint of another training ({state['key']}, this one is "
                    f"{self.key}): delete the folder {self.folder}"
                )
            return {**state, "number": _number(path)}
        if number is not None:
            raise InputError(f"checkpoint {number} in {self.folder} cannot be read")
        return None

    def _paths(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("checkpoint_*.pt") if _NAME.fullmatch(p.name))


def _read(path: Path) -> dict[str, Any] | None:
    """Read what `save` wrote; None if it is damaged."""
    try:
        state = read_state(path)
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and isinstance(state.get("key"), str) else None


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])
