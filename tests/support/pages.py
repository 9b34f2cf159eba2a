"""Reads the code blocks and sections of the README and of docs/."""

from __future__ import annotations

import re

from support.commands import ROOT


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(page: str, heading: str) -> str:
    """The text of a section of a page of docs/."""
    return (ROOT / "docs" / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
