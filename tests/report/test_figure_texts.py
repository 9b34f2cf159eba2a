"""No two texts of a figure overlap, from 3 variants at 1 patient count to 12 long names at 10."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from lussweep.analysis.levels import Scored
from lussweep.report.auroc_figure import build_auroc_figure
from lussweep.report.bars_figure import build_bars_figure
from lussweep.report.calibration_figure import build_calibration_figure
from lussweep.report.cells import ScoredCells
from lussweep.report.drawings import DRAWINGS
from lussweep.report.feature_figure import build_feature_figure
from lussweep.report.forest_figure import build_forest_figure
from lussweep.report.gan_figure import build_losses_figure
from lussweep.report.metric_figure import build_metric_figure
from lussweep.report.net_benefit_figure import build_net_benefit_figure
from lussweep.report.panels import wrapped
from lussweep.report.ribbon_figure import build_ribbon_figure
from lussweep.report.roc_figure import build_roc_figure, roc_curve
from lussweep.report.search_figure import build_search_figure
from lussweep.report.sections import SECTIONS
from lussweep.report.usefulness_figure import build_usefulness_figure
from lussweep.report.worth_figure import build_worth_figure
from lussweep.store import tables
from lussweep.study.coordinates import Coordinates

NAMES = ("baseline", "combined", "pure_synthetic", *(
    f"combined_with_differentiable_augmentation_{i}" for i in range(9)
))  # fmt: skip
COUNTS = (1, 3, 6, 10, 15, 22, 29, 44, 50, 58)
SIZES = [(3, 1), (12, 10)]
Row = dict[str, Any]


def texts_that_overlap(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than a point, and texts that leave the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    undrawn = {label for ax in figure.axes for label in labels_out_of_sight(ax)}
    shown = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in undrawn
    ]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]
    width, height = canvas.get_width_height()
    outside = [
        (text, "the edge")
        for text, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    pairs = [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    return [*pairs, *outside]


def labels_out_of_sight(ax: Any) -> list[Text]:
    """Labels of ticks that matplotlib keeps, but does not draw."""
    labels = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-6 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not ax.axison or not low - slack <= tick.get_loc() <= high + slack:
                labels += [tick.label1, tick.label2]
    return labels


def test_the_check_sees_an_overlap_and_a_text_outside() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.text(0.5, 0.5, "one")
    figure.text(0.51, 0.5, "other")
    figure.text(0.99, 0.1, "too long for this place")
    assert texts_that_overlap(figure) == [
        ("one", "other"), ("too long for this place", "the edge")
    ]  # fmt: skip


def table(name: str, rows: list[Row]) -> pa.Table:
    return tables.in_schema(rows, SECTIONS[name].schema)


def places(n_variants: int, n_counts: int) -> list[Row]:
    return [
        {"n_patients": n, "replicate": replicate, "variant": variant, "gan_epoch": None}
        for n in COUNTS[-n_counts:]
        for variant in NAMES[:n_variants]
        for replicate in (1, 2)
    ]


def results(size: tuple[int, int]) -> pa.Table:
    rng = np.random.default_rng(0)
    return table("results", [
        place | {"status": "done", "auroc": 0.5 + 0.4 * rng.random(), "n_holdout_patients": 120,
                 "n_holdout_frames": 960, "kmmd_pos": rng.random()}
        for place in places(*size)
    ])  # fmt: skip


def means(size: tuple[int, int]) -> pa.Table:
    return table("means", [
        {k: place[k] for k in ("n_patients", "variant", "gan_epoch")}
        | {"level": level, "auroc": 0.8, "aurocs": [0.7, 0.9], "low": 0.6, "high": 0.95,
           "conditional_low": 0.7, "conditional_high": 0.9}
        for place in places(*size) if place["replicate"] == 1
        for level in ("frame", "patient_mean")
    ])  # fmt: skip


def contrasts(size: tuple[int, int]) -> pa.Table:
    return table("contrasts", [
        {"n_patients": p["n_patients"], "variant": p["variant"], "reference": NAMES[-1],
         "difference": 0.01, "low": -0.02, "high": 0.04, "margin": 0.02, "conditional_low": 0.0,
         "conditional_high": 0.02}
        for p in places(*size) if p["replicate"] == 1
    ])  # fmt: skip


def worth(size: tuple[int, int]) -> pa.Table:
    return table("worth", [
        {"variant": p["variant"], "n_patients": p["n_patients"], "worth": "9", "k_low": 9.0,
         "k_high": 12.0, "interval_low": 5.0, "interval_high": float("inf")}
        for p in places(*size) if p["replicate"] == 1
    ])  # fmt: skip


def calibration(size: tuple[int, int]) -> pa.Table:
    return table("calibration", [
        place | {"bin": b, "mean_score": b / 10, "share": b / 10, "low": 0.0, "high": 1.0}
        for place in places(*size) for b in (1, 5, 9)
    ])  # fmt: skip


def net_benefit(size: tuple[int, int]) -> pa.Table:
    return table("net_benefit", [
        place | {"recalibrated": True, "threshold": t, "net_benefit": 0.3 - t / 4,
                 "treat_all": 0.4 - t}
        for place in places(*size) for t in (0.1, 0.5, 0.8)
    ])  # fmt: skip


def scored(size: tuple[int, int]) -> ScoredCells:
    rng, label = np.random.default_rng(0), np.arange(40) % 2
    who = np.arange(40)
    frames = {
        Coordinates.of_row(p): Scored(label, rng.random(40), who, who, who) for p in places(*size)
    }
    return ScoredCells(frozenset(frames), tuple(frames), frames, {})


def operating(size: tuple[int, int]) -> pa.Table:
    return table("operating", [
        place | {"wanted": 0.9, "sensitivity": 0.6, "specificity": 0.88} for place in places(*size)
    ])  # fmt: skip


def losses(size: tuple[int, int]) -> pa.Table:
    return table("gan_losses", [
        {"n_patients": n, "replicate": 1, "class": label, "gan": "base", "attempt": 1,
         "epoch": epoch, "name": name, "value": float(epoch)}
        for n in COUNTS[-size[1]:] for label in ("pos", "neg") for epoch in (1, 50, 100)
        for name in ("loss_d_real", "loss_d_fake", "loss_generator_with_a_long_name_of_its_own")
    ])  # fmt: skip


EVENTS = ("low_diversity", "not_finite", "discriminator_won", "not_learned", "of_a_plugin")
GANS = ("base", "loss=hinge, augment=[brightness, translation, cutout]")


def events(size: tuple[int, int]) -> list[Row]:
    return [
        {"n_patients": n, "replicate": 1, "class": label, "gan": "base", "attempt": 1,
         "epoch": 20 * (i % 5) + 1, "kind": EVENTS[i % 5], "message": ""}
        for i, n in enumerate(COUNTS[-size[1]:]) for label in ("pos", "neg")
    ]  # fmt: skip


def gan_scores(size: tuple[int, int]) -> pa.Table:
    own = [
        {"n_patients": n, "replicate": 1, "class": label, "gan": gan, "epoch": epoch,
         "metric": metric, "embedder": "detector" if metric != "spectral_gap" else "none",
         "space": "softmax" if metric != "spectral_gap" else "pixel", "value": epoch / n,
         "n_images": 10 * n, "saw_all_train_patients": True}
        for n in COUNTS[-size[1]:] for label in ("pos", "neg") for gan in GANS
        for epoch in (1, 50, 100)
        for metric in ("kmmd", "one_nn", "one_nn_real", "confidence", "spectral_gap")
    ]  # fmt: skip
    floor = [
        {k: row[k] for k in ("n_patients", "class", "metric", "embedder", "space", "n_images")}
        | {"value": 0.1, "floor_draw": 1}
        for row in own if row["metric"] == "kmmd" and row["epoch"] == 1
    ]  # fmt: skip
    return table("gan_scores", own + floor)


def chosen(size: tuple[int, int]) -> list[Row]:
    return [{"n_patients": n, "class": label, "gan": gan, "gan_epoch": 50}
            for n in COUNTS[-size[1]:] for label in ("pos", "neg") for gan in GANS]  # fmt: skip


def feature_map(size: tuple[int, int]) -> pa.Table:
    rng = np.random.default_rng(0)
    return table("feature_map", [
        {"n_patients": None if kind == "holdout" else n, "class": label, "kind": kind,
         "gan": GANS[1] if kind == "synthetic" else None, "component_1": rng.normal(),
         "component_2": rng.normal(), "share_1": 0.6, "share_2": 0.2, "embedder": "detector",
         "space": "conv", "saw_all_train_patients": True}
        for n in COUNTS[-size[1]:][-4:] for label in ("pos", "neg")
        for kind in ("train", "holdout", "synthetic") for _ in range(5)
    ])  # fmt: skip


def trials(size: tuple[int, int]) -> pa.Table:
    return table("trials", [
        place | {"trial": t, "epoch": 1, "learning_rate": 10.0**-t, "channels": 2**t,
                 "dropout": t / 20, "hyperparameters": '{"kernel_size_of_the_first_layer": 3}',
                 "val_accuracy": 0.5 + t / 20, "selected": t == 1}
        for place in places(*size) for t in range(1, 6)
    ])  # fmt: skip


FIGURES = {
    "auroc": lambda size: build_auroc_figure(results(size), means(size)),
    "auroc_ribbons": lambda size: build_ribbon_figure(results(size), means(size)),
    "auroc_bars": lambda size: build_bars_figure(results(size), means(size)),
    "gan_metrics": lambda size: build_metric_figure(
        gan_scores(size), chosen=chosen(size), events=events(size)
    ),
    "features": lambda size: build_feature_figure(feature_map(size)),
    "contrasts": lambda size: build_forest_figure(contrasts(size)),
    "worth": lambda size: build_worth_figure(worth(size)),
    "calibration": lambda size: build_calibration_figure(calibration(size)),
    "net_benefit": lambda size: build_net_benefit_figure(net_benefit(size)),
    "roc": lambda size: build_roc_figure(scored(size), operating(size)),
    "gan_losses": lambda size: build_losses_figure(losses(size), table("gan_events", events(size))),
    "usefulness": lambda size: build_usefulness_figure(
        results(size), {name: GANS[i % 2] for i, name in enumerate(NAMES)}
    ),
    "search": lambda size: build_search_figure(trials(size)),
}


@pytest.mark.unhurried
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FIGURES)
def test_no_two_texts_overlap(name: str, size: tuple[int, int]) -> None:
    figure = FIGURES[name](size)
    assert texts_that_overlap(figure) == []
    assert all(ax.get_position().height * figure.get_figheight() > 1 for ax in figure.axes), (
        "legends and captions leave a panel more than an inch"
    )


def test_every_figure_of_the_page_is_looked_at() -> None:
    assert set(FIGURES) == set(DRAWINGS)


WITHOUT_LABEL = {"contrasts": "y", "search": "xy"}
"""Axes whose ticks are names, and parallel coordinates, which have names of their own."""


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_says_what_it_shows(name: str) -> None:
    """Panels that share an axis with the one at their left or below need not say it again."""
    shown = [ax for ax in FIGURES[name]((3, 3)).axes if ax.axison]
    for one in shown:
        lefts = [ax for ax in shown if _row(ax) == _row(one) and ax.get_ylabel()]
        below = [ax for ax in shown if _column(ax) == _column(one) and ax.get_xlabel()]
        unnamed = WITHOUT_LABEL.get(name, "")
        assert "y" in unnamed or any(_column(ax) <= _column(one) for ax in lefts)
        assert "x" in unnamed or any(_row(ax) >= _row(one) for ax in below)


def _row(ax: Any) -> int:
    return int(ax.get_subplotspec().rowspan.start)


def _column(ax: Any) -> int:
    return int(ax.get_subplotspec().colspan.start)


def test_a_long_name_is_broken_behind_its_parts() -> None:
    assert wrapped("combined_with_augmentation", 15) == "combined_with_\naugmentation"
    assert wrapped("a" * 12, 5) == "aaaaa\naaaaa\naa"
    assert wrapped("short", 10) == "short"


def test_a_roc_curve_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_curve as oracle

    rng = np.random.default_rng(1)
    label, score = rng.integers(0, 2, 200), rng.integers(0, 30, 200) / 30
    false, true = roc_curve(label, score)
    expected_false, expected_true, _ = oracle(label, score, drop_intermediate=False)
    np.testing.assert_allclose(false, expected_false)
    np.testing.assert_allclose(true, expected_true)
