"""Refers to functions of other modules, and imports a module when its function is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def imported(place: str) -> Callable[..., Any]:
    """The function at `package.module:function`, imported when it is called.

    Reading an experiment needs the spec of a network, but not PyTorch.
    """

    def function(*arguments: Any, **options: Any) -> Any:
        module, _, name = place.partition(":")
        return getattr(import_module(module), name)(*arguments, **options)

    return function
