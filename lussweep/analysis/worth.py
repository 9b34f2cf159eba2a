"""Worth: the number of real patients at which the baseline is as good as a variant.

A curve that never falls is fitted to the baseline's AUC-ROC against its patient count, and the
curve is read backwards. Nothing is extrapolated: beyond the counts of the study the worth is
"< 6" or "> 58". Where the curve is flat, the worth is a range of counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]

TIE = 1e-12
"""AUC-ROCs that differ by at most this are equal: means of equal values may round differently."""


class Inversion(NamedTuple):
    """Least and greatest patient count that each of R AUC-ROCs is worth, shape (R,).

    -inf means below the smallest count of the study, inf above the largest.
    """

    low_R: Float64s
    high_R: Float64s


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What a variant at n_patients is worth, in patients of the baseline; see `worths`.

    k_low and k_high: the worth. They differ only if the curve is flat there. k_low is -inf if the
    worth is below `smallest`; k_high is inf if it is above `largest`. interval_low and
    interval_high: the ends of the bootstrap interval, with the same meaning. share_below and
    share_above: shares of resamples whose worth reaches below `smallest` or above `largest`.
    """

    variant: str
    n_patients: int
    n_replicates: int
    auroc: float
    k_low: float
    k_high: float
    interval_low: float
    interval_high: float
    share_below: float
    share_above: float
    smallest: int
    largest: int

    @property
    def text(self) -> str:
        """The worth, such as "23.4", "44 to 58", "< 6" or "44 to > 58"."""
        return self._text(self.k_low, self.k_high)

    @property
    def interval_text(self) -> str:
        """The interval, such as "12.5 to > 58"."""
        return self._text(self.interval_low, self.interval_high)

    def _text(self, low: float, high: float) -> str:
        bounds = {-np.inf: f"< {self.smallest}", np.inf: f"> {self.largest}"}
        ends = [bounds.get(k) or f"{k:.1f}".removesuffix(".0") for k in (low, high)]
        return ends[0] if ends[0] == ends[1] else " to ".join(ends)


class Worths(NamedTuple):
    """The worth of every (variant, n), and the baseline replicates at its K patient counts.

    n_resamples: resamples used. n_one_class: resamples with a single class, which are left out.
    """

    n_replicates_K: Int64s
    rows: list[Worth]
    n_resamples: int
    n_one_class: int


def isotonic(mean_RK: Float64s, weight_K: NDArray[Any]) -> Float64s:
    """Weighted least-squares fit that never falls, of each of R rows along K ordered points.

    fit[k] = max over i <= k of min over j >= i of the weighted mean of i..j, for all rows at
    once: a pooled block has its mean from its first point, and none within has more (after the
    max-min formulas of Barlow et al. 1972, Statistical Inference under Order Restrictions).
    A point that needs no pooling keeps its value exactly. Values that differ by
    `TIE` or less come out equal.

    mean_RK: finite floats; weight_K: positive. Raises ValueError for other input.
    """
    n_rows, n_points = mean_RK.shape
    if weight_K.shape != (n_points,) or not (weight_K > 0).all():
        raise ValueError(f"{n_points} points need as many positive weights, got {weight_K}")
    if not np.isfinite(mean_RK).all():
        raise ValueError("the points of an isotonic fit must be finite")
    # scipy and scikit-learn fit one row at a time: 2,001 rows of 10 points take 7 and 100 times as
    # long, and values that differ by rounding stay apart.
    fit_RK = np.empty((n_rows, n_points))
    for k in range(n_points):
        block_RJ = np.cumsum((mean_RK * weight_K)[:, k:], axis=1) / np.cumsum(weight_K[k:])
        block_RJ[:, 0] = mean_RK[:, k]
        least_R = block_RJ.min(axis=1)
        before_R = fit_RK[:, k - 1] if k else np.full(n_rows, -np.inf)
        fit_RK[:, k] = np.where(least_R - before_R <= TIE, before_R, least_R)
    return fit_RK


