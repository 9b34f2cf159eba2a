"""What the display of a run shows, on a terminal and as plain lines."""

from __future__ import annotations

import doctest
import io
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

import pytest
from rich.console import Console

from lussweep.backend.driver import Progress
from lussweep.backend.time_range import TimeRange
from lussweep.cli import picture as picture_module
from lussweep.cli import plain_lines
from lussweep.cli.live import live_progress, live_view
from lussweep.cli.picture import picture_of, rates_of
from lussweep.cli.plain_lines import PLAIN_S, PlainLines, plain_line
from lussweep.models.training import progress as training_progress
from lussweep.models.training.progress import epoch_text
from lussweep.run import log
from lussweep.run.board import Board
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell, Plan, Step
from lussweep.study.spec import Recipe

RECIPE = Recipe(pos=["real"], neg=["real"])


def plan_of(**counts: int) -> Plan:
    plan = Plan()
    for stage, n in counts.items():
        for i in range(n):
            plan.add(Step(stage, 1, {"i": i}, name=f"{stage} {i + 1}"))
    return plan


def refs_of(plan: Plan, stage: str) -> list[str]:
    return [ref for ref, step in plan.steps.items() if step.stage == stage]


def under_way(variants: tuple[str, ...] = ("baseline", "combined")) -> tuple[Progress, Board]:
    """Two patient counts, two replicates: three cells are done and one has failed."""
    coordinates = [
        Coordinates(n, r, variant) for n in (6, 15) for r in (1, 2) for variant in variants
    ]
    plan = plan_of(shard=9, gan=4, trial=8, evaluate=len(coordinates))
    judging = refs_of(plan, "evaluate")
    plan.cells += [
        Cell(at, RECIPE, {"evaluate": ref}) for at, ref in zip(coordinates, judging, strict=True)
    ]
    progress = Progress(plan)
    progress.done |= {*refs_of(plan, "shard"), *refs_of(plan, "gan")[:1], *judging[:3]}
    progress.running |= {*refs_of(plan, "gan")[1:3], refs_of(plan, "trial")[0]}
    board = Board(plan.cells)
    for ref, auroc in zip(judging, (0.8, 0.7, 0.9), strict=False):
        board.judge(ref, auroc)
    board.fail([judging[4]])
    return progress, board


def texts(progress: Progress) -> Mapping[str, str]:
    """GANs say images/s, the trial says how far it is, and no more."""
    gans = [ref for ref in progress.running if ref.startswith("gan/")]
    rates = dict.fromkeys(gans, epoch_text(3, 10, images_per_s=600.0))
    return {ref: rates.get(ref, "epoch 1 of 2") for ref in progress.running}


def rendered(progress: Progress, board: Board, width: int = 100, encoding: str = "utf-8") -> str:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    picture = picture_of(progress, board, progress.plan, 65.0, 65.0)
    console.print(live_view(picture, 65.0, lambda ref: texts(progress).get(ref, "")))
    stream.flush()
    return written.getvalue().decode(encoding)


