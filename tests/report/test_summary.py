import csv
import io
import statistics

import pyarrow as pa
import pytest
from rich.console import Console

from lussweep.cli.summary import summary_table
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.results import RESULTS
from lussweep.report.summary import (
    SUMMARY_FIELDS,
    epoch_is_axis,
    summary_rows,
    write_summary,
)


def cell(n_patients, replicate, variant, auroc=None, status="done", gan_epoch=None):
    row = {
        "n_patients": n_patients,
        "replicate": replicate,
        "variant": variant,
        "gan_epoch": gan_epoch,
        "status": status,
    }
    if status == "done":
        row |= {
            "auroc": auroc,
            "auroc_low": auroc - 0.02,
            "auroc_high": auroc + 0.01,
            "n_holdout_patients": 120,
            "n_holdout_frames": 960,
        }
    return row


def results(*cells):
    return pa.Table.from_pylist(list(cells), schema=RESULTS)


def three_replicates():
    return results(
        cell(15, 1, "combined", 0.95),
        cell(15, 1, "baseline", 0.94),
        cell(6, 1, "combined", 0.91),
        cell(6, 2, "combined", 0.93),
        cell(6, 3, "combined", 0.96),
        cell(6, 1, "baseline", 0.90),
        cell(6, 2, "baseline", status="failed"),
        cell(6, 3, "baseline", 0.92),
        cell(6, 1, "pure_synthetic", status="blocked"),
        cell(6, 2, "pure_synthetic", status="failed"),
        cell(6, 3, "pure_synthetic", status="failed"),
    )


def printed(table, width=80):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(table)
    return out.getvalue()


def test_statistics_are_over_the_replicates_that_are_done():
    rows = summary_rows(three_replicates())
    assert [(r["n_patients"], r["variant"]) for r in rows] == [
        (6, "combined"),
        (6, "baseline"),
        (6, "pure_synthetic"),
        (15, "combined"),
        (15, "baseline"),
    ]
    combined, baseline, pure, lone, _ = rows
    assert combined["auroc_mean"] == pytest.approx((0.91 + 0.93 + 0.96) / 3)
    assert combined["auroc_sd"] == statistics.stdev([0.91, 0.93, 0.96])
    assert (combined["auroc_min"], combined["auroc_max"]) == (0.91, 0.96)
    assert (baseline["n_done"], baseline["n_cells"]) == (2, 3)
    assert baseline["auroc_mean"] == pytest.approx(0.91)
    assert (pure["n_done"], pure["auroc_mean"], pure["auroc_sd"]) == (0, None, None)
    assert (lone["auroc_mean"], lone["auroc_sd"]) == (0.95, None)


def test_epochs_of_one_cell_are_an_axis_and_epochs_of_replicates_are_not():
    swept = results(
        cell(6, 1, "baseline", 0.9),
        cell(6, 1, "combined", 0.91, gan_epoch=50),
        cell(6, 1, "combined", 0.92, gan_epoch=25),
    )
    selected = results(
        cell(6, 1, "combined", 0.91, gan_epoch=25), cell(6, 2, "combined", 0.93, gan_epoch=50)
    )
    assert epoch_is_axis(swept)
    assert [r["gan_epoch"] for r in summary_rows(swept)] == [None, 25, 50]
    assert not epoch_is_axis(selected)
    (row,) = summary_rows(selected)
    assert (row["n_done"], row["gan_epoch"]) == (2, None)
    assert [r["gan_epoch"] for r in summary_rows(selected.slice(0, 1))] == [25]


