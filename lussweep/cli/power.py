"""Formats what `lussweep plan --power` prints: how many replicates detect a difference."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from lussweep.analysis.power import (
    ALPHA,
    MOST_REPLICATES,
    POWER,
    Components,
    detectable_with,
    replicates_needed,
)

HOLDOUTS = (1, 3, 10)
"""Holdout patients, in multiples of those that were measured."""


def power_table(components: Mapping[str, Components], difference: float) -> Table:
    """One row for each contrast: its variances, and the replicates that detect `difference`."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left")
    table.title = Text(
        f"Replicates that detect a difference of {difference:g} in AUC-ROC "
        f"(two-sided {100 * ALPHA:g} %, power {100 * POWER:g} %)"
    )
    table.caption = Text(
        "training SD: of a difference between trainings, with what patients add in one training. "
        "patients' SD: of a difference over holdout patients. detectable: the difference that as "
        f"many replicates as were run detect. none: {MOST_REPLICATES} replicates are too few. A "
        "larger holdout is assumed to have the same mix of patients. All is before Holm's "
        "adjustment, after which several contrasts need more replicates."
    )
    table.caption_justify = "left"
    table.add_column("contrast")
    for heading in ("training\nSD", "patients'\nSD", "detect-\nable", *map(_holdout, HOLDOUTS)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, variances in components.items():
        needed = [replicates_needed(variances, difference, factor) for factor in HOLDOUTS]
        table.add_row(
            Text(name),
            f"{variances.training_variance**0.5:.3f}",
            f"{variances.patient_covariance**0.5:.3f}",
            f"{detectable_with(variances, variances.n_replicates):.3f}",
            *("none" if n is None else str(n) for n in needed),
        )
    return table


def _holdout(factor: int) -> str:
    return "this\nholdout" if factor == 1 else f"{factor} times\nit"
