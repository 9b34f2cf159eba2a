"""Draws the scores of generators' snapshots against the epoch."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.report.cells import Row
from lussweep.report.gan_marks import mark_chosen, mark_events, of_generator
from lussweep.report.panels import GREY, MARKERS, finish, new_figure, save, sequential, wrapped
from lussweep.study.keys import digest
from lussweep.study.spec import NO_EMBEDDER, PIXEL, SCORES
from lussweep.study.spec.scores import BUILT_IN_SCORES, SPECTRAL_GAP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = {"kmmd": None, "one_nn": 1.0, "confidence": 1.0, SPECTRAL_GAP: None}
"""The built-in scores that the figure shows, with the top of their axis; None: the largest value.
The figure also shows every score that is not built in."""
HALVES = {"one_nn_real": ":", "one_nn_fake": "--"}
CLASS_WORDS = {"pos": "positives", "neg": "negatives"}
CLASS_TITLES = {"pos": "positive GANs", "neg": "negative GANs"}
MOST_GANS = 6
"""Generators of one figure."""
SEEN_ALL = "(has seen all training patients)"


def metric_figure(
    gan_scores: pa.Table, stem: Path, *, chosen: Sequence[Row] = (), events: Sequence[Row] = ()
) -> list[Path]:
    """Writes kMMD, 1-NN accuracy, confidence and extra scores against epoch as PNG and SVG.

    Each GAN with snapshots gets a pair of files: `stem` for the study's own GAN, `stem`_NAME for
    one that differs from it. An external set has no epochs and no figure. `chosen` and `events` are
    as in `build_metric_figure`. Returns the paths.
    """
    paths = []
    with_epochs = gan_scores.filter(pc.is_valid(gan_scores["epoch"]))
    floors = gan_scores.filter(pc.is_null(gan_scores["gan"]))
    for gan, suffix in _suffixes(with_epochs["gan"].unique().to_pylist()).items():
        of_gan = with_epochs.filter(pc.equal(with_epochs["gan"], gan))
        counts = of_gan["n_patients"].unique()
        floor = floors.filter(pc.is_in(floors["n_patients"], counts))
        of_one = pa.concat_tables([of_gan, floor])
        figure = build_metric_figure(of_one, chosen=chosen, events=events)
        paths += save(figure, stem.with_name(stem.name + suffix))
    return paths


def _suffixes(gans: Sequence[str]) -> dict[str, str]:
    """The end of the file names of each GAN. Names of one spelling are told apart by a digest."""
    spelt = {gan: re.sub(r"[^A-Za-z0-9.+=]+", "-", gan) for gan in gans if gan != "base"}
    n_of = Counter(name.lower() for name in spelt.values())  # some disks ignore case
    ends = {
        gan: f"_{name}" if n_of[name.lower()] == 1 else f"_{name}-{digest(gan)[:8]}"
        for gan, name in spelt.items()
    }
    return {gan: ends.get(gan, "") for gan in gans}


def build_metric_figure(
    gan_scores: pa.Table,
    *,
    space: str | None = None,
    embedder: str | None = None,
    chosen: Sequence[Row] = (),
    events: Sequence[Row] = (),
) -> Figure:
    """Draws a column for each metric and a row for each generator and class.

    Each patient count has a colour and a marker. Lines are means over replicates. Rows of the floor
    make bands. `chosen` has rows of synthetic sets (GAN and `gan_epoch`), whose epochs get rings,
    and `events` rows of GAN_EVENTS of last attempts, which get marks. If `embedder` is None, the
    first in the table is taken. If `space` is None, the last space of the embedder is taken. A
    score that is not computed there is shown in the first place where it is computed. Raises
    ValueError if the table has no kMMD in that space of that embedder.
    """
    every = gan_scores.to_pylist()
    rows = [row for row in every if row["gan"] is not None]
    floor = [row for row in every if row["gan"] is None]
    name = NO_EMBEDDER if space == PIXEL else embedder or _first_embedder(rows)
    spaces = [r["space"] for r in rows if r["metric"] == "kmmd" and r["embedder"] == name]
    if not spaces or space not in (None, *spaces):
        raise ValueError(f"the GAN scores have no kMMD in the {space or 'last'} space of {name}")
    place = (name, space or spaces[-1])
    extra = dict.fromkeys(r["metric"] for r in rows if r["metric"] not in BUILT_IN_SCORES)
    metrics = (*METRICS, *extra)
    counts = sorted({row["n_patients"] for row in rows})
    shown = [row for metric in (*metrics, *HALVES) for row in _in_one_place(rows, metric, place)]
    gans = list(dict.fromkeys(row["gan"] for row in shown))
    lines = [
        (gan, label)
        for gan in gans[:MOST_GANS]
        for label in CLASS_TITLES
        if any((r["gan"], r["class"]) == (gan, label) for r in shown)
    ]
    floor = [r for m in metrics for r in _at_place(floor, m, shown)]
    width, height = 0.6 + 2.35 * max(len(metrics), 3), 1.3 + 2.3 * len(lines)
    figure, axes = new_figure(width, height, len(lines), len(metrics))
    for column, metric in enumerate(metrics):
        for line, (gan, label) in zip(axes, lines, strict=True):
            ax, own = line[column], [r for r in shown if (r["gan"], r["class"]) == (gan, label)]
            _draw_metric(ax, own, metric, label, counts)
            of_panel = [r for r in floor if (r["class"], r["metric"]) == (label, metric)]
            _draw_floor(ax, of_panel, counts)
            mine = [row for row in own if row["metric"] == metric]
            _mark(ax, mine, of_generator(chosen, gan, label), of_generator(events, gan, label))
        of_metric = [row for row in (*shown, *floor) if row["metric"] == metric]
        axes[0][column].set_title(_metric_title(of_metric, metric), fontsize=8.5)
        if metric in METRICS:
            values = [row["value"] for row in of_metric if math.isfinite(row["value"])]
            top = METRICS[metric] or max(values, default=1.0) or 1
            for line in axes:
                line[column].set_ylim(-0.03 * top, 1.05 * top)
        axes[-1][column].set_xlabel("epoch")
    for line, (gan, label) in zip(axes, lines, strict=True):
        name = f"\n{wrapped(gan, 26)}" if len(gans) > 1 else ""
        line[0].set_ylabel(f"score, {CLASS_TITLES[label]}{name}", fontsize=9)
    text = _metric_caption(shown) + _floor_caption(every)
    if chosen:
        text += " Rings: the snapshots that made the synthetic frames."
    if len(gans) > MOST_GANS:
        text += f" Only the first {MOST_GANS} of {len(gans)} generators are shown."
    finish(figure, text, legend_title="patients per class")
    return figure


def _mark(ax: Axes, rows: Sequence[Row], chosen: Sequence[Row], events: Sequence[Row]) -> None:
    """Marks chosen snapshots and events on the line of each patient count of a panel."""
    for n_patients in sorted({row["n_patients"] for row in rows}):
        curve = _epoch_means(rows, n_patients)
        epochs = {row["gan_epoch"] for row in chosen if row["n_patients"] == n_patients} - {None}
        mark_chosen(ax, sorted(epochs), curve)
        mark_events(ax, [row for row in events if row["n_patients"] == n_patients], curve)


def _at_place(floor: Sequence[Row], metric: str, shown: Sequence[Row]) -> list[Row]:
    """The rows of the floor of a metric, in the place that the figure shows it in."""
    places = {_place(row) for row in shown if row["metric"] == metric}
    return [row for row in floor if row["metric"] == metric and _place(row) in places]


def _draw_floor(ax: Axes, floor: Sequence[Row], counts: Sequence[int]) -> None:
    """Draws the range of the floor's draws as a band with dotted edges.

    Patient counts with the same range share a band, which is grey if all have it.
    """
    counts_of: dict[tuple[float, float], list[int]] = {}
    for n_patients in counts:
        of_count = [row["value"] for row in floor if row["n_patients"] == n_patients]
        values = [value for value in of_count if math.isfinite(value)]
        if values:
            counts_of.setdefault((min(values), max(values)), []).append(n_patients)
    for ends, shared in counts_of.items():
        is_common = len(shared) == len(counts)
        color = GREY if is_common else sequential(shared[0], counts)
        label = "floor" if is_common else f"floor, n = {', '.join(map(str, shared))}"
        ax.axhspan(*ends, color=color, alpha=0.13, linewidth=0, zorder=0.5, label=label)
        for edge in ends:  # tells bands apart that overlap
            ax.axhline(edge, color=color, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.6)


def _floor_caption(rows: Sequence[Row]) -> str:
    floor = [row for row in rows if row["gan"] is None]
    drawn = {row["floor_draw"] for row in floor} - {None}
    withheld = sorted({row["n_patients"] for row in floor if row["floor_withheld"]})
    text = ""
    if drawn:
        text += (
            " Bands: the floor, from the least to the largest score of "
            f"{max(drawn)} draws of real frames of some training patients against as many of "
            "others."
        )
    if withheld:
        text += f" No floor for n = {', '.join(map(str, withheld))}: too few training patients."
    return text


def _place(row: Row) -> tuple[str, str]:
    return row["embedder"], row["space"]


def _in_one_place(rows: Sequence[Row], metric: str, place: tuple[str, str]) -> list[Row]:
    """The rows of a metric in a space of an embedder, or else in the first one that it has."""
    of_metric = [row for row in rows if row["metric"] == metric]
    places = [_place(row) for row in of_metric]
    chosen = place if place in places else next(iter(places), None)
    return [row for row in of_metric if _place(row) == chosen]


def _metric_title(rows: Sequence[Row], metric: str) -> str:
    score = SCORES.get(metric)
    goal = f" ({score.goal})" if score and score.goal else ""
    lines = [((score and score.title) or metric) + goal]
    if rows and not (score and score.embedders):  # else the title names it
        embedder, space = _place(rows[0])
        lines.append("pixel space" if space == PIXEL else f"{space} space of {embedder}")
    if any(row["saw_all_train_patients"] for row in rows):
        lines.append(SEEN_ALL)
    return "\n".join(lines)


def _first_embedder(rows: Sequence[Row]) -> str:
    named = (r["embedder"] for r in rows if r["metric"] == "kmmd")
    return next((name for name in named if name != NO_EMBEDDER), NO_EMBEDDER)


def _draw_metric(
    ax: Axes, rows: Sequence[Row], metric: str, label: str, counts: Sequence[int]
) -> None:
    """Draws one metric of one class against epoch, with its goal as a grey line."""
    score = SCORES.get(metric)
    of_metric = [row for row in rows if row["metric"] == metric]
    if not of_metric:
        ax.set_axis_off()
        text = "not scored"
        if score and label not in score.classes:
            text = f"defined for {' and '.join(CLASS_WORDS[name] for name in score.classes)} only"
        place: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "va": "center"}
        ax.text(0.5, 0.5, text, color=GREY, fontsize=8.5, **place)
        return
    for i, n_patients in enumerate(counts):
        color = sequential(n_patients, counts)
        ax.plot(
            *_epoch_means(of_metric, n_patients), color=color, label=str(n_patients),
            marker=MARKERS[i % len(MARKERS)], markersize=4,
        )  # fmt: skip
        for half, style in HALVES.items() if metric == "one_nn" else ():
            halves = [row for row in rows if row["metric"] == half]
            ax.plot(*_epoch_means(halves, n_patients), color=color, alpha=0.4, linestyle=style)
    if score and score.goal and score.goal.value is not None:
        ax.axhline(score.goal.value, color=GREY, linewidth=1, zorder=1)


def _epoch_means(rows: Sequence[Row], n_patients: int) -> tuple[list[int], list[float]]:
    """Epochs, and the mean over replicates at each epoch."""
    by_epoch: dict[int, list[float]] = {}
    for row in rows:
        if row["n_patients"] == n_patients:
            by_epoch.setdefault(row["epoch"], []).append(row["value"])
    epochs = sorted(by_epoch)
    return epochs, [fmean(by_epoch[epoch]) for epoch in epochs]


def _metric_caption(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n_images"] for row in rows})
    text = f"{sizes[0]} real against {sizes[0]} synthetic frames."
    if len(sizes) > 1:
        text = (
            f"{sizes[0]} to {sizes[-1]} real against as many synthetic frames: kMMD falls with "
            "that number, so compare lines of equal number only."
        )
    text += " Lines: means over replicates; grey: goal."
    gans = {row["gan"] for row in rows}
    if len(gans) == 1 and "base" not in gans:
        text += f" GAN: {gans.pop()}."
    if any(row["metric"] in HALVES for row in rows):
        text += " 1-NN: faint dots are the real half, faint dashes the synthetic half."
    return text
