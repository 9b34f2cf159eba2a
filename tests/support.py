"""The small study, and how the tests run the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
POCUS = ROOT.parent / "shared" / "data" / "pocus"

TINY = """
name: tiny
data:
  phantom: {train_patients: 4, val_patients: 2, holdout_patients: 3, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {n_epochs: 2, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8}
classifier: {n_epochs: 2}
search: {n_trials: 2, channels: [1], learning_rates: [0.003, 0.001], dropouts: [0.25]}
evaluate: {n_resamples: 50}
grid: {n_patients: [2, 3], replicates: 1}
"""


def command(*arguments: str | Path) -> list[str]:
    """`lussweep ...` as a subprocess."""
    return [sys.executable, "-m", "lussweep", *map(str, arguments)]


def environment() -> dict[str, str]:
    """For a subprocess: the checkout on the path only where lussweep is not installed."""
    found = dict(os.environ)
    try:
        metadata.distribution("lussweep")
    except metadata.PackageNotFoundError:
        found["PYTHONPATH"] = str(ROOT)
    return found


def lussweep(
    *arguments: str | Path, cwd: Path, timeout_s: float = 500
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
