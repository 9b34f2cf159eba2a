"""Means of the baseline and of each variant of a grid, from the same resamples of patients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lussweep.analysis.levels import Scored
from lussweep.analysis.paired import pair_up
from lussweep.analysis.power_law import PowerLaw, fit_power_law
from lussweep.analysis.resampled_means import PairMeans, resampled_means
from lussweep.metrics.auroc import patient_weights, resampled_auroc
from lussweep.study.spec.analysis import Level


class UnlikeUnits(ValueError):
    """Cells of a grid were scored on different units, so they cannot be paired."""


GridCell = tuple[str, int, int]
"""Variant, patient count, replicate."""


def grid_means(
    cells: Mapping[GridCell, Scored],
    *,
    level: Level,
    n_resamples: int,
    nested: bool,
    seed: int,
    baseline: str = "baseline",
) -> list[PairMeans]:
    """The baseline paired with every variant, itself included, in order of their names.

    All cells must be scored on the same units. With a single patient of the scarcer class there are
    no resamples. Raises UnlikeUnits as `pair_up` raises ValueError, and ValueError as
    `resampled_means` does.
    """
    unit_of = {cell: (f"{cell[0]} n={cell[1]}", cell[2]) for cell in cells}
    try:
        paired = pair_up({unit_of[cell]: scored for cell, scored in cells.items()}, level)
    except ValueError as error:
        raise UnlikeUnits(str(error)) from None
    n_all_patients = len(paired.n_pos_P)
    ones = np.ones((1, n_all_patients), dtype=np.int64)
    weights = patient_weights(n_all_patients, n_resamples, seed=seed)
    # A class with a single patient has hardly any resample with both classes, and no interval.
    drawn = ones if paired.n_scarcer < 2 else weights
    matrices = [paired.matrix(paired.wins[unit_of[cell]]) for cell in cells]
    variants, counts, replicates = zip(*cells, strict=True)
    return resampled_means(
        variants,
        np.array(counts),
        np.array(replicates),
        np.array([resampled_auroc(m, ones)[0] for m in matrices]),
        np.stack([resampled_auroc(m, drawn) for m in matrices], axis=1),
        n_scarcer=paired.n_scarcer,
        nested=nested,
        seed=seed,
        baseline=baseline,
    )


def baseline_law(pair: PairMeans) -> PowerLaw | None:
    """The inverse power law of the baseline in every resample, or None with fewer than 3 counts."""
    if len(pair.count_K) < 3:
        return None
    return fit_power_law(pair.count_K, pair.baseline_RK, pair.weight_K)
