"""The training patients that replicates share, and the text that says so."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from statistics import fmean

from lussweep.report.sections.seam import Collected

SHARED = 0.1
"""Replicates that share more than this part of their training patients are marked."""


def cohort_overlap(collected: Collected) -> dict[int, float]:
    """The share of training patients that two replicates have in common, by patient count.

    The share is a mean over pairs of replicates. A count with one replicate has none.
    """
    cohorts = collected.table("cohorts")
    patients: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    columns = (cohorts[name].to_pylist() for name in ("n_patients", "replicate", "patient_id"))
    for n_patients, replicate, patient in zip(*columns, strict=True):
        patients[n_patients][replicate].add(patient)
    return {
        n: fmean(len(a & b) / min(len(a), len(b)) for a, b in combinations(sets.values(), 2))
        for n, sets in patients.items()
        if len(sets) > 1
    }


def shared_text(overlap: float | None) -> str | None:
    """A text for replicates that share patients, which no statistic over replicates shows."""
    if overlap is None or overlap <= SHARED:
        return None
    if overlap == 1:
        return "all replicates have the same training patients: they differ in seeds alone"
    return (
        f"replicates share {100 * overlap:.0f} % of their training patients: the interval is for "
        "cohorts of this pool"
    )
