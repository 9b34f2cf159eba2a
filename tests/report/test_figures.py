import math
import sys

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lussweep.report.auroc_figure import auroc_figure, build_auroc_figure
from lussweep.report.epoch_figure import build_epoch_figure, epoch_figure
from lussweep.report.metric_figure import METRICS, SEEN_ALL, build_metric_figure, metric_figure
from lussweep.report.net_benefit_figure import build_net_benefit_figure
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.quality import NET_BENEFIT
from lussweep.report.sections.results import RESULTS
from lussweep.report.sheet import sample_sheet
from lussweep.store import tables
from lussweep.study.spec import SCORES, Goal, Score

VARIANTS = ("baseline", "combined")
COUNTS = (6, 15, 29)


def auroc(n_patients, replicate, variant, epoch):
    return 0.9 + n_patients / 1000 + replicate / 200 + len(variant) / 1000 + (epoch or 0) / 1e4


def results(epochs=(None,), missing=()):
    rows = [
        {
            "n_patients": n,
            "replicate": replicate,
            "variant": variant,
            "gan_epoch": epoch,
            "status": "missing" if (n, replicate, variant) in missing else "done",
            "auroc": None
            if (n, replicate, variant) in missing
            else auroc(n, replicate, variant, epoch),
            "n_holdout_patients": 120,
            "n_holdout_frames": 960,
        }
        for n in COUNTS
        for replicate in (1, 2, 3)
        for variant in VARIANTS
        for epoch in (epochs if variant != "baseline" else (None,))
    ]
    return pa.Table.from_pylist(rows, schema=RESULTS)


def score_value(n_patients, replicate, label, epoch, metric):
    return n_patients / 100 + replicate / 50 + epoch / 500 + len(metric) / 100 + (label == "pos")


def scores(embedders=("imagenet", "detector"), labels=("pos", "neg"), n_images=None, gan="base"):
    rows = [
        {
            "n_patients": n,
            "replicate": replicate,
            "class": label,
            "gan": gan,
            "epoch": epoch,
            "metric": metric,
            "embedder": embedder,
            "space": "softmax" if embedder != "none" else "pixel",
            "value": score_value(n, replicate, label, epoch, metric),
            "n_images": n_images or 10 * n,
            "saw_all_train_patients": embedder == "detector",
        }
        for n in COUNTS
        for replicate in (1, 2)
        for label in labels
        for epoch in (5, 10)
        for embedder in (*embedders, "none")
        for metric in ("kmmd", "one_nn", "one_nn_real", "one_nn_fake", "confidence", "spectral_gap")
        if metric != "spectral_gap" or embedder == "none"
        if metric != "confidence" or (label == "pos" and embedder == embedders[0])
    ]
    return pa.Table.from_pylist(rows, schema=tables.GAN_SCORES)


def line(ax, label):
    (found,) = (drawn for drawn in ax.lines if drawn.get_label() == label)
    return found


def caption(figure):
    return " ".join(figure._supxlabel.get_text().split())


def test_auroc_lines_hold_the_means_at_the_patient_counts():
    figure = build_auroc_figure(results())
    (ax,) = figure.axes
    for variant in VARIANTS:
        means = [auroc(n, 2, variant, None) for n in COUNTS]  # replicates are evenly spaced
        assert line(ax, variant).get_ydata() == pytest.approx(means)
        assert line(ax, variant).get_xdata() == pytest.approx(COUNTS, abs=0.02 * 23)
    assert [int(t) for t in ax.get_xticks()] == list(COUNTS)
    dots = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections])
    assert len(dots) == 18
    low, high = ax.get_ylim()
    assert low < dots.min()
    assert high > dots.max()
    assert "120 patients, 960 frames" in caption(figure)


