"""The values that a page shows for the marks of a figure."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from lussweep.report.drawings import DRAWINGS
from lussweep.report.forest_figure import build_forest_figure
from lussweep.report.page.marks import MOST_POINTS, marks_of
from lussweep.report.page.svg import inline_svg
from lussweep.report.panels import count_ticks, new_figure
from lussweep.report.search_figure import build_search_figure
from lussweep.report.sections import SECTIONS
from lussweep.report.sections.contrasts import CONTRASTS
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.worth import WORTH
from lussweep.report.values import OVER_BOTH, OVER_PATIENTS
from lussweep.report.worth_figure import build_worth_figure
from lussweep.store import tables
from support.reports import collected_of


def drawn(figure: Figure) -> str:
    """The SVG that matplotlib writes of a figure."""
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def points(svg: str, element: str, names: tuple[str, str]) -> set[tuple[float, float]]:
    """The places of all elements of a kind."""
    found = re.findall(rf'<{element} [^>]*?{names[0]}="([^"]+)" {names[1]}="([^"]+)"', svg)
    return {(round(float(x), 1), round(float(y), 1)) for x, y in found}


def test_a_mark_lies_where_matplotlib_draws_it() -> None:
    figure, ((left, right),) = new_figure(7, 3, 1, 2)
    left.set_xscale("log")
    left.plot([6, 15, 58], [0.7, 0.8, 0.9], marker="o", label="a")
    right.scatter([1.0, 2.0], [3.0, 2.5])
    for ax in (left, right):
        ax.set_xticks([])  # their ticks are marks of the same kind
        ax.set_yticks([])
        ax.minorticks_off()
    svg = inline_svg(figure, "f", "A figure", "Of two panels.")
    circles = points(svg, "circle", ("cx", "cy"))
    uses = points(svg, "use", ("x", "y"))
    assert len(circles) == 5
    for x, y in circles:
        assert min(math.dist((x, y), use) for use in uses) < 0.2


def test_a_trial_says_its_cell_and_its_hyperparameters() -> None:
    cell = {"n_patients": 15, "replicate": 2, "variant": "combined", "hyperparameters": "{}"}
    rows = [
        cell | {"trial": 1, "epoch": 1, "learning_rate": 0.003, "channels": 3, "dropout": 0.1,
                "val_accuracy": 0.75, "selected": False},
        cell | {"trial": 1, "epoch": 2, "learning_rate": 0.003, "channels": 3, "dropout": 0.1,
                "val_accuracy": 0.875, "selected": True},
        cell | {"trial": 2, "epoch": 1, "learning_rate": 0.005, "channels": 3, "dropout": 0.0,
                "val_accuracy": 0.5, "selected": False, "gan_epoch": 4},
    ]  # fmt: skip
    figure = build_search_figure(tables.in_schema(rows, SECTIONS["trials"].schema))
    assert figure is not None
    assert [mark.text for mark in marks_of(figure)] == [
        "other trial, val accuracy, 0.500 (trial 2 of n = 15, replicate 2, combined, GAN epoch 4: "
        "learning rate 0.005, channels 3, dropout 0)",
        "selected trial, val accuracy, 0.875 (trial 1 of n = 15, replicate 2, combined: learning "
        "rate 0.003, channels 3, dropout 0.1)",
    ]


def test_a_text_names_the_series_and_both_values() -> None:
    figure, ((ax,),) = new_figure(5, 3)
    ax.set_xscale("log")
    ax.plot([6.1, 15.2], [0.7, 0.8123], "-o", color="#0072B2", label="combined")
    ax.plot([6.1, 6.1], [0.65, 0.75], color="#0072B2", marker="_")
    ax.scatter([6.1], [0.69], color="#0072B2", alpha=0.5)
    count_ticks(ax.xaxis, [6, 15], 4)
    ax.set_xlabel("patients per class (logarithmic)")
    ax.set_ylabel("AUC-ROC")
    ax.set_title("by frame")
    drawn(figure)
    assert [mark.text for mark in marks_of(figure)] == [
        "combined, patients per class 6, AUC-ROC 0.700 (by frame)",
        "combined, patients per class 15, AUC-ROC 0.812 (by frame)",
        "combined, patients per class 6, AUC-ROC 0.690 (by frame)",
    ]
    assert marks_of(figure)[1].y == 0.8123


def test_bars_and_long_lines_have_marks() -> None:
    figure, ((ax,),) = new_figure(5, 3)
    ax.bar([0, 1], [0.2, -0.1], label="gain")
    ax.plot(range(100), range(100), label="line")
    ax.plot(range(100), range(100), color="black")  # without a label or markers: no values
    ax.axhline(0, label="chance")
    ax.plot([], [], marker="o", label="empty")
    drawn(figure)
    texts = [mark.text for mark in marks_of(figure)]
    assert sum(text.startswith("gain") for text in texts) == 2
    assert "gain, 1, -0.100" in texts
    lines = sum(text.startswith("line") for text in texts)
    assert MOST_POINTS / 2 <= lines <= MOST_POINTS
    assert len(texts) == 2 + lines


def test_the_marks_of_the_figures_have_the_values_of_the_tables(
    make_tables: Callable[..., Any], study_of: Callable[..., Any]
) -> None:
    collected = collected_of(*make_tables(), study_of())
    figure = DRAWINGS["auroc"].build(collected)
    assert figure is not None
    drawn(figure)
    shown = {f"{mark.y:.6f}" for mark in marks_of(figure)}
    assert shown >= {f"{row['auroc']:.6f}" for row in collected.table("results").to_pylist()}
    assert all(re.search("patients per class (6|15|58), ", m.text) for m in marks_of(figure))


@pytest.mark.parametrize("low", [-0.01, None])
def test_a_row_of_a_forest_is_named(low: float | None) -> None:
    row = {
        "n_patients": 6, "variant": "combined", "reference": "baseline", "difference": 0.02,
        "low": low, "high": None if low is None else 0.05, "status": "done",
    }  # fmt: skip
    figure = build_forest_figure(tables.in_schema([row], CONTRASTS))
    assert figure is not None
    drawn(figure)
    (mark,) = marks_of(figure)
    ends = "" if low is None else f" ({OVER_BOTH}: -0.010 to 0.050)"
    assert mark.text == f"combined - baseline, difference of AUC-ROC 0.020{ends}, n = 6"


def test_a_forest_holds_the_whole_interval_of_a_single_replicate() -> None:
    row = {
        "n_patients": 6, "variant": "combined", "reference": "baseline", "difference": 0.03,
        "conditional_low": -0.02, "conditional_high": 0.08, "status": "withheld",
    }  # fmt: skip
    figure = build_forest_figure(tables.in_schema([row], CONTRASTS))
    assert figure is not None
    left, right = figure.axes[0].get_xlim()
    assert left < -0.02 and right > 0.08


def texts_of(figure: Figure | None) -> list[str]:
    assert figure is not None
    drawn(figure)
    return [mark.text for mark in marks_of(figure)]


def test_a_worth_is_said_as_the_table_has_it() -> None:
    """Places are cut at the edges of the counts, and a range is drawn at its middle."""
    below = {"n_patients": 6, "worth": "< 6", "interval": "< 6 to 7.5", "k_low": -math.inf,
             "k_high": -math.inf, "interval_low": -math.inf, "interval_high": 7.5}  # fmt: skip
    wide = {"n_patients": 58, "worth": "21 to > 58", "interval": "10 to > 58", "k_low": 21.0,
            "k_high": math.inf, "interval_low": 10.0, "interval_high": math.inf}  # fmt: skip
    rows = [{"variant": "combined", "status": "done"} | row for row in (below, wide)]
    assert texts_of(build_worth_figure(tables.in_schema(rows, WORTH))) == [
        f"combined, patients per class, with the variant {row['n_patients']}, "
        f"patients per class of the baseline {row['worth']} ({OVER_BOTH}: {row['interval']})"
        for row in (below, wide)
    ]


@pytest.mark.parametrize("name", ["auroc", "auroc_bars", "auroc_ribbons"])
def test_intervals_are_those_of_means_and_say_what_they_cover(
    name: str, make_tables: Callable[..., Any], study_of: Callable[..., Any]
) -> None:
    collected = collected_of(*make_tables(n_replicates=1), study_of(replicates=1))
    (row, *_) = collected.table("results").to_pylist()
    rows = collected.table("results").to_pylist()
    rows[0] |= {"auroc_low": 0.31, "auroc_high": 0.99}
    one = dataclasses.replace(
        collected, made={"results": tables.in_schema(rows, RESULTS), "means": MEANS.empty_table()}
    )
    lone = texts_of(DRAWINGS[name].build(one))
    assert sum(f"{row['auroc']:.3f} ({OVER_PATIENTS}: 0.310 to 0.990)" in t for t in lone) == 1
    whole = collected_of(*make_tables(), study_of())
    means = [
        {"n_patients": r["n_patients"], "variant": r["variant"], "level": "frame", "auroc": 0.5,
         "low": 0.4, "high": 0.6, "conditional_low": 0.45, "conditional_high": 0.55}
        for r in whole.table("results").to_pylist() if r["replicate"] == 1
    ]  # fmt: skip
    whole.made["means"] = tables.in_schema(means, MEANS)
    texts = texts_of(DRAWINGS[name].build(whole))
    both = [t for t in texts if f"({OVER_BOTH}: 0.400 to 0.600; {OVER_PATIENTS}: 0.450" in t]
    assert len(both) == len(means)
    assert not any("one replicate" in text for text in both)
    assert sum("one replicate" in text for text in texts) >= len(means)


def test_a_panel_takes_names_from_its_own_row_and_column() -> None:
    figure, axes = new_figure(7, 6, 2, 2)
    for line, label in zip(axes, ("positive", "negative"), strict=True):
        line[0].set_ylabel(f"loss, {label} frames")
        for ax in line:
            ax.plot([1.0], [0.5], marker="o", label="6")
    for ax, title in zip(axes[0], ("loss_d", "loss_g"), strict=True):
        ax.set_title(title)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    drawn(figure)
    assert [mark.text.partition("epoch")[2].split(", ", 1)[1] for mark in marks_of(figure)] == [
        f"loss, {label} frames 0.500 ({title})"
        for label in ("positive", "negative")
        for title in ("loss_d", "loss_g")
    ]
