"""The log of a run's driver."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest

from lussweep.run.events import CellDone, Started, StepDone, StepFailed, StepRetried, Warned
from lussweep.run.log import driver_log

STEP = {"step": "GAN pos n=6 r=1", "stage": "gan", "ref": "gan/0"}
EVENTS = (
    Started(study="tiny", run="/data/run", n_cells=2, n_cells_done=1,
            n_steps={"shard": 3, "ingest": 1, "gan": 2}),
    StepDone(**STEP, seconds=12.34, images_per_s=612.4),
    StepDone(**STEP, seconds=None, images_per_s=None),
    StepRetried(**STEP, error="OSError: the disk is away"),
    StepFailed(**STEP, error="OSError: the disk\nof P001 is away"),
    CellDone(n_patients=6, replicate=1, variant="combined", gan_epoch=5, auroc=0.9,
             n_cells_done=2, n_cells=2),
    CellDone(n_patients=6, replicate=2, variant="baseline", gan_epoch=None, auroc=None,
             n_cells_done=2, n_cells=2),
    Warned(message="anyone can reach this Ray"),
)  # fmt: skip


def test_each_event_is_a_line_with_time_and_level_and_no_patient(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    with driver_log(path, lambda text: text.replace("P001", "#1234")) as log:
        for event in EVENTS:
            log.tell(event)
    lines = path.read_text().splitlines()
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\w+) +(.*)")
    matches = [form.fullmatch(line) for line in lines]
    assert all(matches), lines
    assert [(match[1], match[2]) for match in matches if match][1:] == [
        (
            "INFO",
            "started tiny: 1 of 2 cells done; steps: 3 patients' frames, 1 index of frames, 2 GANs",
        ),
        ("DEBUG", "done: GAN pos n=6 r=1 in 12.3 s, 612 images/s"),
        ("DEBUG", "done: GAN pos n=6 r=1"),
        ("WARNING", "tried again: GAN pos n=6 r=1: OSError: the disk is away"),
        ("ERROR", "failed: GAN pos n=6 r=1: OSError: the disk of #1234 is away"),
        ("INFO", "cell n=6 r=1 combined epoch=5: AUC-ROC 0.900 (2 of 2 cells)"),
        ("INFO", "cell n=6 r=2 baseline: AUC-ROC not finite (2 of 2 cells)"),
        ("WARNING", "anyone can reach this Ray"),
    ]
    assert "lussweep" in lines[0]


def test_the_log_grows_over_restarts_and_says_what_ended_a_command(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    with pytest.raises(ZeroDivisionError), driver_log(path, str):
        _ = 1 / 0
    with driver_log(path, str) as log:
        log.write(logging.INFO, "ü")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[1].endswith("ERROR   ended by ZeroDivisionError: division by zero")
    assert lines[3].endswith("ü")


def test_a_file_name_that_is_no_unicode_costs_no_line(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    with driver_log(path, str) as log:
        log.write(logging.WARNING, "no such file: " + os.fsdecode(b"herz-\xff.avi"))
    assert log.error == ""
    assert path.read_text(encoding="utf-8").endswith("no such file: herz-\\udcff.avi\n")


def test_a_log_that_cannot_be_opened_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "driver.log").mkdir()
    with driver_log(tmp_path / "driver.log", str) as log:
        log.write(logging.INFO, "text")
    assert "Is a directory" in log.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_spoils_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "driver.log").symlink_to("/dev/full")
    with driver_log(tmp_path / "driver.log", str) as log:
        log.write(logging.INFO, "text")
    assert "No space left" in log.error
    assert capsys.readouterr().err == ""