def test_missing_cells_break_the_line_and_an_incomplete_mean_is_hollow():
    gone = {(15, r, "combined") for r in (1, 2, 3)} | {(29, 3, "combined")}
    figure = build_auroc_figure(results(missing=gone))
    (ax,) = figure.axes
    first, broken, last = line(ax, "combined").get_ydata()
    assert first == pytest.approx(auroc(6, 2, "combined", None))
    assert math.isnan(broken)
    assert last == pytest.approx(auroc(29, 1.5, "combined", None))
    hollow = [drawn for drawn in ax.lines if drawn.get_markerfacecolor() == "white"]
    assert [drawn.get_ydata()[0] for drawn in hollow] == [last]
    assert "Hollow" in caption(figure)


def test_the_interval_of_a_lone_replicate_is_a_bar_where_there_is_one():
    rows = [row for row in results().to_pylist() if row["replicate"] == 1]
    without = build_auroc_figure(pa.Table.from_pylist(rows, schema=RESULTS))
    assert "lone replicate" not in caption(without)
    rows[0] |= {"auroc_low": 0.85, "auroc_high": 0.95}
    one = build_auroc_figure(pa.Table.from_pylist(rows, schema=RESULTS))
    assert "Bars of a lone replicate: 95 % for other holdout patients alone" in caption(one)
    bars = [d.get_ydata() for d in one.axes[0].lines if list(d.get_ydata()) == [0.85, 0.95]]
    assert len(bars) == 1


def means(levels=("frame", "patient_mean")):
    rows = [
        {
            "n_patients": n, "variant": variant, "level": level, "n_replicates": 3,
            "aurocs": [auroc(n, k, variant, None) - shift for k in (1, 2, 3)],
            "auroc": auroc(n, 2, variant, None) - shift, "low": 0.8 - shift, "high": 0.99 - shift,
        }
        for n in COUNTS
        for variant in VARIANTS
        for level, shift in zip(levels, (0.0, 0.1), strict=False)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, MEANS)


def test_bars_are_the_intervals_and_a_second_panel_is_by_patient():
    figure = build_auroc_figure(results(), means())
    by_frame, by_patient = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["by frame", "by patient (mean frame score)"]
    assert by_frame.get_ylim() == by_patient.get_ylim()
    for ax, shift in ((by_frame, 0.0), (by_patient, 0.1)):
        ends = [0.8 - shift, 0.99 - shift]
        assert sum(list(drawn.get_ydata()) == ends for drawn in ax.lines) == 6
        expected = [auroc(n, 2, "combined", None) - shift for n in COUNTS]
        assert line(ax, "combined").get_ydata() == pytest.approx(expected)
    assert "Bars: 95 % for other trainings and other holdout patients" in caption(figure)


def test_bars_of_a_standard_deviation_end_at_1():
    rows = [row | {"auroc": 1.0 if row["replicate"] < 3 else 0.9} for row in results().to_pylist()]
    (ax,) = build_auroc_figure(pa.Table.from_pylist(rows, schema=RESULTS)).axes
    assert max(max(drawn.get_ydata()) for drawn in ax.lines) == 1


def test_no_cell_done_is_said_in_the_figure():
    everything = {(n, r, v) for n in COUNTS for r in (1, 2, 3) for v in VARIANTS}
    (ax,) = build_auroc_figure(results(missing=everything)).axes
    assert "no cell is done yet" in [text.get_text() for text in ax.texts]


def test_epoch_figure_holds_the_means_and_exists_only_for_an_axis(tmp_path):
    swept = results(epochs=(25, 50))
    (ax,) = build_epoch_figure(swept).axes
    assert ax.get_title() == "combined, by frame"
    for n in COUNTS:
        means = [auroc(n, 2, "combined", epoch) for epoch in (25, 50)]
        assert line(ax, str(n)).get_ydata() == pytest.approx(means)
    assert "Dashed: baseline" in caption(build_epoch_figure(swept))
    assert "GAN epoch 50" in caption(build_auroc_figure(swept))
    assert epoch_figure(results(epochs=(50,)), tmp_path / "epoch") == []
    assert len(epoch_figure(swept, tmp_path / "epoch")) == 2


