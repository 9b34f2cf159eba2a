"""Net benefit: the value of acting on a score, if a false alarm has a price.

The source is Vickers and Elkin 2006, Decision curve analysis, Medical Decision Making 26. Whoever
acts at a threshold probability t holds one missed positive to be as bad as (1 - t) / t false
alarms. Net benefit counts true positives a frame, less false positives a frame at that price:

    true positives / n - false positives / n x t / (1 - t)

Acting on no frame has net benefit 0. Acting on every frame has net benefit
prevalence - (1 - prevalence) x t / (1 - t). A model is useful at t if it beats both. The prevalence
is the share of positive frames, and is taken as given: another population has another net benefit.
A score can be compared with t only if it is calibrated. `calibration.recalibrated` calibrates it
with a line from validation frames, which amounts to a decision threshold from validation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.jackknife import Estimate, too_few_patients
from lussweep.analysis.levels import Scored, check_units
from lussweep.analysis.shares import share_interval

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Threshold probabilities of a report."""


class NetBenefit(NamedTuple):
    """Net benefits at one threshold probability, in true positives a unit."""

    threshold: float
    model: Estimate
    """With its interval over patients, at this prevalence."""
    treat_all: float
    """The net benefit of calling every unit positive. Calling none positive has net benefit 0."""
    gain: Estimate
    """The model's net benefit over the better of all and none, with its interval over patients."""


def net_benefits(
    units: Scored, thresholds: Iterable[float] = THRESHOLDS, *, confidence: float = 0.95
) -> list[NetBenefit]:
    """Net benefit of U units at each threshold probability.

    A unit is called positive if its score is at least the threshold. At a given prevalence, net
    benefit is a weighted difference of sensitivity and false positive rate. Its interval comes from
    theirs (`share_interval`) by the square-and-add rule (Newcombe 1998; Zou and Donner 2008), as if
    the two were independent. The net benefits of calling all
    or none positive have no spread at a given prevalence, so the interval of the gain is the same
    interval, shifted. Both are withheld if a class has too few patients. Raises
    ValueError for bad input, a single class, or a threshold outside (0, 1).
    """
    units = check_units(units)
    ids, index_U = np.unique(units.patient_U, return_inverse=True)
    is_pos_U = units.label_U == 1
    prevalence = float(is_pos_U.mean())
    n_pos_P, n_neg_P = (
        np.bincount(index_U[of_U], minlength=len(ids)) for of_U in (is_pos_U, ~is_pos_U)
    )
    withheld = too_few_patients(units)
    benefits = []
    for threshold in thresholds:
        if not 0 < threshold < 1:
            raise ValueError(f"the threshold probability is {threshold}, not in (0, 1)")
        price = (1 - prevalence) * threshold / (1 - threshold)  # of calling every negative positive
        called_U = units.score_U >= threshold
        n_true_P = np.bincount(index_U[is_pos_U & called_U], minlength=len(ids))
        n_false_P = np.bincount(index_U[~is_pos_U & called_U], minlength=len(ids))
        true = prevalence * n_true_P.sum() / n_pos_P.sum()
        false = price * n_false_P.sum() / n_neg_P.sum()
        true_low, true_high = _times(
            share_interval(n_true_P, n_pos_P, confidence=confidence), prevalence
        )
        false_low, false_high = _times(
            share_interval(n_false_P, n_neg_P, confidence=confidence), price
        )
        value, treat_all = float(true - false), prevalence - price
        low = value - float(np.hypot(true - true_low, false_high - false))
        high = value + float(np.hypot(true_high - true, false - false_low))
        if withheld:
            low = high = np.nan
        model, best = Estimate(value, low, high, withheld), max(treat_all, 0.0)
        gain = Estimate(value - best, low - best, high - best, withheld)
        benefits.append(NetBenefit(threshold, model, treat_all, gain))
    return benefits


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(interval.low * factor, interval.high * factor)