def test_csv_has_every_row_and_leaves_what_is_missing_empty(tmp_path):
    write_summary(three_replicates(), tmp_path / "out" / "summary.csv")
    with (tmp_path / "out" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == SUMMARY_FIELDS
    assert [float(r["auroc_mean"]) for r in rows if r["auroc_mean"]] == [
        r["auroc_mean"] for r in summary_rows(three_replicates()) if r["n_done"]
    ]
    assert (rows[2]["auroc_mean"], rows[2]["auroc_sd"]) == ("", "")


def test_terminal_table_shows_spread_and_what_is_missing():
    text = printed(summary_table(three_replicates()))
    assert "0.933 ± 0.025" in text
    assert "0.910 ± 0.014 2/3 done" in text
    assert "2/3 failed" in text
    assert "0.950 [0.930, 0.960]" in text
    assert "120 patients, 960 frames" in text
    assert "sample standard deviation over replicates" in " ".join(text.split())
    assert "[low, high] of one replicate: 95 % for other holdout" in " ".join(text.split())


def test_cells_of_a_generator_that_has_not_learned_are_counted_and_marked():
    table = results(
        cell(6, 1, "baseline", 0.90) | {"has_learned": None},
        cell(6, 2, "baseline", 0.92) | {"has_learned": None},
        cell(6, 1, "combined", 0.91) | {"has_learned": True},
        cell(6, 2, "combined", 0.93) | {"has_learned": False},
    )
    assert [row["n_not_learned"] for row in summary_rows(table)] == [0, 1]
    text = " ".join(printed(summary_table(table)).split())
    assert "0.910 ± 0.014" in text and "0.920* ± 0.014" in text
    assert "*: a generator has not learned (in 1 of 2 cells with synthetic frames)" in text
    assert "*" not in printed(summary_table(three_replicates()))


def means(low=0.88):
    rows = [
        {"n_patients": 6, "variant": "combined", "level": level, "auroc": mean, "sd": 0.01,
         "low": low, "high": 0.97, "aurocs": [mean]}
        for level, mean in (("frame", 0.933), ("patient_mean", 0.95), ("patient_weighted", 0.94))
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, MEANS)


def test_intervals_over_trainings_and_the_patient_level_have_their_places():
    table = three_replicates()
    by_frame = printed(summary_table(table, means()))
    assert "AUC-ROC on holdout, by frame" in by_frame
    assert "0.933 ± 0.025" in by_frame and "[0.880, 0.970]" in by_frame
    assert "95 % for other trainings and other holdout patients" in " ".join(by_frame.split())
    by_patient = printed(summary_table(table, means(), by_patient=True))
    assert "by patient (mean frame score)" in by_patient
    assert "0.950 [0.880, 0.970]" in by_patient
    assert "none" in by_patient and "0.933" not in by_patient
    assert "[" not in printed(summary_table(table, means(None), by_patient=True))
    row = summary_rows(table, means())[0]
    assert (row["auroc_low"], row["auroc_high"]) == (0.88, 0.97)
    assert [row[f"patient_auroc_{name}"] for name in ("mean", "sd", "low")] == [0.95, 0.01, 0.88]


def test_a_lone_replicate_without_its_interval_shows_its_mean():
    """So while a run goes on, and where the interval is withheld."""
    table = results(cell(6, 1, "baseline", 0.9) | {"auroc_low": None, "auroc_high": None})
    text = printed(summary_table(table))
    assert "0.900" in text
    assert "[" not in text


def test_scores_without_an_auroc_are_told():
    table = results(cell(6, 1, "baseline", 0.9), cell(6, 2, "baseline", status="refused"))
    assert "0.900 1/2 done" in printed(summary_table(table))
    assert "refused" in printed(summary_table(table.slice(1)))
    assert summary_rows(table)[0]["n_done"] == 1


def test_terminal_table_of_the_papers_grid_fits_80_columns():
    variants = ("baseline", "combined", "positive_synthetic", "pure_synthetic")
    lone = results(*(cell(58, 1, v, 0.95, gan_epoch=e) for v in variants for e in (25, 100)))
    text = printed(summary_table(lone))
    assert text.count("[0.930, 0.960]") == 8
    assert all(len(line) <= 80 for line in text.splitlines())


def test_many_variants_stand_below_one_another_with_their_whole_names():
    variants = [f"a_variant_of_the_gan_number_{i}" for i in range(8)]
    cells = [cell(n, r, v, 0.9) for v in variants for n in (6, 15, 58) for r in (1, 2)]
    text = printed(summary_table(results(*cells)))
    assert all(variant in text for variant in variants)
    assert text.count("0.900 ± 0.000") == 24
    by_epoch = [cell(6, 1, v, 0.9, gan_epoch=e) for v in variants for e in (25, 100)]
    assert "epoch 100" in printed(summary_table(results(*by_epoch)))


def test_nothing_done_and_nothing_planned():
    text = printed(summary_table(results(cell(6, 1, "a[b]", status="missing"))))
    assert "missing" in text
    assert "No cell is done yet." in text
    assert "a[b]" in text
    assert summary_rows(results()) == []
    assert "No cell is done yet." in printed(summary_table(results()))
