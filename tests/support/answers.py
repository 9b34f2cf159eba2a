"""Rows that the sentences of a page are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lussweep.report.page.seam import PageSource
from lussweep.report.page.sentences import Facts
from lussweep.report.sections.seam import NotWritten
from lussweep.study.spec import load_study
from lussweep.study.spec.study import PAPER_VARIANTS

Rows = Sequence[Mapping[str, Any]]


class Tables:
    """The tables of a run that are written, and no figures, in place of a `PageSource`."""

    is_phantom = False
    study = load_study("name: mine\nanalysis: {contrasts: [[combined, baseline]]}")

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        self.tables = tables

    def rows(self, name: str) -> list[dict[str, Any]]:
        if name not in self.tables:
            raise NotWritten(name)
        return [dict(row) for row in self.tables[name]]

    def rows_if_written(self, name: str) -> list[dict[str, Any]]:
        return self.rows(name) if name in self.tables else []

    def picture(self, name: str) -> None:
        return None


def tables_of(**tables: Rows) -> PageSource:
    """The source of a page of a run with these tables."""
    return cast(PageSource, Tables(tables))


def contrast(n: int = 15, **changes: Any) -> dict[str, Any]:
    """A row of `contrasts` in which nothing is shown."""
    row = {
        "n_patients": n, "gan_epoch": None, "variant": "combined", "reference": "baseline",
        "level": "frame", "difference": 0.004, "low": -0.011, "high": 0.019, "p_value": 0.6,
        "p_holm": 1.0, "margin": 0.005, "non_inferior": False, "detectable": 0.0301,
        "status": "done", "reason": None,
    }  # fmt: skip
    return row | changes


GAIN = {"difference": 0.03, "low": 0.012, "high": 0.048, "p_value": 0.001, "p_holm": 0.004}
LOSS = {"difference": -0.03, "low": -0.048, "high": -0.012, "p_value": 0.001, "p_holm": 0.004}
NON_INFERIOR = {"margin": 0.02, "non_inferior": True}
UNADJUSTED = {"difference": 0.03, "low": 0.002, "high": 0.058, "p_value": 0.03, "p_holm": 0.3}
NO_INTERVAL = dict.fromkeys(
    ("low", "high", "p_value", "p_holm", "non_inferior", "detectable"), None
)
WITHHELD = {**NO_INTERVAL, "status": "withheld", "reason": "one replicate has no training variance"}
MISSING = {**NO_INTERVAL, "difference": None, "status": "missing", "reason": "missing: combined"}
REFUSED = {**NO_INTERVAL, "difference": None, "status": "refused", "reason": "one class alone"}


def results(n_done: int = 6, **others: int) -> list[dict[str, Any]]:
    done = {"status": "done", "n_holdout_patients": 120, "n_holdout_frames": 960}
    bad = {"n_holdout_patients": None, "n_holdout_frames": None}
    return [done] * n_done + [
        {"status": status, **bad} for status, n in others.items() for _ in range(n)
    ]


def facts(*contrasts: dict[str, Any], **others: Any) -> Facts:
    return Facts(
        **{"results": results(), "contrasts": contrasts, "recipes": PAPER_VARIANTS, **others}
    )


def event(n: int = 6) -> dict[str, Any]:
    """An event of the training of a generator with `n` patients."""
    return {
        "n_patients": n, "replicate": 1, "class": "pos", "gan": "base", "kind": "low_diversity",
    }  # fmt: skip


def control(verdict: str, kind: str = "shuffled labels", n: int = 15) -> dict[str, Any]:
    """A row of `controls`."""
    return {"n_patients": n, "control": kind, "verdict": verdict}


def known(
    n_right: int, n_wrong: int, n_withheld: int, table: str = "memorisation"
) -> list[dict[str, Any]]:
    """Rows of `known_truth` by outcome."""
    outcomes = ["right"] * n_right + ["wrong"] * n_wrong + ["withheld"] * n_withheld
    return [{"table": table, "outcome": outcome} for outcome in outcomes]
