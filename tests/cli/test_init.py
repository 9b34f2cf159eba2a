"""`lussweep init` writes both of its files or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lussweep.cli import init as module


def test_nothing_is_left_if_the_experiment_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(6):
        path = tmp_path / ("normal", "ards")[i % 2] / f"P{i}_1.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.full((2, 8, 8), 10 * i, np.uint8))

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(module, "_experiment", fail)
    with pytest.raises(OSError, match="no space"):
        module.init(tmp_path, positive=["ards"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ards", "normal"]
