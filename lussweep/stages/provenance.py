"""The circumstances of a step, for its record: host, versions, memory. They enter no key."""

from __future__ import annotations

import functools
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from lussweep.store.versions import installed_versions

LIBRARIES = (
    "lussweep",
    "torch",
    "numpy",
    "av",
    "opencv-python-headless",
    "optuna",
    "ray",
    "scikit-learn",
)


@functools.cache
def circumstances() -> dict[str, Any]:
    """Host, Python, library versions and the git commit of the code, if there is one."""
    return {
        "host": platform.node(),
        "python": platform.python_version(),
        "libraries": installed_versions(LIBRARIES),
        "git_commit": _git_commit(),
    }


def peak_memory_bytes() -> int:
    """The largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _git_commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    folder = Path(__file__).parents[1]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # A copy that is installed inside another project's checkout would give that project's commit.
    inside = folder.parent.joinpath(".git").exists()
    return done.stdout.strip() if done.returncode == 0 and inside else None
