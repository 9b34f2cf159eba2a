"""Reads the code blocks of the README and of docs/, and runs what a page shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from support.commands import ROOT, environment


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(page: str, heading: str) -> str:
    """The text of a section of a page of docs/."""
    return (ROOT / "docs" / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]


def write_block(text: str, language: str, path: Path) -> None:
    """Write the only code block of a section in one language to a file."""
    (block,) = blocks(text, language)
    path.write_text(block)


def run_command(text: str, folder: Path) -> None:
    """Run the only command of a section, which begins with `python`, in a folder."""
    (command,) = blocks(text, "bash")
    python, *arguments = shlex.split(command)
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
