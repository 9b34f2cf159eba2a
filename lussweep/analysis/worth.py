"""Worth: the number of real patients at which the baseline is as good as a variant.

A curve that never falls is fitted to the baseline's AUC-ROC against its patient count, and the
curve is read backwards. Nothing is extrapolated: beyond the counts of the study the worth is
"< 6" or "> 58". Where the curve is flat, the worth is a range of counts.

The interval is about other holdout patients and other trainings. It holds every patient count k
at which the resamples do not tell the variant from the baseline at k. Such a test does
not need a curve that never falls, which a fit to noisy means makes too steep at its ends. It also
holds where the curve is flat: there it excludes no count. The form of the curve between two counts
is unknown, so the resamples take three forms in turn: the monotone cubic in log n that gives the
estimate, the lowest concave curve, and the highest.
"""

from dataclasses import dataclass

import numpy as np

from lussweep.analysis.curve import (
    TIE,
    Range,
    accepted,
    cubic,
    invert,
    isotonic,
    steepest,
    straight,
)
from lussweep.analysis.power_law import PowerLaw
from lussweep.analysis.resampled_means import PairMeans
from lussweep.metrics.auroc import Float64s, Int64s

PERFECT = "AUC-ROC 1: patients whom every replicate ranks rightly say nothing of others"
N_GRID = 120
"""Patient counts at which an interval is looked for, evenly spaced in the logarithm."""

BETWEEN = (cubic, straight, steepest)
"""The forms of a curve between two counts. The resamples take them in turn."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a variant at n_patients is worth, in patients of the baseline; see `worths`.

    k: the worth. Its ends differ only if the curve is flat there. k.low is -inf if the worth is
    below `smallest`; k.high is inf if it is above `largest`. interval: the ends with the same
    meaning, None if withheld. share_below and share_above: shares of resamples whose variant is
    worse than the baseline at `smallest` or better than that at `largest`. power_law and
    power_law_interval: the same, read from a - b n^-c; None with fewer than 3 patient counts, or
    where that law is a step.
    withheld: why there are no intervals.
    """

    variant: str
    n_patients: int
    n_replicates: int
    auroc: float
    k: Range
    interval: Range | None
    share_below: float | None
    share_above: float | None
    power_law: float | None
    power_law_interval: Range | None
    withheld: str | None
    smallest: int
    largest: int

    @property
    def text(self) -> str:
        """The worth, such as "23.4", "44 to 58", "< 6" or "44 to > 58"."""
        return self._text(self.k)

    @property
    def interval_text(self) -> str | None:
        """The interval, such as "12.5 to > 58"."""
        return self.interval and self._text(self.interval)

    def _text(self, ends: Range) -> str:
        bounds = {-np.inf: f"< {self.smallest}", np.inf: f"> {self.largest}"}
        words = [bounds.get(k) or f"{k:.1f}".removesuffix(".0") for k in ends]
        return words[0] if words[0] == words[1] else " to ".join(words)


def worths(pair: PairMeans, law: PowerLaw | None, *, confidence: float = 0.95) -> list[Worth]:
    """Worth in patients of a variant at each of its patient counts.

    law: `fit_power_law` of the baseline's means, row by row as in `pair`; None with fewer than 3
    counts. A count's weight in the fit that never falls is its number of baseline replicates.

    The interval is given where `pair` has resamples, unless the variant's AUC-ROC is 1. It is
    widened to the worth itself if that is outside, as the fit may differ from the means.

    Raises ValueError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    count_K, mean_K = pair.count_K, pair.baseline_RK[0]
    law = None if law is None or law.is_step else law
    fit_K = isotonic(mean_K, pair.n_replicates_K)
    at_G = np.union1d(np.geomspace(count_K[0], count_K[-1], N_GRID)[1:-1], count_K)
    curve_GR = None if pair.withheld else _curves(count_K, pair.baseline_RK[1:], at_G)
    law_GR = None if pair.withheld or law is None else law.at(at_G)[1:].T
    rows = []
    for m, n in enumerate(pair.at_M):
        auroc_R = pair.variant_RM[:, m]
        k = invert(count_K, mean_K, fit_K, float(auroc_R[0]))
        withheld = pair.withheld or (PERFECT if auroc_R[0] >= 1 else None)
        interval = law_interval = below = above = None
        if curve_GR is not None and not withheld:
            difference_GR = auroc_R[1:] - curve_GR
            accepted_range = accepted(at_G, difference_GR, confidence)
            interval = Range(min(accepted_range.low, k.low), max(accepted_range.high, k.high))
            below = float((difference_GR[0] < -TIE).mean())
            above = float((difference_GR[-1] > TIE).mean())
        if law_GR is not None and not withheld:
            law_interval = accepted(at_G, auroc_R[1:] - law_GR, confidence)
        rows.append(
            Worth(
                variant=pair.variant,
                n_patients=int(n),
                n_replicates=int(pair.n_replicates_M[m]),
                auroc=float(auroc_R[0]),
                k=k,
                interval=interval,
                share_below=below,
                share_above=above,
                power_law=None if law is None else _read_law(law, float(auroc_R[0]), count_K),
                power_law_interval=law_interval,
                withheld=withheld,
                smallest=int(count_K[0]),
                largest=int(count_K[-1]),
            )
        )
    return rows


def _curves(count_K: Int64s, mean_RK: Float64s, at_G: Float64s) -> Float64s:
    """The baseline's curve in every resample, at G patient counts: shape (G, R)."""
    curve_GR = np.empty((len(at_G), len(mean_RK)))
    for i, between in enumerate(BETWEEN):
        turn = slice(i, None, len(BETWEEN))
        curve_GR[:, turn] = between(count_K, mean_RK[turn], at_G)
    return curve_GR


def _read_law(law: PowerLaw, auroc: float, count_K: Int64s) -> float | None:
    """The count at which the fitted law has an AUC-ROC; None if the law does not rise."""
    a, b, c = float(law.a_R[0]), float(law.b_R[0]), float(law.c_R[0])
    if b <= 0:
        return None
    first, last = law.at(count_K[[0, -1]])[0]
    if auroc < first - TIE:
        return -np.inf
    if auroc > last + TIE:
        return np.inf
    return float(np.clip((b / (a - auroc)) ** (1 / c), count_K[0], count_K[-1]))
