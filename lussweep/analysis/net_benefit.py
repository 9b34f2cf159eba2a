"""Net benefit: what acting on a score is worth where a false alarm has a price.

The source is Vickers and Elkin 2006, Decision curve analysis, Medical Decision Making 26. Whoever
acts at a threshold probability t holds one missed positive to be as bad as (1 - t) / t false
alarms. Net benefit counts true positives a frame, less false positives a frame at that price:

    true positives / n - false positives / n x t / (1 - t)

Acting on no frame has net benefit 0. Acting on every frame has net benefit prevalence -
(1 - prevalence) x t / (1 - t). A model is useful at t if it beats both. A score means what t
says only if it is calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lussweep.analysis.jackknife import Estimate, jackknife_estimate, leave_one_out
from lussweep.analysis.levels import Scored, check_units
from lussweep.metrics.auroc import Float64s

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Threshold probabilities of a report."""


class NetBenefit(NamedTuple):
    """Net benefits at one threshold probability, in true positives a unit."""

    threshold: float
    model: float
    treat_all: float
    """Of calling every unit positive. Calling none positive has net benefit 0."""
    gain: Estimate
    """Of the model over the better of all and none, with its interval over patients."""


def net_benefits(
    units: Scored, thresholds: Iterable[float] = THRESHOLDS, *, confidence: float = 0.95
) -> list[NetBenefit]:
    """Net benefit of U units at each threshold probability.

    A unit is called positive if its score is at least the threshold. The gain over the better of
    all and none is the smaller of two gains. Its interval takes the smaller of the two lower ends
    and the smaller of the two upper ends, each of the interval of one gain. Its lower end is
    above 0 only if the model beats both. Raises ValueError for bad input, a single class, or a
    threshold outside (0, 1).
    """
    check_units(units)
    ids, index_U = np.unique(units.patient_U, return_inverse=True)
    is_pos_U = units.label_U == 1
    n_P = np.bincount(index_U, minlength=len(ids))
    weight_RP = np.concatenate([np.ones((1, len(ids)), np.int64), leave_one_out(len(ids))])

    def mean_R(value_U: Float64s) -> Float64s:
        """The mean over units: of all patients first, then without each of them."""
        sum_P = np.bincount(index_U, value_U, len(ids))
        return np.asarray((weight_RP @ sum_P) / (weight_RP @ n_P))

    found = []
    for threshold in thresholds:
        if not 0 < threshold < 1:
            raise ValueError(f"the threshold probability is {threshold}, not in (0, 1)")
        worth_U = np.where(is_pos_U, 1.0, -threshold / (1 - threshold))
        model_R = mean_R(worth_U * (units.score_U >= threshold))
        all_R = mean_R(worth_U)
        gains = [
            jackknife_estimate(gain_R[0], gain_R[1:], units, confidence=confidence)
            for gain_R in (model_R, model_R - all_R)
        ]
        found.append(NetBenefit(threshold, float(model_R[0]), float(all_R[0]), _smaller(*gains)))
    return found


def _smaller(over_none: Estimate, over_all: Estimate) -> Estimate:
    """The smaller of two gains, with the smaller of each of their ends."""
    value = min(over_none.value, over_all.value)
    if withheld := over_none.withheld or over_all.withheld:
        return Estimate(value, np.nan, np.nan, withheld)
    low, high = min(over_none.low, over_all.low), min(over_none.high, over_all.high)
    return Estimate(value, low, high, None)
