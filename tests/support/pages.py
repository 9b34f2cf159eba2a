"""Reads the code blocks of the README and of docs/."""

from __future__ import annotations

import re


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
