"""`lussweep grid` as a process that is watched, signalled and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from support.commands import command, with_helpers


class Driver:
    """`lussweep grid` in a process group of its own, as a terminal would start it."""

    def __init__(
        self,
        run: Path,
        *arguments: str | Path,
        faults: Mapping[str, tuple[str, int]] | None = None,
        out: str | None = None,
    ) -> None:
        """`faults` happen to its steps: see `FaultyStore`; `out` is another place than `run`."""
        self.run = run
        given = ("grid", *map(str, arguments), "--out", out or str(run))
        faulty = [sys.executable, "-m", "support.faulty", json.dumps(faults), *given]
        own = {k: v for k, v in with_helpers().items() if k != "RAY_AUTH_MODE"}  # of another Ray
        self.process = subprocess.Popen(
            faulty if faults else command(*given), cwd=run.parent, env=own,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def until(self, happens: Callable[[], object], timeout_s: float = 300) -> None:
        deadline = time.monotonic() + timeout_s
        while not happens():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def signal_all(self, number: int) -> None:
        """As Ctrl-C does: every process of the terminal gets it."""
        os.killpg(self.process.pid, number)

    def end(self, timeout_s: float = 300) -> tuple[int, str]:
        """Exit code and standard error; what it printed is in `printed`."""
        self.printed, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, err

    def gan_epoch(self) -> int:
        """Epochs that its GAN has told of."""
        try:
            state = json.loads((self.run / "state.json").read_text())
        except FileNotFoundError:
            return 0
        gans = [step for step in state["running"] if step["ref"].startswith("gan/")]
        told = [step["progress"] for step in gans]
        return max((int(text.split()[1]) for text in told if text), default=0)


def checkpoint_epoch(run: Path) -> int:
    """How far the checkpoints of any GAN under way go."""
    found = run.glob("artifacts/.work/gan-*/checkpoints/checkpoint_*.pt")
    return max(int(torch.load(path, weights_only=True)["epoch"]) for path in found)
