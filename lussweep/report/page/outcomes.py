"""Classifies planned contrasts by what they show, by fixed rules."""

from __future__ import annotations

from typing import Literal

from lussweep.report.cells import MISSING, REFUSED, Row

ALPHA = 0.05
"""Level of a difference's p-value, adjusted by Holm for every planned contrast."""
Kind = Literal[
    "gain", "loss", "non_inferior", "unadjusted", "nothing", "withheld", "refused", "missing"
]
KINDS: dict[Kind, str] = {
    "gain": "better",
    "loss": "worse",
    "non_inferior": "not inferior",
    "unadjusted": "not after adjustment",
    "nothing": "nothing shown",
    "withheld": "withheld",
    "refused": "refused",
    "missing": "missing",
}
"""Every outcome in the order in which the page names them, with its words."""


def kind_of(row: Row) -> Kind:
    """The outcome of a row of `contrasts`.

    A gain or a loss needs an adjusted p-value of at most ALPHA and an interval that leaves out 0.
    Without one of them, an interval above minus the margin is a non-inferior variant. An interval
    that leaves out 0 without a small adjusted p-value is `unadjusted`: one of many comparisons may
    do that by chance. Any other interval shows nothing. A difference without interval or p-value is
    withheld.
    """
    if row["difference"] is None:
        return "refused" if row["status"] == REFUSED else "missing"
    if row["low"] is None or row["p_holm"] is None:
        return "withheld"
    if row["p_holm"] <= ALPHA and row["low"] > 0:
        return "gain"
    if row["p_holm"] <= ALPHA and row["high"] < 0:
        return "loss"
    if row["non_inferior"]:
        return "non_inferior"
    return "unadjusted" if row["low"] > 0 or row["high"] < 0 else "nothing"


def is_absent(row: Row) -> bool:
    """Whether cells of the contrast are not there (yet)."""
    return row["difference"] is None and row["status"] == MISSING