def test_a_mean_is_crossed_where_a_generator_has_not_learned():
    def with_noise(variant):
        rows = [
            {**row, "has_learned": None if row["variant"] == "baseline" else True}
            for row in results().to_pylist()
        ]
        (at,) = (
            row for row in rows
            if (row["n_patients"], row["replicate"], row["variant"]) == (15, 2, variant)
        )  # fmt: skip
        at["has_learned"] = False
        return pa.Table.from_pylist(rows, schema=RESULTS)

    figure = build_auroc_figure(with_noise("combined"))
    (cross,) = (one for one in figure.axes[0].lines if one.get_marker() == "x")
    means = [auroc(15, replicate, "combined", None) for replicate in (1, 2, 3)]
    assert cross.get_ydata() == pytest.approx([np.mean(means)])
    assert "Crossed: a generator has not learned." in caption(figure)
    whole = build_auroc_figure(results())
    assert all(one.get_marker() != "x" for one in whole.axes[0].lines)
    assert "Crossed" not in caption(whole)


def test_metric_lines_hold_the_means_of_the_first_embedder():
    figure = build_metric_figure(scores(n_images=60))
    panels = np.array(figure.axes).reshape(2, 4)
    for row, label in enumerate(("pos", "neg")):
        for column, metric in enumerate(("kmmd", "one_nn")):
            for n in COUNTS:
                means = [score_value(n, 1.5, label, epoch, metric) for epoch in (5, 10)]
                assert line(panels[row, column], str(n)).get_ydata() == pytest.approx(means)
        for n in COUNTS:
            gaps = [score_value(n, 1.5, label, epoch, "spectral_gap") for epoch in (5, 10)]
            assert line(panels[row, 3], str(n)).get_ydata() == pytest.approx(gaps)
    titles = [ax.get_title() for ax in panels[0]]
    assert "softmax space of imagenet" in titles[0]
    assert "defined for positives only" in [text.get_text() for text in panels[1, 2].texts]
    assert "60 real against 60 synthetic" in caption(figure)


def test_what_the_detector_stands_behind_is_marked():
    detector = build_metric_figure(scores(), embedder="detector")
    assert all(SEEN_ALL in ax.get_title() for ax in detector.axes[:2])
    assert "compare lines of equal number only" in caption(detector)
    imagenet = build_metric_figure(scores())
    assert not any(SEEN_ALL in ax.get_title() for ax in imagenet.axes[:2])
    pixel = build_metric_figure(scores(), space="pixel")
    assert not any(SEEN_ALL in ax.get_title() for ax in pixel.axes[:2])


def test_a_diverged_gan_leaves_a_gap():
    table = scores()
    diverged = [math.nan if i < 8 else v for i, v in enumerate(table["value"].to_pylist())]
    column = table.column_names.index("value")
    figure = build_metric_figure(table.set_column(column, "value", pa.array(diverged)))
    assert math.isnan(line(figure.axes[0], "6").get_ydata()[0])
    assert math.isfinite(figure.axes[0].get_ylim()[1])


def test_one_class_alone_and_an_unknown_space():
    assert len(build_metric_figure(scores(labels=("pos",))).axes) == 4
    with pytest.raises(ValueError, match="conv space of imagenet"):
        build_metric_figure(scores(), space="conv")
    with pytest.raises(ValueError, match="no kMMD in the last space"):
        build_metric_figure(tables.GAN_SCORES.empty_table())


def test_the_axis_of_net_benefit_does_not_turn_over_where_all_of_it_is_negative():
    row = {"n_patients": 6, "replicate": 1, "variant": "baseline", "recalibrated": True}
    row |= {"threshold": 0.1, "net_benefit": -0.02, "treat_all": -0.09, "status": "done"}
    figure = build_net_benefit_figure(tables.in_schema([row], NET_BENEFIT))
    low, high = figure.axes[0].get_ylim()
    assert low < 0 < high