def invert(
    count_K: NDArray[Any], mean_RK: Float64s, fit_RK: Float64s, auroc_R: Float64s
) -> Inversion:
    """Find the patient counts at which the curve of each of R rows has the row's AUC-ROC.

    The curve is linear between its knots (count_K, fit_RK). A flat stretch gives a range of
    counts. A flat stretch averages points that were in the wrong order. An AUC-ROC within the
    span of those points cannot be placed more exactly than the stretch, so its range is widened
    to the stretch. The range for the baseline's own AUC-ROC at n therefore always contains n.

    count_K: rising patient counts. mean_RK: the points before the fit. auroc_R: one AUC-ROC per
    row.
    """
    nearest_R = np.abs(fit_RK - auroc_R[:, None]).argmin(axis=1)
    knot_R = fit_RK[np.arange(len(fit_RK)), nearest_R]
    wanted_R = np.where(np.abs(knot_R - auroc_R) <= TIE, knot_R, auroc_R)
    low_R = _read(count_K, fit_RK, wanted_R, (fit_RK < wanted_R[:, None]).sum(axis=1))
    high_R = _read(count_K, fit_RK, wanted_R, (fit_RK <= wanted_R[:, None]).sum(axis=1) - 1)

    pooled_RKK = fit_RK[:, :, None] == fit_RK[:, None, :]
    least_RK = np.where(pooled_RKK, mean_RK[:, None, :], np.inf).min(axis=2)
    most_RK = np.where(pooled_RKK, mean_RK[:, None, :], -np.inf).max(axis=2)
    auroc_R1 = auroc_R[:, None]
    within_RK = (least_RK - TIE <= auroc_R1) & (auroc_R1 <= most_RK + TIE)
    low_R = np.minimum(low_R, np.where(within_RK, count_K, np.inf).min(axis=1))
    high_R = np.maximum(high_R, np.where(within_RK, count_K, -np.inf).max(axis=1))
    return Inversion(low_R, high_R)


def worths(
    variant_C: Sequence[str] | NDArray[np.str_],
    n_patients_C: NDArray[np.integer[Any]],
    replicate_C: NDArray[np.integer[Any]],
    auroc_C: Float64s,
    auroc_RC: Float64s,
    *,
    baseline: str = "baseline",
    confidence: float = 0.95,
) -> Worths:
    """Worth in patients of every variant at every patient count, including the baseline's own.

    auroc_C: AUC-ROC of C cells on the holdout. auroc_RC: the same in R resamples of the holdout
    patients, with the same weights for every cell (`resampled_auroc`; NaN where a resample holds
    a single class). AUC-ROCs are averaged over replicates. A variant that lacks a replicate is
    averaged over those it has. A count's weight in the fit is its number of baseline replicates.
    Every resample refits the curve.

    The interval takes order statistics: the lower end among the resamples' k_low, the upper end
    among their k_high, and never a value between a count and infinity. It holds for other holdout
    patients. It does not contain the effect of other training patients, so read it beside the
    spread of the replicates.

    Raises ValueError for shapes that do not agree, a repeated (variant, n, replicate), AUC-ROCs
    outside [0, 1], fewer than two patient counts of the baseline, no resample with both classes,
    or a confidence outside (0, 1).
    """
    names_C = np.asarray(variant_C, dtype=np.str_)
    _check_cells(names_C, n_patients_C, replicate_C, auroc_C, auroc_RC)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    valid_R = ~np.isnan(auroc_RC).any(axis=1)
    if not valid_R.any():
        raise ValueError(f"none of {len(auroc_RC)} resamples has both classes")
    resampled_RC = np.concatenate([auroc_C[None], auroc_RC[valid_R]])  # row 0: the estimate
    is_baseline_C = names_C == baseline
    count_K, n_replicates_K = np.unique(n_patients_C[is_baseline_C], return_counts=True)
    if len(count_K) < 2:
        raise ValueError(f"{baseline!r} has {len(count_K)} patient counts, a curve needs 2")
    means = [
        resampled_RC[:, is_baseline_C & (n_patients_C == count)].mean(axis=1) for count in count_K
    ]
    mean_RK = np.stack(means, axis=1)
    fit_RK = isotonic(mean_RK, n_replicates_K)
    rows = []
    for variant, n in sorted(set(zip(names_C.tolist(), n_patients_C.tolist(), strict=True))):
        chosen_C = (names_C == variant) & (n_patients_C == n)
        mean_R = resampled_RC[:, chosen_C].mean(axis=1)
        low_R, high_R = invert(count_K, mean_RK, fit_RK, mean_R)
        low, high = _interval(low_R[1:], high_R[1:], confidence)
        rows.append(
            Worth(
                variant=variant,
                n_patients=n,
                n_replicates=int(chosen_C.sum()),
                auroc=float(mean_R[0]),
                k_low=float(low_R[0]),
                k_high=float(high_R[0]),
                interval_low=low,
                interval_high=high,
                share_below=float((low_R[1:] == -np.inf).mean()),
                share_above=float((high_R[1:] == np.inf).mean()),
                smallest=int(count_K[0]),
                largest=int(count_K[-1]),
            )
        )
    n_valid = int(valid_R.sum())
    return Worths(
        n_replicates_K.astype(np.int64),
        rows,
        n_valid,
        len(auroc_RC) - n_valid,
    )


