"""Rank correlations of many weightings of the same cells, over all pairs or within groups."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Weights = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]


def spearman(x_C: Float64s, y_C: Float64s, weight_RC: Weights, pairs_CC: Any) -> Float64s:
    """Spearman's rho of R weightings, shape (R,); NaN where x or y is constant.

    weight_RC: how often a weighting repeats each cell. pairs_CC: a symmetric mask that splits
    cells into groups; ranks are taken within a group. Ties take mean ranks.
    """
    sign_x_CC, sign_y_CC = signs(x_C) * pairs_CC, signs(y_C) * pairs_CC
    # Cells below less cells above: twice the rank, centred on the group's mean.
    rank_x_RC, rank_y_RC = weight_RC @ sign_x_CC, weight_RC @ sign_y_CC
    return _ratio(
        (weight_RC * rank_x_RC * rank_y_RC).sum(axis=1),
        (weight_RC * rank_x_RC**2).sum(axis=1),
        (weight_RC * rank_y_RC**2).sum(axis=1),
    )


def kendall(x_C: Float64s, y_C: Float64s, weight_RC: Weights, pairs_CC: Any) -> Float64s:
    """Kendall's tau-b of R weightings over the pairs of the mask, shape (R,); see `spearman`."""
    sign_x_CC, sign_y_CC = signs(x_C) * pairs_CC, signs(y_C) * pairs_CC
    return _ratio(
        ((weight_RC @ (sign_x_CC * sign_y_CC)) * weight_RC).sum(axis=1),
        ((weight_RC @ sign_x_CC**2) * weight_RC).sum(axis=1),
        ((weight_RC @ sign_y_CC**2) * weight_RC).sum(axis=1),
    )


def signs(x_C: Float64s) -> Float64s:
    """Sign of each pair's difference, shape (C, C).

    Floats, because their matrix products are fast, and exact for whole numbers.
    """
    return np.asarray(np.sign(x_C[None, :] - x_C[:, None]))


def _ratio(product_R: Float64s, square_x_R: Float64s, square_y_R: Float64s) -> Float64s:
    scale_R = np.sqrt(square_x_R) * np.sqrt(square_y_R)
    ratio_R = np.full(len(scale_R), np.nan)
    np.divide(product_R, scale_R, out=ratio_R, where=scale_R > 0)
    return ratio_R.clip(-1, 1)
