"""Variants whose worth is known beforehand, and what a study must find for them.

A tool that measures worth is trusted where it is right about these. `docs/known_truth.md` explains
them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lussweep.study.spec.recipe import PAPER_VARIANTS, Recipe

KNOWN_WORTH = {
    "ideal": Recipe(pos=("real", "simulated"), neg=("real",)),
    "doubled": Recipe(pos=("real", "simulated"), neg=("real", "simulated")),
    "again": Recipe(pos=("real",), neg=("real",), seed_offset=1),
    "memoriser": Recipe(pos=("real", "copies"), neg=("real",)),
    "mask_only": Recipe(pos=("real",), neg=("real",), frames="mask"),
}
"""The variants by name. Those with the source `simulated` need the phantom."""
BUILT_IN = {**PAPER_VARIANTS, **KNOWN_WORTH}
"""Every variant that an experiment has without defining it."""
REFERENCES = {
    "baseline": PAPER_VARIANTS["baseline"],
    "oversample": Recipe(pos=("real", "real"), neg=("real",)),
}
"""The recipes that the known differences refer to."""
MAX_FRESH_PATIENTS = 10_000
"""Most new patients of a class that the simulator makes for one grid."""


class KnownDifference(NamedTuple):
    """The true difference of AUC-ROC between a variant and its reference."""

    variant: str
    reference: str
    truth: Literal["none", "not below"]
    """none: the difference is zero in the mean over trainings. not below: it is zero or positive,
    because the variant has the frames of more patients."""


KNOWN_DIFFERENCES = (
    KnownDifference("ideal", "baseline", "not below"),
    KnownDifference("doubled", "baseline", "not below"),
    KnownDifference("again", "baseline", "none"),
    KnownDifference("memoriser", "oversample", "none"),
)
KNOWN_MULTIPLIERS = {"doubled": 2, "again": 1}
"""The number of patients of the baseline that one patient counts as, by variant."""
AT_CHANCE = "mask_only"
"""The variant that scores as chance does on the phantom, where every class has the same probes."""
MAY_BE_RELEASED = {"simulated": True, "copies": False}
"""Whether the frames of a source may pass the release gate: those of new patients, not copies."""


def is_built_in(name: str, recipe: Recipe | None) -> bool:
    """Whether a study's recipe is the one that the name stands for here."""
    return recipe is not None and recipe == {**KNOWN_WORTH, **REFERENCES}.get(name)
