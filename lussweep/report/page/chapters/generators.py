"""Chapters on the generators: training and scores, frames, memorisation, usefulness."""

from __future__ import annotations

import math

from lussweep.report.cells import DONE
from lussweep.report.page.columns import (
    REASON,
    STATUS,
    VARIANT,
    N,
    filled,
    interval,
    number,
    share,
    with_intervals,
)
from lussweep.report.page.pixels import nearest_pairs, sample_groups
from lussweep.report.page.seam import Chapter, Column, Context, PageSource, page_table
from lussweep.report.page.wording import p_text

REPLICATE = Column("replicate", "replicate")
CLASS = Column("class", "class", is_number=False)
GAN = Column("gan", "GAN", is_number=False)
NO_FRAMES = "Frames are left out of this page, because it may be shared."


def _gans(source: PageSource) -> Context | None:
    losses = source.rows("gan_losses")
    if not losses:
        return None
    scores = [row for row in source.rows_if_written("gan_scores") if row["gan"] is not None]
    last: dict[tuple[object, ...], int] = {}
    place = ("n_patients", "replicate", "class", "gan")
    for row in scores:
        if row["epoch"] is not None:
            at = tuple(row[name] for name in place)
            last[at] = max(last.get(at, 0), row["epoch"])
    values: dict[tuple[object, ...], list[float]] = {}
    for row in scores:
        at = tuple(row[name] for name in place)
        if row["epoch"] == last.get(at) and math.isfinite(row["value"]):
            key = tuple(row[k] for k in ("metric", "embedder", "space", "class", "n_patients"))
            values.setdefault(key, []).append(row["value"])
    rows = [
        dict(zip(("metric", "embedder", "space", "class", "n_patients"), key, strict=True))
        | {"mean": sum(v) / len(v), "n_done": len(v)}
        for key, v in values.items()
    ]
    columns = [
        Column("metric", "score", is_number=False), Column("embedder", "embedder", is_number=False),
        Column("space", "space", is_number=False), CLASS, N, Column("n_done", "replicates"),
        number("mean", "mean", "of last snapshots"),
    ]  # fmt: skip
    caption = "Scores of the last snapshots, means over replicates."
    return {
        "losses": source.picture("gan_losses"),
        "scores": source.picture("gan_metrics"),
        "table": page_table("gans-table", caption, columns, rows, "gan_scores.parquet")
        if rows
        else None,
    }


def _samples(source: PageSource) -> Context | None:
    if source.is_shareable:
        return {"groups": [], "note": NO_FRAMES}
    groups = sample_groups(source)
    return {"groups": groups, "note": ""} if groups else None


def _features(source: PageSource) -> Context | None:
    picture = source.picture("features")
    return {"picture": picture} if picture else None


def _memorisation(source: PageSource) -> Context | None:
    rows = source.rows("memorisation")
    if not rows:
        return None
    columns = [
        N, REPLICATE, CLASS, GAN, Column("gan_epoch", "GAN epoch"),
        Column("n_synthetic", "synthetic", "frames"),
        share("copy_share", "copies", "share of frames"),
        share("recognisable_share", "recognisable", "share of training patients"),
        Column("most_copies_of_a_patient", "copies", "most of a patient"),
        share("nearer_train_share", "nearer to training", "0.5 without memorisation"),
        share("authenticity_across_patients", "authentic", "share, between patients"),
        Column("verdict", "release gate", is_number=False),
        Column("verdict_because", "remark", is_number=False),
    ]  # fmt: skip
    caption = "Memorisation cards: how near synthetic frames are to frames that their GAN saw."
    return {
        "table": page_table("memorisation-table", caption, filled(columns, rows), rows,
                            "memorisation.parquet"),
        "pairs": [] if source.is_shareable else nearest_pairs(source),
        "note": NO_FRAMES if source.is_shareable else "",
        "n_refused": sum(row["verdict"] == "refused" for row in rows),
        "n_unjudged": sum(row["verdict"] == "unjudged" for row in rows),
        "n_sets": len(rows),
    }  # fmt: skip


def _usefulness(source: PageSource) -> Context | None:
    picture = source.picture("usefulness")
    rows = source.rows_if_written("usefulness")
    if picture is None and not rows:
        return None
    shown = sorted(
        (row for row in rows if row["spearman_within"] is not None and row["status"] == DONE),
        key=lambda row: -abs(row["spearman_within"]),
    ) or [row for row in rows if row["n_cells"]]
    columns = [
        VARIANT, Column("metric", "score", is_number=False),
        Column("embedder", "embedder", is_number=False), Column("space", "space", is_number=False),
        Column("n_cells", "cells"), number("spearman_within", "Spearman", "within a patient count"),
        interval("spearman_within_low", "spearman_within_high", "interval"),
        Column("q_value", "q", "false discovery", lambda p: p_text(p).removeprefix("p = ")),
        STATUS, REASON,
    ]  # fmt: skip
    caption = (
        "Correlation of each score of the positives' generator with the gain of its cells. "
        "Positive: the better the score, the larger the gain."
    )
    with_texts = with_intervals(columns, shown, sign=True)
    table = page_table("usefulness-table", caption, filled(columns, with_texts), with_texts,
                       "usefulness.parquet")  # fmt: skip
    return {"picture": picture, "table": table if shown else None}


CHAPTERS = {
    "gans": Chapter(
        title="Generators", make=_gans, nothing="No variant of this grid has a generator."
    ),
    "samples": Chapter(
        title="Real and synthetic frames",
        make=_samples,
        nothing="There are no synthetic frames to show.",
    ),
    "features": Chapter(
        title="Features of real and synthetic frames",
        make=_features,
        nothing="There are no features of synthetic frames to show.",
    ),
    "memorisation": Chapter(
        title="Memorisation", make=_memorisation, nothing="There is no synthetic set."
    ),
    "usefulness": Chapter(
        title="Scores against usefulness",
        make=_usefulness,
        nothing="No cell has both a score of its generator and a gain over the baseline.",
    ),
}
