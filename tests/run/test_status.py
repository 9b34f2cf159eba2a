"""What the status of a run says of the time left."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lussweep.cli.status import headline, print_status
from lussweep.errors import InputError
from lussweep.run.status import status_of
from lussweep.store.folders import folder_at


def left_of(folder: Path, left_s: object, age_s: float = 0.0) -> object:
    """The time left that the status of a live driver gives. Its state is `age_s` seconds old."""
    state = {
        "host": "node7", "pid": 4711, "written": time.time() - age_s, "ended": None,
        "left_s": left_s, "name": "tiny", "cells": [], "stages": {}, "running": [], "n_failed": 0,
        "failures": [],
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state))
    status = status_of(folder_at(str(folder)))
    assert status["driver"] == "works"
    return status["left_s"]


def test_the_time_left_shrinks_with_the_age_of_the_state(tmp_path: Path) -> None:
    assert left_of(tmp_path, [100.0, 200.0], age_s=30.0) == pytest.approx((70.0, 170.0), abs=5.0)
    assert left_of(tmp_path, [10.0, 20.0], age_s=30.0) is None, "nothing of it is left"


@pytest.mark.parametrize(
    "left_s", [None, 12.0, "12", [12.0], [1.0, 2.0, 3.0], [None, 9.0], ["7", "9"],
               [float("nan"), 9.0], [7.0, float("inf")]],
)  # fmt: skip
def test_a_time_left_that_is_not_two_numbers_is_not_known(tmp_path: Path, left_s: object) -> None:
    assert left_of(tmp_path, left_s) is None


@pytest.mark.parametrize("left_s", [(0.0, 0.0), (10.0, 20.0)])
def test_the_headline_has_no_time_left_that_has_passed(
    tmp_path: Path, left_s: tuple[float, float]
) -> None:
    left_of(tmp_path, left_s, age_s=30.0)
    assert "left" not in headline(status_of(folder_at(str(tmp_path))))


@pytest.mark.parametrize("field", ["name", "cells", "stages", "running", "failures"])
def test_a_state_that_lacks_a_field_is_one_line(tmp_path: Path, field: str) -> None:
    left_of(tmp_path, None)
    state = json.loads((tmp_path / "state.json").read_text())
    del state[field]
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=r"state\.json cannot be read: .* writes it anew"):
        status_of(folder_at(str(tmp_path)))


def test_a_state_of_a_stranger_cannot_change_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "evil\x1b]0;title\x07\x1b[2J[/red]"
    counts = {"done": 1, "failed": 1, "running": 1, "waiting": 0}
    print_status(
        {
            "name": evil, "host": evil, "pid": 1, "ended": None, "driver": "works",
            "silent_s": 0.0, "left_s": None, "n_failed": 1,
            "failures": [{"name": evil, "error": evil}],
            "cells": [{"n_patients": 6, "variant": evil, **counts}],
            "stages": {"gan": counts, evil: counts},
            "running": [{"ref": "gan/1", "name": evil, "progress": evil}] * 2,
        }
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert not [c for c in printed if c != "\n" and not c.isprintable()]
    assert printed.count("[/red]") >= 6, "what looks like markup is text"
