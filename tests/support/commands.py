"""The small study, and how the tests run the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from typer.testing import CliRunner

from lussweep.cli.app import app

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
POCUS = ROOT.parent / "shared" / "data" / "pocus"
STANDING = (
    "RAY_preload_python_modules",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S",
)
"""The settings that the processes of a standing cluster need: a driver cannot give them later."""

TINY = """
name: tiny
data:
  phantom: {train_patients: 4, val_patients: 2, holdout_patients: 3, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {n_epochs: 2, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8}
classifier: {n_epochs: 2}
search: {n_trials: 2, channels: [1], learning_rates: [0.003, 0.001], dropouts: [0.25]}
analysis: {n_resamples: 100}
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


def with_helpers() -> dict[str, str]:
    """For a subprocess that imports `support` as well."""
    found = environment()
    found["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [found.get("PYTHONPATH")])])
    return found


def lussweep(
    *arguments: str | Path, cwd: Path, timeout_s: float = 500, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `before` is what starts it, such as a shell that sets a limit."""
    return subprocess.run(
        [*before, *command(*arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def invoke(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and everything printed by a command, in this process."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def succeed(*arguments: str | Path) -> str:
    """The output of a command that must succeed."""
    code, output = invoke(*arguments)
    assert code == 0, output
    return output


def refused(*arguments: str | Path) -> list[str]:
    """The error lines of a command that must end with code 2 and without a traceback."""
    code, output = invoke(*arguments)
    assert code == 2, output
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert lines, output
    return lines


def refusal(*arguments: str | Path) -> str:
    """The only error line of a command that must end with code 2."""
    (line,) = refused(*arguments)
    return line