def test_a_terminal_shows_stages_images_a_second_and_the_cells_so_far() -> None:
    progress, board = under_way()
    lines = rendered(progress, board).splitlines()
    text = "\n".join(lines)
    assert lines[0].startswith("13/29 steps done; 3/8 cells done; 1:05 elapsed")
    row_of = {line.split()[0]: line for line in lines if line.strip()}
    assert row_of["GANs"].split()[1:4] == ["1/4", "2", "1200"]
    assert "gan 2 (epoch 3 of 10), gan 3 (epoch 3 of 10)" in row_of["GANs"]
    assert row_of["trials"].split()[1:3] == ["0/8", "1"]
    assert "images/s" not in row_of["trials"], "what is not measured is left out"
    assert "done: 9 patients' frames" in lines
    assert row_of["6"].split() == ["6", "0.850", "0.700", "(1/2)"]
    assert row_of["15"].split() == ["15", "-", "1", "failed", "-"]
    assert "waiting" not in text, "every stage has begun"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    progress, board = under_way(tuple(f"a_variant_of_a_long_name_{i}" for i in range(3)))
    lines = rendered(progress, board, width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_terminal_without_unicode_gets_ascii() -> None:
    progress, board = under_way()
    assert "0.850" in rendered(progress, board, encoding="ascii")


def test_stages_that_have_not_begun_wait_in_one_line() -> None:
    progress = Progress(plan_of(shard=2, gan=4, trial=8))
    progress.running |= {refs_of(progress.plan, "shard")[0]}
    lines = rendered(progress, Board()).splitlines()
    assert "waiting: 4 GANs, 8 trials" in lines
    assert not any("AUC-ROC" in line for line in lines)


def test_rates_are_summed_over_the_running_steps_that_say_them() -> None:
    progress, board = under_way()
    picture = picture_of(progress, board, progress.plan, 0.0, 0.0)
    assert rates_of(picture, lambda ref: texts(progress)[ref]) == {"gan": 1200.0}
    assert rates_of(picture, lambda ref: "") == {}


def test_a_part_of_the_plan_is_shown_in_the_whole() -> None:
    whole = plan_of(shard=2, gan=4)
    progress = Progress(whole.only(["shard"]), done={refs_of(whole, "shard")[0]})
    picture = picture_of(progress, Board(), whole, 1.0, 1.0)
    assert picture.state() == "1/6 steps done"


# --- plain lines --------------------------------------------------------------------------


def test_a_plain_line_has_counts_rates_and_how_far_steps_are() -> None:
    progress, board = under_way()
    line = plain_line(
        picture_of(progress, board, progress.plan, 0.0, 0.0), lambda ref: texts(progress)[ref]
    )
    assert line == (
        "13/29 steps done; 3/8 cells done; running 2 GANs at 1200 images/s, 1 trial; "
        "gan 2: epoch 3 of 10, 600 images/s; gan 3: epoch 3 of 10, 600 images/s; "
        "trial 1: epoch 1 of 2"
    )


def test_a_line_that_says_nothing_new_is_not_printed() -> None:
    progress, board = under_way()
    said: list[str] = []
    lines = PlainLines(said.append, lambda ref: "", board)
    for now_s in (0.0, 20.0, 40.0):
        lines.take(picture_of(progress, board, progress.plan, now_s, now_s), now_s)
    assert len(said) == 1, "only the clock has changed"
    done = progress.running.pop()
    progress.done.add(done)
    lines.take(picture_of(progress, board, progress.plan, 60.0, 60.0), 60.0)
    assert len(said) == 2
    assert said[1].startswith("14/29 steps done")


def test_a_time_left_that_has_passed_is_not_said() -> None:
    progress, board = under_way()
    picture = picture_of(progress, board, progress.plan, 10.0, 10.0)
    timed = replace(picture, left_s=TimeRange(20.0, 40.0))
    assert timed.clock(20.0) == "0:20 elapsed, about 10 to 30 s left"
    assert timed.clock(50.0) == "0:50 elapsed"
    assert replace(picture, left_s=None).clock(20.0) == "0:20 elapsed"


def test_each_cell_is_named_once_with_its_auroc_and_earlier_ones_are_not() -> None:
    progress, board = under_way()
    said: list[str] = []
    lines = PlainLines(said.append, lambda ref: "", board)
    lines.take(picture_of(progress, board, progress.plan, 0.0, 0.0), 0.0)
    board.judge(refs_of(progress.plan, "evaluate")[5], 0.612)
    board.judge(refs_of(progress.plan, "evaluate")[6], None)
    for now_s in (20.0, 40.0):
        lines.take(picture_of(progress, board, progress.plan, now_s, now_s), now_s)
    assert [line for line in said if line.startswith("AUC-ROC")] == [
        "AUC-ROC: n=15 r=1 combined 0.612, n=15 r=2 baseline not finite"
    ]


def test_lines_are_rarer_in_a_long_run() -> None:
    progress, board = under_way()
    lines = PlainLines(lambda line: None, lambda ref: "", board)
    assert lines.is_due(0.0)
    lines.take(picture_of(progress, board, progress.plan, 3600.0, 3600.0), 3600.0)
    assert not lines.is_due(3600.0 + PLAIN_S)
    assert lines.is_due(3600.0 * 1.06)


def test_the_end_is_always_said(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(plan_of(gan=1))
    (ref,) = progress.plan.steps
    with live_progress() as on_change:
        progress.running = {ref}
        on_change(progress)
        progress.running, progress.done = set(), {ref}
        on_change(progress)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("0/1 steps done; running 1 GAN; 0:00 elapsed")
    assert last.startswith("1/1 steps done; 0:00 elapsed")


@pytest.mark.parametrize("module", [picture_module, plain_lines, log, training_progress])
def test_the_examples_of_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
