"""The figure of calibration curves shows the rows of its table."""

import pyarrow as pa
import pytest

from lussweep.report.calibration_figure import build_calibration_figure, calibration_figure
from lussweep.report.sections.quality import CALIBRATION


def curves(variants=("baseline", "combined"), counts=(6, 15), epochs=(None,), **change):
    return pa.Table.from_pylist(
        [
            {
                "n_patients": n, "replicate": replicate, "variant": variant, "gan_epoch": epoch,
                "bin": number, "mean_score": number / 10 - 0.05 + (epoch or 0) / 1000,
                "share": number / 20 + replicate / 100 + n / 1000, "low": number / 20 - 0.01,
                "high": number / 20 + 0.09, "n_frames": 8, "n_patients_in_bin": 4,
                "status": "done",
            } | change
            for n in counts
            for replicate in (1, 2)
            for variant in variants
            for epoch in epochs
            for number in range(1, 11)
        ],
        CALIBRATION,
    )  # fmt: skip


def lines_of(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_a_line_is_the_mean_over_replicates_of_each_bin():
    figure = build_calibration_figure(curves())
    assert [ax.get_title() for ax in figure.axes] == ["baseline", "combined"]
    for ax in figure.axes:
        for n in (6, 15):
            line = lines_of(ax, str(n))
            expected = [number / 20 + 0.015 + n / 1000 for number in range(1, 11)]
            assert list(line.get_ydata()) == pytest.approx(expected)
            assert list(line.get_xdata()) == pytest.approx([k / 10 + 0.05 for k in range(10)])


def test_the_largest_count_has_a_bar_for_each_bin():
    for ax in build_calibration_figure(curves()).axes:
        color = lines_of(ax, "15").get_color()
        bars = [line for line in ax.lines if line.get_marker() == "_"]
        assert [bar.get_color() for bar in bars] == [color] * 10
        assert list(bars[0].get_ydata()) == pytest.approx([0.04, 0.14])


def test_the_caption_says_what_the_bars_are_and_leaves_out_what_is_not_there():
    text = build_calibration_figure(curves()).get_supxlabel()
    assert "at n = 15: 95 % over holdout patients, for these trained models" in " ".join(
        text.split()
    )
    without = build_calibration_figure(curves(low=None, high=None))
    assert "95 %" not in without.get_supxlabel()
    assert not [line for line in without.axes[0].lines if line.get_marker() == "_"]


def test_the_last_gan_epoch_is_shown_and_named():
    figure = build_calibration_figure(curves(epochs=(25, 100)))
    xs = lines_of(figure.axes[0], "6").get_xdata()
    assert list(xs) == pytest.approx([k / 10 + 0.15 for k in range(10)])
    assert "GAN epoch 100" in figure.get_supxlabel()


def test_five_variants_take_two_lines_of_panels():
    figure = build_calibration_figure(curves(variants=("a", "b", "c", "d", "e")))
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d", "e", "", "", ""]
    assert [ax.axison for ax in figure.axes] == [True] * 5 + [False] * 3


def test_files_are_written_where_there_is_a_curve_and_are_the_same_each_time(tmp_path):
    first, again = (calibration_figure(curves(), tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == ["one.png", "one.svg"]
    for a, b in zip(first, again, strict=True):
        assert a.read_bytes() == b.read_bytes()
    refused = curves(bin=None, mean_score=None, share=None, low=None, high=None, status="refused")
    assert calibration_figure(refused, tmp_path / "none") == []
    assert calibration_figure(CALIBRATION.empty_table(), tmp_path / "empty") == []
    names = ["one.png", "one.svg", "two.png", "two.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
