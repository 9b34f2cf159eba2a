"""Passes messages between a driver and its running steps, on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Link(Protocol):
    """Connects a driver and its steps. A backend makes one and puts it into the steps' context."""

    def stop_is_asked(self) -> bool:
        """Whether the driver wants running steps to leave a checkpoint, if they can, and end."""
        ...

    def end_is_near(self) -> bool:
        """Whether the machine under this step is about to be taken away."""
        ...

    def tell(self, ref: str, text: str) -> None:
        """Set the progress text of a step, which displays show."""
        ...

    def progress_text(self, ref: str) -> str:
        """The progress text that a step has set last; empty if it has set none."""
        ...


def _never() -> bool:
    return False


class OwnProcess:
    """The link of steps that run in the driver's own process."""

    def __init__(self, stop_is_asked: Callable[[], bool] = _never) -> None:
        self.stop_is_asked = stop_is_asked
        self._texts: dict[str, str] = {}

    def end_is_near(self) -> bool:
        return False

    def tell(self, ref: str, text: str) -> None:
        self._texts[ref] = text

    def progress_text(self, ref: str) -> str:
        return self._texts.get(ref, "")
