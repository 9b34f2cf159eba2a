import math
import random

import pytest

from lussweep.errors import InputError
from lussweep.models.generators.select import select_epoch
from lussweep.study.spec import SCORES, GanSpec, Goal, Score, SelectSpec


def row(epoch, value, metric="kmmd", embedder="imagenet", space="softmax"):
    return {"epoch": epoch, "value": value, "metric": metric, "embedder": embedder, "space": space}


def best(metric="kmmd", **fields):
    return SelectSpec(rule="best", metric=metric, **fields)


ROWS = [
    row(5, 0.30), row(10, 0.10), row(15, 0.20),
    row(5, 0.95, "one_nn"), row(10, 0.80, "one_nn"), row(15, 0.45, "one_nn"),
    row(5, 0.01, space="conv"), row(10, 0.50, space="conv"), row(15, 0.50, space="conv"),
    row(5, 0.90, embedder="detector"), row(10, 0.80, embedder="detector"),
    row(15, 0.00, embedder="detector"),
    row(5, 0.60, embedder="none", space="pixel"), row(10, 0.50, embedder="none", space="pixel"),
    row(15, 0.40, embedder="none", space="pixel"),
]  # fmt: skip


def test_the_last_epoch_and_a_named_one_need_no_scores():
    assert select_epoch(SelectSpec(rule="last"), 100, []) == 100
    assert select_epoch(SelectSpec(rule="epoch", epoch=25), 100, ROWS) == 25


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (best(), 10),
        (best("one_nn"), 15),
        (best(space="conv"), 5),
        (best(embedder="detector", allow_detector=True), 15),
        (best(space="pixel"), 15),
        (best(space="pixel", embedder="detector", allow_detector=True), 15),
    ],
)
def test_the_best_epoch_is_that_of_the_metric_the_embedder_and_the_space_named(select, expected):
    for seed in range(3):
        rows = random.Random(seed).sample(ROWS, len(ROWS))
        assert select_epoch(select, 100, rows) == expected


@pytest.mark.parametrize(("values", "expected"), [((0.9, 0.6, 0.2), 10), ((0.0, 0.4, 0.9), 10)])
def test_the_goal_of_nearest_neighbours_is_a_half_from_either_side(values, expected):
    rows = [row(epoch, v, "one_nn") for epoch, v in zip((5, 10, 15), values, strict=True)]
    assert select_epoch(best("one_nn"), 100, rows) == expected


def test_of_ties_the_earliest_epoch_is_taken():
    rows = [row(20, 0.1), row(10, 0.1), row(15, 0.1), row(5, 0.2)]
    assert select_epoch(best(), 100, rows) == 10
    rows = [row(20, 0.25, "one_nn"), row(10, 0.75, "one_nn")]
    assert select_epoch(best("one_nn"), 100, rows) == 10


def test_scores_that_were_not_made_are_an_input_error_that_names_them():
    rows = [r for r in ROWS if r["embedder"] == "detector"]
    with pytest.raises(InputError, match=r"kmmd in imagenet softmax features.*score\.embedders"):
        select_epoch(best(), 100, rows)


@pytest.mark.parametrize(
    ("goal", "expected"), [(Goal("minimise"), 5), (Goal("maximise"), 15), (Goal("reach", 0.6), 10)]
)
def test_a_score_of_ones_own_selects_by_its_goal(monkeypatch, goal, expected):
    monkeypatch.setitem(SCORES, "mine", Score(goal=goal, function=lambda pair: 0.0))
    rows = [row(epoch, v, "mine") for epoch, v in zip((5, 10, 15), (0.1, 0.5, 0.9), strict=True)]
    assert select_epoch(best("mine"), 100, rows) == expected


def gap(epoch, value):
    return row(epoch, value, "spectral_gap", "none", "pixel")


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.5, 0.5, 0.5), 10),
        ((0.4, 0.51, 0.4), 15),
        ((0.4, 0.9, 0.9), 5),
        ((math.nan, math.nan, math.nan), 10),
        ((0.6, 0.8, 0.7), 10),
    ],
    ids=["all", "not the best", "the worst alone", "unknown", "none"],
)
def test_the_best_is_taken_of_the_snapshots_that_have_learned(gaps, expected):
    """Without any, it is the best of all, so that the run goes on."""
    rows = [*ROWS, *(gap(epoch, value) for epoch, value in zip((5, 10, 15), gaps, strict=True))]
    assert select_epoch(best(), 100, rows) == expected
    assert select_epoch(SelectSpec(rule="last"), 100, rows) == 100


def test_the_ceiling_is_that_of_the_generator():
    rows = [*ROWS, gap(5, 0.9), gap(10, 0.8), gap(15, 0.4)]
    assert select_epoch(best(), 100, rows, gap_ceiling=0.7) == 15
    assert select_epoch(best(), 100, rows, gap_ceiling=0.8) == 10
    assert GanSpec().gap_ceiling() == 0.5
    assert GanSpec(health={"spectral_gap_ceiling": 0.8}).gap_ceiling() == 0.8


def test_scores_that_are_not_finite_select_nothing():
    rows = [row(5, math.nan), row(10, 0.3), row(15, math.inf)]
    assert select_epoch(best(), 100, rows) == 10
    with pytest.raises(InputError, match="kmmd, which no snapshot has as a finite number"):
        select_epoch(best(), 100, [rows[0], rows[2]])