def _read(
    count_K: NDArray[Any], fit_RK: Float64s, auroc_R: Float64s, knot_R: NDArray[np.intp]
) -> Float64s:
    """The count at the knot whose AUC-ROC is the row's, else the count between two knots."""
    last = len(count_K) - 1
    row_R, inside_R = np.arange(len(fit_RK)), knot_R.clip(0, last)
    at_knot_R = fit_RK[row_R, inside_R] == auroc_R
    left_R = ((fit_RK <= auroc_R[:, None]).sum(axis=1) - 1).clip(0, last - 1)
    floor_R, top_R = fit_RK[row_R, left_R], fit_RK[row_R, left_R + 1]
    rise_R = np.where(top_R > floor_R, top_R - floor_R, 1.0)
    step_R = (count_K[left_R + 1] - count_K[left_R]) * ((auroc_R - floor_R) / rise_R)
    between_R = np.where(at_knot_R, count_K[inside_R], count_K[left_R] + step_R)
    censored_R = np.where(auroc_R < fit_RK[:, 0], -np.inf, between_R)
    return np.asarray(np.where(auroc_R > fit_RK[:, -1], np.inf, censored_R))


def _interval(low_R: Float64s, high_R: Float64s, confidence: float) -> tuple[float, float]:
    """Order statistics, rounded outwards: a count and infinity have no average."""
    reach = (1 - confidence) / 2 * (len(low_R) - 1)
    first = int(np.floor(reach + 1e-9))
    return float(np.sort(low_R)[first]), float(np.sort(high_R)[len(high_R) - 1 - first])


def _check_cells(
    names_C: NDArray[np.str_],
    n_patients_C: NDArray[np.integer[Any]],
    replicate_C: NDArray[np.integer[Any]],
    auroc_C: Float64s,
    auroc_RC: Float64s,
) -> None:
    shapes = {x.shape for x in (names_C, n_patients_C, replicate_C, auroc_C, auroc_RC[:1].ravel())}
    if shapes != {(len(names_C),)} or auroc_RC.ndim != 2:
        raise ValueError(f"cells and their AUCs have the shapes {sorted(shapes)}, {auroc_RC.shape}")
    triples = list(zip(names_C.tolist(), n_patients_C.tolist(), replicate_C.tolist(), strict=True))
    repeated = sorted({t for t in triples if triples.count(t) > 1})
    if repeated:
        raise ValueError(f"a cell is given more than once: {repeated[:3]}")
    for values in (auroc_C, auroc_RC[~np.isnan(auroc_RC)]):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("an AUC-ROC lies outside [0, 1]")
