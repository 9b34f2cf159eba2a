"""Chapters on how the run went: searches, events and failures, provenance."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from lussweep.report.cells import DONE
from lussweep.report.conceal import conceal
from lussweep.report.page.columns import (
    EPOCH,
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
from lussweep.report.page.seam import Chapter, Column, Context, PageSource, page_table
from lussweep.report.page.wording import counted
from lussweep.store.tables import HYPERPARAMETER_COLUMNS
from lussweep.study.spec import dump_study

REPLICATE = Column("replicate", "replicate")
MOST_KEYS = 400
"""Cells whose keys the page lists. results.parquet has all."""


def _search(source: PageSource) -> Context | None:
    picture = source.picture("search")
    if picture is None:
        return None
    rows = [row for row in source.rows("results") if row["status"] == DONE]
    columns = [
        N, REPLICATE, VARIANT, EPOCH, Column("best_trial", "trial"), Column("best_epoch", "epoch"),
        *(Column(name, name.replace("_", " "), is_number=name != "hyperparameters")
          for name in HYPERPARAMETER_COLUMNS),
        share("val_accuracy", "accuracy", "on validation"),
    ]  # fmt: skip
    caption = "Selected trials: the hyperparameters that validation chose for each cell."
    table = page_table("search-table", caption, filled(columns, rows), rows, "results.parquet")
    return {"picture": picture, "table": table, "select_by": source.study.search.select_by}


def _events(source: PageSource) -> Context:
    results = source.rows("results")
    undone = [row for row in results if row["status"] != DONE]
    tables = {}
    for name, caption, columns in (
        ("failures", "Steps that failed.", [
            Column("stage", "stage", is_number=False), Column("step", "step", is_number=False),
            Column("n_blocked", "steps that wait"), Column("error", "error", is_number=False)]),
        ("gan_events", "Events of the generators' training.", [
            N, REPLICATE, Column("class", "class", is_number=False),
            Column("gan", "GAN", is_number=False), Column("attempt", "attempt"),
            Column("epoch", "epoch"), Column("kind", "event", is_number=False),
            Column("message", "what happened", is_number=False)]),
        ("skipped", "Videos that were left out.", [
            Column("patient_id", "patient", "hashed", is_number=False),
            Column("video_id", "video", "hashed", is_number=False),
            Column("reason", "reason", is_number=False)]),
    ):  # fmt: skip
        rows = source.rows_if_written(name)
        if rows:
            tables[name] = page_table(f"{name}-table", caption, columns, rows, f"{name}.parquet")
    if undone:
        columns = [N, REPLICATE, VARIANT, EPOCH, STATUS, REASON]
        shown = filled(columns, undone)
        tables["undone"] = page_table(
            "undone-table", "Cells without a result.", shown, undone, "results.parquet"
        )
    controls = source.rows_if_written("controls")
    if controls:
        columns = [
            N, VARIANT, Column("control", "control", is_number=False),
            Column("n_permutations", "permutations"), share("auroc", "AUC-ROC", "mean"),
            interval("low", "high", "interval"), Column("verdict", "verdict", is_number=False),
            STATUS, REASON,
        ]  # fmt: skip
        rows = with_intervals(columns, controls)
        shown = filled(columns, rows)
        caption = (
            "Controls. Shuffled labels must give chance. Sector masks alone that score above "
            "chance tell the class, so classifiers may have used them."
        )
        tables["controls"] = page_table("controls-table", caption, shown, rows, "controls.parquet")
    counts = Counter(row["status"] for row in results)
    return {
        "tables": list(tables.values()),
        "cells": ", ".join(f"{n:,} {status}" for status, n in counts.items()),
    }


def _provenance(source: PageSource) -> Context:
    results, store = source.rows("results"), source.collected.reported.store
    refs = [
        f"{role}/{row[f'{role}_key']}"
        for row in results
        for role in ("search", "evaluate")
        if row["status"] == DONE
    ]
    made = [store.record(ref)["circumstances"] for ref in dict.fromkeys(refs) if store.has(ref)]
    seen = {name: _distinct(made, name) for name in ("device", "python", "git_commit")}
    libraries: dict[str, set[str]] = defaultdict(set)
    for record in made:
        for name, version in record["libraries"].items():
            libraries[name].add(version)
    hosts = _distinct(made, "host")
    seconds = sum(row["seconds"] or 0 for row in results)
    peak = max((record["peak_memory_bytes"] or 0 for record in made), default=0)
    facts = [
        ("Seed of the study", str(source.study.seed)),
        ("Cells", counted(len(results), "cell")),
        ("Machines", counted(len(hosts), "host")),
        ("Devices", ", ".join(seen["device"])),
        ("Python", ", ".join(seen["python"])),
        ("Commit", ", ".join(seen["git_commit"]) or "not from a checkout"),
        ("Libraries", ", ".join(f"{n} {' and '.join(sorted(v))}" for n, v in libraries.items())),
        ("Trials and evaluations", f"{seconds:,.0f} s of all cells together"),
        ("Peak memory of a step", f"{peak / 1e9:.2f} GB"),
    ]
    columns = [
        N, REPLICATE, VARIANT, EPOCH, Column("cohort_key", "cohort", "key", is_number=False),
        Column("search_key", "search", "key", is_number=False),
        Column("evaluate_key", "evaluation", "key", is_number=False),
        number("seconds", "seconds", "s"),
    ]  # fmt: skip
    shown = results[:MOST_KEYS]
    caption = "Keys of the steps of each cell. artifacts/STAGE/KEY/record.json says how."
    return {
        "facts": [(name, value) for name, value in facts if value],
        "experiment": conceal_paths(dump_study(source.study), source),
        "keys": page_table("keys-table", caption, filled(columns, shown), shown, "results.parquet"),
    }


def conceal_paths(text: str, source: PageSource) -> str:
    """The experiment's text, with paths of external images hashed."""
    return "\n".join(conceal(line, ()) if "/" in line else line for line in text.splitlines())


def _distinct(records: list[dict[str, Any]], name: str) -> list[str]:
    return sorted({str(record[name]) for record in records if record.get(name)})


CHAPTERS = {
    "search": Chapter(title="The search", make=_search, nothing="No trial has ended an epoch."),
    "events": Chapter(title="Events and failures", make=_events, nothing=""),
    "provenance": Chapter(title="Provenance", make=_provenance, nothing=""),
}
