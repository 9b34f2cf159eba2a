"""Chosen snapshots and events on the curves of generators, and several generators."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lussweep.report.drawings import DRAWINGS
from lussweep.report.gan_figure import build_losses_figure
from lussweep.report.gan_marks import EVENTS, mark_events
from lussweep.report.metric_figure import METRICS, build_metric_figure
from lussweep.report.sections import SECTIONS
from lussweep.report.usefulness_figure import build_usefulness_figure
from lussweep.store import tables

EPOCHS, COUNTS = (5, 10, 15), (6, 15)
Row = dict[str, Any]


def kmmd(n: int, epoch: int, gan: str = "base") -> float:
    return n / 100 + epoch / 50 + (gan != "base")


def scores(gans: tuple[str, ...] = ("base",), floor: tuple[float, ...] = ()) -> pa.Table:
    place = {"metric": "kmmd", "embedder": "imagenet", "space": "softmax", "n_images": 60,
             "saw_all_train_patients": False}  # fmt: skip
    rows: list[Row] = [
        place | {"n_patients": n, "replicate": 1, "class": label, "gan": gan, "epoch": epoch,
                 "value": kmmd(n, epoch, gan)}
        for n in COUNTS for label in ("pos", "neg") for gan in gans for epoch in EPOCHS
    ]  # fmt: skip
    rows += [
        place | {"n_patients": 6, "class": "pos", "value": value, "floor_draw": i}
        for i, value in enumerate(floor, start=1)
    ]
    return tables.in_schema(rows, SECTIONS["gan_scores"].schema)


def event(kind: str, epoch: int, n: int = 6, label: str = "pos", attempt: int = 1) -> Row:
    return {"n_patients": n, "replicate": 1, "class": label, "gan": "base", "attempt": attempt,
            "epoch": epoch, "kind": kind, "message": ""}  # fmt: skip


def marks(ax: Any, label: str) -> list[tuple[float, float]]:
    """The places of marks of this label in a panel."""
    return [
        (x, y)
        for one in ax.lines
        if one.get_label() == label
        for x, y in zip(one.get_xdata(), one.get_ydata(), strict=True)
    ]


def test_rings_stand_at_the_chosen_snapshots_of_their_class() -> None:
    chosen = [{"n_patients": 6, "class": "pos", "gan": "base", "gan_epoch": 10},
              {"n_patients": 15, "class": "neg", "gan": "base", "gan_epoch": 15},
              {"n_patients": 6, "class": "pos", "gan": "external", "gan_epoch": None}]  # fmt: skip
    figure = build_metric_figure(scores(), chosen=chosen)
    positive, negative = figure.axes[0], figure.axes[len(METRICS)]
    assert marks(positive, "chosen snapshot") == [pytest.approx((10, kmmd(6, 10)))]
    assert marks(negative, "chosen snapshot") == [pytest.approx((15, kmmd(15, 15)))]


def test_a_generator_of_both_classes_is_marked_in_either_row() -> None:
    chosen = [{"n_patients": 6, "class": "both", "gan": "base", "gan_epoch": 10}]
    figure = build_metric_figure(scores(), chosen=chosen)
    for ax in (figure.axes[0], figure.axes[len(METRICS)]):
        assert len(marks(ax, "chosen snapshot")) == 1


@pytest.mark.parametrize("kind", [*EVENTS, "of_a_plugin"])
def test_an_event_stands_on_the_line_of_its_generator(kind: str) -> None:
    word = EVENTS[kind][1] if kind in EVENTS else "of a plugin"
    figure = build_metric_figure(scores(), events=[event(kind, 7)])
    between = kmmd(6, 5) + (kmmd(6, 10) - kmmd(6, 5)) * 2 / 5
    assert marks(figure.axes[0], word) == [pytest.approx((7, between))]
    assert marks(figure.axes[len(METRICS)], word) == []
    losses = [
        {"n_patients": 6, "replicate": 1, "class": "pos", "gan": "base", "attempt": 1,
         "epoch": epoch, "name": "loss_g", "value": 2.0 * epoch}
        for epoch in (1, 7, 9)
    ]  # fmt: skip
    table = tables.in_schema(losses, SECTIONS["gan_losses"].schema)
    events = tables.in_schema([event(kind, 7)], SECTIONS["gan_events"].schema)
    drawn = build_losses_figure(table, events)
    assert drawn is not None and marks(drawn.axes[0], word) == [(7, 14)]


def test_events_of_an_attempt_that_was_replaced_have_no_mark() -> None:
    from support.reports import collected_of

    losses = tables.in_schema(
        [
            {"n_patients": 6, "replicate": 1, "class": "pos", "gan": "base", "attempt": attempt,
             "epoch": epoch, "name": "loss_g", "value": 2.0 * epoch}
            for attempt in (1, 2) for epoch in (1, 7)
        ],
        SECTIONS["gan_losses"].schema,
    )  # fmt: skip
    noted = [event("low_diversity", 7, attempt=1), event("discriminator_won", 7, attempt=2)]
    events = tables.in_schema(noted, SECTIONS["gan_events"].schema)
    empty = {n: SECTIONS[n].schema.empty_table() for n in ("results", "frame_scores", "val_scores")}
    made = {"gan_losses": losses, "gan_events": events,
            "memorisation": SECTIONS["memorisation"].schema.empty_table()}  # fmt: skip
    collected = collected_of(*empty.values(), scores(), None, **made)  # type: ignore[arg-type]
    for name in ("gan_losses", "gan_metrics"):
        figure = DRAWINGS[name].build(collected)
        assert figure is not None
        assert marks(figure.axes[0], "collapsed") == []
        assert len(marks(figure.axes[0], "discriminator won")) == 1


def test_markers_of_events_differ() -> None:
    assert len({marker for marker, _ in EVENTS.values()}) == len(EVENTS)


def test_an_event_of_a_line_without_values_has_no_place() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    mark_events(ax, [event("not_finite", 3)], ([1, 2], [float("nan")] * 2))
    assert not ax.lines


def test_each_generator_has_rows_of_its_own() -> None:
    gans = ("base", "loss=hinge")
    figure = build_metric_figure(scores(gans))
    rows = [figure.axes[i * len(METRICS)] for i in range(4)]
    assert [ax.get_ylabel().split(", ")[1] for ax in rows] == [
        f"{title}\n{gan}" for gan in gans for title in ("positive GANs", "negative GANs")
    ]
    for ax, gan in zip(rows, (*gans[:1] * 2, *gans[1:] * 2), strict=True):
        assert marks(ax, "6") == [(e, pytest.approx(kmmd(6, e, gan))) for e in EPOCHS]


def test_the_page_shows_every_generator_and_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    from support.reports import collected_of

    table = scores(("base", "loss=hinge"), floor=(0.2, 0.3))
    empty = {n: SECTIONS[n].schema.empty_table() for n in ("results", "frame_scores", "val_scores")}
    made = {n: SECTIONS[n].schema.empty_table() for n in ("memorisation", "gan_events")}
    collected = collected_of(*empty.values(), table, None, **made)  # type: ignore[arg-type]
    figure = DRAWINGS["gan_metrics"].build(collected)
    assert figure is not None
    assert len(figure.axes) == 4 * len(METRICS)
    assert [len(figure.axes[i * len(METRICS)].patches) for i in range(4)] == [1, 0, 1, 0]
    assert "largest score of 2 draws" in " ".join(figure.get_supxlabel().split())


def test_gains_name_the_generator_of_each_variant_if_there_are_several() -> None:
    rows = [
        {"n_patients": n, "replicate": 1, "variant": variant, "status": "done", "auroc": 0.8,
         "kmmd_pos": None if variant == "baseline" else 0.1}
        for n in COUNTS for variant in ("baseline", "combined", "hinge")
    ]  # fmt: skip
    results = tables.in_schema(rows, SECTIONS["results"].schema)
    generators = {"combined": "base", "hinge": "loss=hinge"}
    several = build_usefulness_figure(results, generators)
    one = build_usefulness_figure(results, dict.fromkeys(generators, "base"))
    assert several is not None and one is not None
    assert [ax.get_title() for ax in several.axes if ax.axison] == [
        "combined\nGAN: base", "hinge\nGAN: loss=hinge"
    ]  # fmt: skip
    assert [ax.get_title() for ax in one.axes if ax.axison] == ["combined", "hinge"]


def test_gains_of_all_variants_have_one_axis() -> None:
    rows = [
        {"n_patients": n, "replicate": 1, "variant": variant, "status": "done", "auroc": 0.8 + gain,
         "kmmd_pos": 0.1 if gain else None}
        for n in COUNTS for variant, gain in (("baseline", 0.0), ("combined", 0.1), ("pure", -0.3))
    ]  # fmt: skip
    figure = build_usefulness_figure(tables.in_schema(rows, SECTIONS["results"].schema))
    assert figure is not None
    ((low, high),) = {ax.get_ylim() for ax in figure.axes if ax.axison}
    assert low < -0.3 and high > 0.1