def test_files_are_the_same_twice_and_pyplot_stays_out(tmp_path):
    first = auroc_figure(results(), tmp_path / "a" / "n=6.auroc")
    second = auroc_figure(results(), tmp_path / "b" / "n=6.auroc")
    first += metric_figure(scores(), tmp_path / "a" / "scores")
    second += metric_figure(scores(), tmp_path / "b" / "scores")
    assert [p.name for p in first[:2]] == ["n=6.auroc.png", "n=6.auroc.svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first)
    pyplot = sys.modules.get("matplotlib.pyplot")  # another library may have loaded it
    assert pyplot is None or pyplot.get_fignums() == []


def test_each_gan_has_metrics_of_its_own_and_an_external_set_none(tmp_path):
    external = scores(gan="external")
    position = external.column_names.index("epoch")
    external = external.set_column(
        position, external.schema.field("epoch"), pa.nulls(len(external), pa.int32())
    )
    table = pa.concat_tables([scores(), scores(gan="loss=hinge, ngf=4"), external])
    names = [path.name for path in metric_figure(table, tmp_path / "m")]
    assert names == ["m.png", "m.svg", "m_loss=hinge-ngf=4.png", "m_loss=hinge-ngf=4.svg"]
    hinge = build_metric_figure(scores(gan="loss=hinge"))
    assert "GAN: loss=hinge." in " ".join(hinge.get_supxlabel().split())


def test_gans_of_one_spelling_have_files_of_their_own(tmp_path):
    gans = ("note=a_b", "note=a-b", "note=A-B", "note=c")
    table = pa.concat_tables([scores(gan=gan) for gan in gans])
    names = [path.name for path in metric_figure(table, tmp_path / "m")]
    assert len({name.lower() for name in names}) == 2 * len(gans)
    assert names[-2:] == ["m_note=c.png", "m_note=c.svg"]
    again = [path.name for path in metric_figure(table.slice(0, len(table) - 1), tmp_path / "m")]
    assert again == names


def test_sample_sheet_shows_the_pixels_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    real, fake = (rng.integers(0, 256, size=(n, 16, 16), dtype=np.uint8) for n in (5, 2))
    path = sample_sheet([("real", real), ("synthetic", fake)], tmp_path / "s.png", n_columns=3)
    sheet = np.array(Image.open(path))
    assert sheet.shape[0] == 3 * 18 + 2 * 22 + 2
    assert np.array_equal(sheet[22:38, 2:18], real[0])
    assert np.array_equal(sheet[40:56, 20:36], real[4])
    assert np.array_equal(sheet[80:96, 20:36], fake[1])


def test_sample_sheet_makes_large_images_smaller_by_averaging(tmp_path):
    image = np.zeros((1, 64, 64), dtype=np.uint8)
    image[:, ::2] = 200
    path = sample_sheet([("x", image)], tmp_path / "s.png", max_pixels=32)
    assert set(np.unique(np.array(Image.open(path))[22:54, 2:34])) == {100}


def test_sample_sheet_refuses_what_it_cannot_show(tmp_path):
    good = np.zeros((2, 8, 8), dtype=np.uint8)
    for bad in (good[:0], good.astype(np.float32), good[..., None], good[:, :4]):
        with pytest.raises(ValueError, match="bad"):
            sample_sheet([("good", good), ("bad", bad)], tmp_path / "s.png")


def test_a_score_of_ones_own_has_a_column_with_its_title_and_goal(monkeypatch):
    goal = Goal("reach", 0.7)
    own = Score(goal=goal, function=lambda pair: 0.0, spaces=("pixel",), title="sharpness")
    rows = scores().to_pylist()
    rows += [
        {**row, "metric": "edges"}
        for row in rows
        if (row["metric"], row["embedder"]) == ("kmmd", "none")
    ]
    table = pa.Table.from_pylist(rows, schema=tables.GAN_SCORES)
    unknown = build_metric_figure(table).axes[4]
    assert unknown.get_title() == "edges\npixel space"
    monkeypatch.setitem(SCORES, "edges", own)
    panels = np.array(build_metric_figure(table).axes).reshape(2, 5)
    assert panels[0, 4].get_title() == "sharpness (goal 0.7)\npixel space"
    for panel, label in zip(panels[:, 4], ("pos", "neg"), strict=True):
        means = [score_value(6, 1.5, label, epoch, "kmmd") for epoch in (5, 10)]
        assert line(panel, "6").get_ydata() == pytest.approx(means)
        assert len([drawn for drawn in panel.lines if set(drawn.get_ydata()) == {0.7}]) == 1
        assert len([drawn for drawn in unknown.lines if set(drawn.get_ydata()) == {0.7}]) == 0


# --- the floor of scores -------------------------------------------------------------------


def floor_rows(n_patients, label, values, metric="kmmd"):
    return [
        {"n_patients": n_patients, "class": label, "metric": metric, "embedder": "imagenet",
         "space": "softmax", "value": value, "n_images": 60, "floor_draw": number,
         "saw_all_train_patients": False}
        for number, value in enumerate(values, start=1)
    ]  # fmt: skip


def bands(ax):
    """Bottom and top of each band of a panel."""
    boxes = [patch.get_bbox() for patch in ax.patches]
    return sorted((round(box.y0, 6), round(box.y1, 6)) for box in boxes)


def with_floor(table, *rows):
    return pa.concat_tables([table, pa.Table.from_pylist([*rows], schema=tables.GAN_SCORES)])


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_counts_with_the_same_floor_share_a_band():
    counts = sorted(set(scores()["n_patients"].to_pylist()))
    same = [row for n in counts for row in floor_rows(n, "pos", (0.1, 0.3))]
    shared = build_metric_figure(with_floor(scores(), *same))
    assert bands(shared.axes[0]) == [(0.1, 0.3)]
    assert legend_of(shared)[-1] == "floor"
    other = floor_rows(counts[0], "pos", (0.4,))
    apart = build_metric_figure(with_floor(scores(), *same, *other))
    assert bands(apart.axes[0]) == [(0.1, 0.3), (0.1, 0.4)]
    assert {text for text in legend_of(apart) if "floor" in text} == {
        f"floor, n = {counts[0]}", f"floor, n = {', '.join(map(str, counts[1:]))}"
    }  # fmt: skip


def test_the_floor_is_a_band_for_each_patient_count_of_its_class(tmp_path):
    counts = sorted(set(scores()["n_patients"].to_pylist()))
    withheld = {"n_patients": counts[-1], "class": "pos", "floor_withheld": "too few"}
    table = with_floor(
        scores(n_images=60),
        *floor_rows(counts[0], "pos", (0.3, 0.1, 0.2)),
        *floor_rows(counts[0], "neg", (0.4, 0.5)),
        {**floor_rows(counts[0], "pos", (9.0,))[0], "space": "conv"},
        withheld,
    )
    figure = build_metric_figure(table)
    kmmd = figure.axes[0], figure.axes[len(METRICS)]
    assert [bands(ax) for ax in kmmd] == [[(0.1, 0.3)], [(0.4, 0.5)]]
    assert not any(bands(ax) for ax in figure.axes if ax not in kmmd)
    text = " ".join(figure.texts[-1].get_text().split()) if figure.texts else ""
    text = text or " ".join(str(figure.get_supxlabel()).split())
    assert "Bands: the floor, from the least to the largest score of 3 draws of real" in text
    assert legend_of(figure)[-1] == f"floor, n = {counts[0]}"
    assert f"No floor for n = {counts[-1]}: too few training patients." in text
    assert len(metric_figure(table, tmp_path / "m")) == 2
