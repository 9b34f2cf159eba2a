"""AUC-ROC against patients as panels with ribbons, and as bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgba

from lussweep.report.auroc_figure import build_auroc_figure
from lussweep.report.bars_figure import CHANCE, bar_style, build_bars_figure
from lussweep.report.ribbon_figure import COLOR, RIBBONS, build_ribbon_figure
from lussweep.report.sections import SECTIONS
from lussweep.store import tables

VARIANTS = ("baseline", "combined")
COUNTS = (6, 15, 29)
Row = dict[str, Any]


def value(n: int, replicate: int, variant: str) -> float:
    return 0.8 + n / 1000 + replicate / 200 + len(variant) / 500


def results(**changes: Any) -> pa.Table:
    rows = [
        {"n_patients": n, "replicate": k, "variant": variant, "status": "done",
         "auroc": value(n, k, variant), "n_holdout_patients": 120, "n_holdout_frames": 960}
        | changes
        for n in COUNTS for k in (1, 2, 3) for variant in VARIANTS
    ]  # fmt: skip
    return tables.in_schema(rows, SECTIONS["results"].schema)


def means(without: tuple[int, ...] = ()) -> pa.Table:
    """Means with intervals, except at some patient counts."""
    rows: list[Row] = []
    for n in COUNTS:
        for variant in VARIANTS:
            mean = value(n, 2, variant)
            ends = {"low": mean - 0.1, "high": mean + 0.1, "conditional_low": mean - 0.05,
                    "conditional_high": mean + 0.05}  # fmt: skip
            rows.append(
                {"n_patients": n, "variant": variant, "level": "frame", "auroc": mean}
                | ({} if n in without else ends)
            )
    return tables.in_schema(rows, SECTIONS["means"].schema)


def ribbons(ax: Any) -> dict[str, np.ndarray]:
    """The corners (N, 2) of each ribbon of a panel, by its label."""
    return {
        one.get_label(): one.get_paths()[0].vertices
        for one in ax.collections
        if isinstance(one, FillBetweenPolyCollection)
    }


def caption(figure: Any) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_both_ribbons_end_at_the_intervals_of_the_means() -> None:
    figure = build_ribbon_figure(results(), means())
    assert [ax.get_title() for ax in figure.axes] == list(VARIANTS)
    for ax, variant in zip(figure.axes, VARIANTS, strict=True):
        for (label, corners), half in zip(ribbons(ax).items(), (0.1, 0.05), strict=True):
            assert label in RIBBONS
            for n in COUNTS:
                ends = corners[np.isclose(corners[:, 0], n), 1]
                mean = value(n, 2, variant)
                assert (ends.min(), ends.max()) == pytest.approx((mean - half, mean + half))
        dots = np.concatenate(
            [one.get_offsets() for one in ax.collections if label_of(one) not in RIBBONS]
        )
        assert sorted(dots[:, 1]) == pytest.approx(
            sorted(value(n, k, variant) for n in COUNTS for k in (1, 2, 3))
        )
    assert "or thin bar: 95 % for other trainings" in caption(figure)


def label_of(one: Any) -> str:
    return str(one.get_label())


def test_the_baseline_stands_in_the_panels_of_the_others() -> None:
    own, other = build_ribbon_figure(results(), means()).axes
    drawn = [one for one in other.lines if one.get_label() == "mean of baseline"]
    assert [list(one.get_ydata()) for one in drawn] == [
        pytest.approx([value(n, 2, "baseline") for n in COUNTS])
    ]
    assert not [one for one in own.lines if one.get_label() == "mean of baseline"]


def test_a_count_without_neighbours_has_bars_and_the_spread_is_for_runs_that_go_on() -> None:
    ax = build_ribbon_figure(results(), means(without=(15,))).axes[0]
    assert ribbons(ax) == {}
    mean, spread = value(6, 2, "baseline"), np.std([value(6, k, "baseline") for k in (1, 2, 3)],
                                                  ddof=1)  # fmt: skip
    bars = {tuple(np.round(one.get_ydata(), 9)) for one in ax.lines if len(one.get_ydata()) == 2}
    for half in (0.1, 0.05):
        assert tuple(np.round((mean - half, mean + half), 9)) in bars
    assert len(bars) == 4
    ax = build_ribbon_figure(results()).axes[0]
    bars = {tuple(np.round(one.get_ydata(), 9)) for one in ax.lines if len(one.get_ydata()) == 2}
    assert tuple(np.round((mean - spread, mean + spread), 9)) in bars and len(bars) == 3


def grey(color: Any, alpha: float, under: float = 1.0) -> float:
    """The brightness of a colour on a grey ground, 0 black to 1 white (ITU-R BT.709)."""
    return alpha * float(np.dot(to_rgba(color)[:3], (0.2126, 0.7152, 0.0722))) + under * (1 - alpha)


def test_the_two_intervals_differ_in_grey() -> None:
    outer, inner = (look["alpha"] for _, look in RIBBONS.values())
    light = grey(COLOR, outer)
    dark = grey(COLOR, inner, under=light)  # it lies on the other
    assert 1 - light > 0.1 and light - dark > 0.2
    edges = [look["linestyle"] for _, look in RIBBONS.values()]
    assert len(set(edges)) == 2


def test_patterns_alone_tell_twelve_bars_apart() -> None:
    assert len({bar_style(i)["hatch"] for i in range(12)}) == 12


def test_bars_go_from_chance_to_the_means() -> None:
    (ax,) = build_bars_figure(results(), means()).axes
    drawn = {
        container.get_label(): [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in container]
        for container in ax.containers
    }
    assert list(drawn) == list(VARIANTS)
    for variant, bars in drawn.items():
        assert bars == [pytest.approx((CHANCE, value(n, 2, variant))) for n in COUNTS]
    errors = [list(one.get_ydata()) for one in ax.lines if len(one.get_ydata()) == 2]
    assert pytest.approx([value(6, 2, "baseline") - 0.1, value(6, 2, "baseline") + 0.1]) in errors
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(n) for n in COUNTS]


def test_a_run_that_goes_on_has_neither_ribbons_nor_an_error() -> None:
    missing = results(status="missing", auroc=None)
    for build in (build_ribbon_figure, build_bars_figure):
        assert "No cell is done yet." in caption(build(missing))
    ax = build_ribbon_figure(results()).axes[0]
    assert ribbons(ax) == {}


def test_cells_whose_generator_has_not_learned_are_crossed() -> None:
    for build in (build_ribbon_figure, build_bars_figure):
        figure = build(results(has_learned=False), means())
        crosses = [one for ax in figure.axes for one in ax.lines if one.get_marker() == "x"]
        assert len(crosses) == len(COUNTS) * len(VARIANTS)
        assert "Crossed: a generator has not learned." in caption(figure)


def test_an_error_bar_is_inside_its_panel_and_is_explained() -> None:
    rows = [row for row in results().to_pylist() if row["replicate"] == 1]
    rows[0] |= {"auroc_low": 0.3, "auroc_high": 0.99}
    figure = build_bars_figure(tables.in_schema(rows, SECTIONS["results"].schema))
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    assert low < 0.3 and high > 0.99
    assert [list(one.get_ydata()) for one in error_bars(ax)] == [[0.3, 0.99]]
    assert "Error bars of a lone replicate: 95 % for other holdout patients" in caption(figure)
    assert "Error bars: 95 %" not in caption(figure)


def error_bars(ax: Any) -> list[Any]:
    return [one for one in ax.lines if one.get_marker() == "_"]


@pytest.mark.parametrize("build", [build_bars_figure, build_auroc_figure])
def test_a_withheld_interval_is_not_replaced_by_a_spread(build: Any) -> None:
    figure = build(results(), means(without=(6,)))
    bars = [one for ax in figure.axes[:1] for one in error_bars(ax)]
    assert len(bars) == (len(COUNTS) - 1) * len(VARIANTS)
    assert "standard deviation" not in caption(figure)
    spreads = build(results())
    assert len(error_bars(spreads.axes[0])) == len(COUNTS) * len(VARIANTS)
    assert "ars: the sample standard deviation over replicates." in caption(spreads)
