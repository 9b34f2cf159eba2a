"""Messages between a driver and a running step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Link(Protocol):
    """The backend makes a link and gives it to its steps, in their context."""

    def stop_is_asked(self) -> bool:
        """Whether steps should save a checkpoint, if they can, and end."""
        ...

    def end_is_near(self) -> bool:
        """Whether the machine under this step is about to be taken away."""
        ...

    def tell(self, ref: str, text: str) -> None:
        """How far a step is, for who watches."""
        ...

    def told(self, ref: str) -> str:
        """What a step said last; empty if it says nothing."""
        ...


def _never() -> bool:
    return False


class OwnProcess:
    """Steps that run in the driver's process."""

    def __init__(self, stop_is_asked: Callable[[], bool] = _never) -> None:
        self.stop_is_asked = stop_is_asked
        self._texts: dict[str, str] = {}

    def end_is_near(self) -> bool:
        return False

    def tell(self, ref: str, text: str) -> None:
        self._texts[ref] = text

    def told(self, ref: str) -> str:
        return self._texts.get(ref, "")
