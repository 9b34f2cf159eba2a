"""Chapters of the statistics: AUC-ROC against patients, contrasts, worth."""

from __future__ import annotations

from lussweep.report.cells import BASELINE
from lussweep.report.page.columns import (
    REASON,
    STATUS,
    VARIANT,
    N,
    difference,
    filled,
    interval,
    number,
    share,
    with_epoch,
    with_intervals,
)
from lussweep.report.page.details import outcomes_by_table
from lussweep.report.page.outcomes import KINDS, kind_of
from lussweep.report.page.seam import Chapter, Column, Context, PageSource, page_table
from lussweep.report.page.wording import beside_one, grid_bound, p_text
from lussweep.report.summary import summary_rows


def _auroc(source: PageSource) -> Context | None:
    collected = source.collected
    rows = summary_rows(collected.table("results"), collected.table("means"))
    columns = [
        N, VARIANT, Column("n_done", "replicates", "done"), share("auroc_mean", "by frame", "mean"),
        interval("auroc_low", "auroc_high", "interval"),
        share("auroc_sd", "SD", "over replicates"),
        share("patient_auroc_mean", "by patient", "mean"),
        interval("patient_auroc_low", "patient_auroc_high", "interval"),
    ]  # fmt: skip
    caption = (
        "Mean AUC-ROC on holdout over replicates. Intervals cover other trainings and other "
        "holdout patients."
    )
    shown = filled(with_epoch(columns, rows), rows := with_intervals(columns, rows))
    table = page_table("auroc-table", caption, shown, rows, "summary.csv")
    pictures = [source.picture(name) for name in ("auroc_ribbons", "auroc_bars", "auroc")]
    return {"pictures": pictures, "table": table}


def _contrasts(source: PageSource) -> Context | None:
    rows = source.rows("contrasts")
    if not rows:
        return None
    planned = [tuple(pair) for pair in source.study.analysis.contrasts]
    place_of = {pair: i for i, pair in enumerate(planned)}
    rows.sort(key=lambda row: place_of.get((row["variant"], row["reference"]), len(planned)))
    for row in rows:
        row["outcome"] = KINDS[kind_of(row)]
    columns = [
        N, VARIANT, Column("reference", "reference", is_number=False),
        difference("difference", "difference", "AUC-ROC"), interval("low", "high", "interval"),
        Column("p_value", "p", "two-sided", lambda p: p_text(p).removeprefix("p = ")),
        Column("p_holm", "p adjusted", "Holm", lambda p: p_text(p).removeprefix("p = ")),
        Column("outcome", "outcome", is_number=False),
        number("detectable", "detectable", "power 80 %"),
        interval("conditional_low", "conditional_high", "interval, these models"), REASON,
    ]  # fmt: skip
    caption = (
        "Mean difference of AUC-ROC between a variant and its reference on the same holdout "
        "patients. The interval covers other trainings and other patients; that of these models "
        "covers other patients alone."
    )
    shown = filled(with_epoch(columns, rows), rows := with_intervals(columns, rows, sign=True))
    table = page_table("contrasts-table", caption, shown, rows, "contrasts.parquet")
    study = source.study
    return {
        "picture": source.picture("contrasts"),
        "table": table,
        "level": study.analysis.level.replace("_", " "),
        "margin": study.analysis.margin,
        "n_planned": len(rows),
    }


def _worth(source: PageSource) -> Context | None:
    worth, multiplier = source.rows("worth"), source.rows("multiplier")
    rows = [row for row in worth if row["variant"] != BASELINE]
    if not rows:
        return None
    columns = [
        N, VARIANT, Column("worth", "is worth", "patients of the baseline", is_number=False),
        Column("interval", "95 %", "patients of the baseline", is_number=False), STATUS, REASON,
    ]  # fmt: skip
    caption = "Patients per class of the baseline with the same mean AUC-ROC."
    of_m = [
        VARIANT, Column("m", "one patient counts as", "patients", beside_one),
        Column("low", "low", "95 %", grid_bound), Column("high", "high", "95 %", grid_bound),
        STATUS, REASON,
    ]  # fmt: skip
    said = "What one patient's data counts as with a variant, over the whole grid."
    return {
        "picture": source.picture("worth"),
        "table": page_table("worth-table", caption, filled(columns, rows), rows, "worth.parquet"),
        "multiplier": page_table(
            "multiplier-table", said, filled(of_m, multiplier), multiplier, "multiplier.parquet"
        ),
    }


def _known_truth(source: PageSource) -> Context | None:
    rows = source.rows("known_truth")
    if not rows:
        return None
    columns = [
        N, Column("replicate", "replicate"), Column("subject", "verdict on", is_number=False),
        Column("reference", "against", is_number=False), Column("truth", "truth", is_number=False),
        Column("verdict", "verdict", is_number=False),
        Column("outcome", "outcome", is_number=False), REASON,
    ]  # fmt: skip
    caption = "Verdicts of this run where the truth is known by construction."
    return {
        "n_verdicts": len(rows),
        "outcomes": outcomes_by_table(rows),
        "table": page_table(
            "known-truth-table", caption, filled(columns, rows), rows, "known_truth.parquet"
        ),
    }


CHAPTERS = {
    "auroc": Chapter(title="AUC-ROC against patients", make=_auroc, nothing="No cell is planned."),
    "contrasts": Chapter(
        title="Contrasts", make=_contrasts, nothing="No contrast of this grid is planned."
    ),
    "worth": Chapter(
        title="Worth in patients",
        make=_worth,
        nothing="Worth needs the baseline at two patient counts, and another variant.",
    ),
    "known_truth": Chapter(
        title="Known truth",
        make=_known_truth,
        nothing="This grid has no variant whose worth is known beforehand.",
    ),
}
