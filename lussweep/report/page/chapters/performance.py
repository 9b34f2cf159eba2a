"""Chapters on the classifiers: Table 2, ROC with operating points, calibration and net benefit."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from lussweep.report.cells import DONE, Row
from lussweep.report.page.columns import EPOCH, VARIANT, N, filled, number, share
from lussweep.report.page.seam import Chapter, Column, Context, PageSource, page_table

REPLICATES = Column("n_done", "replicates", "done")
SCALARS = ("accuracy", "sensitivity", "specificity", "f1", "auroc")


def means_over_replicates(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """One row for each patient count, variant and GAN epoch: means of the values that are there.

    The rows are in the order in which their places first occur.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        place = (row["n_patients"], row["variant"], row["gan_epoch"])
        groups.setdefault(place, []).append(row)
    means = []
    for (n, variant, epoch), group in groups.items():
        mean: Row = {"n_patients": n, "variant": variant, "gan_epoch": epoch, "n_done": len(group)}
        for name in names:
            values = [row[name] for row in group if row[name] is not None]
            mean[name] = fmean(values) if values else None
        means.append(mean)
    return sorted(means, key=lambda row: row["n_patients"])


def _table2(source: PageSource) -> Context | None:
    done = [row for row in source.rows("results") if row["status"] == DONE]
    if not done:
        return None
    rows = means_over_replicates(done, SCALARS)
    columns = [
        N, VARIANT, EPOCH, REPLICATES, share("accuracy", "accuracy", "at 0.5"),
        share("sensitivity", "sensitivity", "at 0.5"),
        share("specificity", "specificity", "at 0.5"), share("f1", "F1", "at 0.5"),
        share("auroc", "AUC-ROC", "by frame"),
    ]  # fmt: skip
    caption = "Means over replicates on holdout frames, at a score threshold of 0.5."
    return {"table": page_table("table2-table", caption, filled(columns, rows), rows,
                                "results.parquet")}  # fmt: skip


def _roc(source: PageSource) -> Context | None:
    rows = [row for row in source.rows("operating") if row["sensitivity"] is not None]
    if not rows:
        return None
    by_wanted = [
        row | {"wanted": wanted}
        for wanted in sorted({row["wanted"] for row in rows})
        for row in means_over_replicates(
            [row for row in rows if row["wanted"] == wanted],
            ("val_sensitivity", "sensitivity", "specificity"),
        )
    ]
    columns = [
        N, VARIANT, EPOCH, REPLICATES,
        share("wanted", "wanted specificity", "on validation"),
        share("val_sensitivity", "sensitivity", "on validation"),
        share("sensitivity", "sensitivity", "on holdout"),
        share("specificity", "specificity", "on holdout"),
    ]  # fmt: skip
    caption = "Operating points, means over replicates. Validation chose the thresholds."
    table = page_table("roc-table", caption, filled(columns, by_wanted), by_wanted,
                       "operating.parquet, which has intervals of each cell")  # fmt: skip
    return {"picture": source.picture("roc"), "table": table}


def _calibration(source: PageSource) -> Context | None:
    rows = [row for row in source.rows("quality") if row["brier"] is not None]
    if not rows:
        return None
    names = (
        "average_precision", "prevalence", "brier", "calibration_slope", "calibration_intercept",
        "calibration_error",
    )  # fmt: skip
    means = means_over_replicates(rows, names)
    columns = [
        N, VARIANT, EPOCH, REPLICATES, share("average_precision", "average precision"),
        share("prevalence", "prevalence"), share("brier", "Brier score", "0 is best"),
        number("calibration_slope", "slope", "1 is calibrated"),
        number("calibration_intercept", "intercept", "0 is calibrated"),
        share("calibration_error", "expected error", "of calibration"),
    ]  # fmt: skip
    caption = "Precision and calibration on holdout frames, means over replicates."
    table = page_table("calibration-table", caption, filled(columns, means), means,
                       "quality.parquet, which has intervals of each cell")  # fmt: skip
    return {
        "calibration": source.picture("calibration"),
        "net_benefit": source.picture("net_benefit"),
        "table": table,
    }


CHAPTERS = {
    "table2": Chapter(
        title="Accuracy, sensitivity and specificity",
        make=_table2,
        nothing="No cell is done yet.",
    ),
    "roc": Chapter(
        title="ROC and operating points", make=_roc, nothing="No cell has an operating point."
    ),
    "calibration": Chapter(
        title="Calibration and net benefit",
        make=_calibration,
        nothing="No cell has a calibration.",
    ),
}
