"""Mean AUC-ROCs of a baseline and a variant, with resamples over patients and trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.effective import few_patients
from lussweep.analysis.training_noise import (
    TREND_G,
    Replicates,
    Spread,
    draw_pair,
    nested_correlation,
    spread,
    trend_weights,
)
from lussweep.metrics.auroc import Float64s, Int64s
from lussweep.study.keys import derive_seed


@dataclass(frozen=True)
class PairMeans:
    """Means over replicates of the baseline at K patient counts and of a variant at M.

    Row 0 of baseline_RK and variant_RM holds the estimates. The other rows are resamples over
    holdout patients and trainings; there are none if `withheld` says why. training_K: variance of
    the baseline's means over trainings (median of its draws). patients_KK: their covariance over
    holdout patients. free: degrees of freedom of the baseline's training variance.
    """

    variant: str
    count_K: Int64s
    n_replicates_K: Int64s
    baseline_RK: Float64s
    at_M: Int64s
    n_replicates_M: Int64s
    variant_RM: Float64s
    training_K: Float64s
    patients_KK: Float64s
    free: float
    withheld: str | None

    @property
    def covariance_KK(self) -> Float64s:
        """Covariance of the baseline's means, over patients and trainings; 0 if withheld."""
        return np.asarray(self.patients_KK + np.diag(self.training_K))

    @property
    def weight_K(self) -> Float64s:
        """Weights of the baseline's means in a fitted curve: inverse variances.

        The variance is that of the distance from the average over counts, because a deviation that
        all counts share moves the curve as a whole. An inverse covariance matrix is not used: if
        the shared part is larger at some counts, it moves the curve away from all points (Peelle's
        puzzle). If resamples are withheld, the weights are the numbers of replicates.
        """
        if self.withheld:
            return self.n_replicates_K.astype(np.float64)
        apart_KK = np.eye(len(self.count_K)) - 1 / len(self.count_K)
        variance_K = np.diag(apart_KK @ self.patients_KK @ apart_KK.T) + self.training_K
        return np.asarray(1 / (variance_K + 1e-14))  # means of equal cells differ by rounding


def resampled_means(
    variant_C: Sequence[str] | NDArray[np.str_],
    n_patients_C: NDArray[np.integer[Any]],
    replicate_C: NDArray[np.integer[Any]],
    auroc_C: Float64s,
    auroc_RC: Float64s,
    *,
    n_scarcer: int,
    nested: bool = False,
    seed: int,
    baseline: str = "baseline",
) -> list[PairMeans]:
    """Pair the baseline with every variant, itself included, in order of their names.

    auroc_C: AUC-ROC of C cells on the holdout. auroc_RC: the same in R resamples of the holdout
    patients, with the same weights for every cell (`resampled_auroc`; NaN where a resample holds a
    single class; such resamples are left out). n_scarcer: patients of the scarcer class.

    A resample of the means is the estimate plus two deviations. The deviation of patients is that
    of the bootstrap, times sqrt(n / chi-squared(n - 1)) with n = n_scarcer. The factor corrects the
    bootstrap's narrowness and puts t in the place of the normal (Hesterberg 2015). The deviation of
    trainings is drawn for the means of baseline and variant together, because their replicates
    share cohorts (`training_noise`). Other patient counts have other draws: independent ones, or
    with `nested` cohorts correlated ones, with the mean correlation of the residuals between counts
    and accordingly fewer degrees of freedom.

    Raises ValueError for shapes that do not agree, a repeated (variant, n, replicate), AUC-ROCs
    outside [0, 1], fewer than two patient counts of the baseline, or no resample with both
    classes.
    """
    cells = _Cells(np.asarray(variant_C, dtype=np.str_), n_patients_C, replicate_C, auroc_C)
    _check_cells(cells, auroc_RC)
    count_K = np.unique(n_patients_C[cells.names_C == baseline])
    if len(count_K) < 2:
        raise ValueError(f"{baseline!r} has {len(count_K)} patient counts, a curve needs 2")
    valid_RC = auroc_RC[~np.isnan(auroc_RC).any(axis=1)]
    if not len(valid_RC):
        raise ValueError(f"none of {len(auroc_RC)} resamples has both classes")
    return _Study(cells, valid_RC, baseline, n_scarcer, nested, seed).pairs()


@dataclass(frozen=True)
class _Cells:
    names_C: NDArray[np.str_]
    n_patients_C: NDArray[np.integer[Any]]
    replicate_C: NDArray[np.integer[Any]]
    auroc_C: Float64s

    def of(self, variant: str, n: int) -> dict[int, int]:
        """The cells of a variant at a patient count: index by replicate, in order."""
        at = np.flatnonzero((self.names_C == variant) & (self.n_patients_C == n))
        return {int(self.replicate_C[i]): int(i) for i in at[np.argsort(self.replicate_C[at])]}


class _Study:
    """Every variant's spread over all patient counts, and the draws that all pairs share."""

    def __init__(
        self,
        cells: _Cells,
        valid_RC: Float64s,
        baseline: str,
        n_scarcer: int,
        nested: bool,
        seed: int,
    ) -> None:
        self.cells, self.baseline, self.seed = cells, baseline, seed
        self.n_scarcer = n_scarcer
        self.deviation_RC = valid_RC - valid_RC.mean(axis=0)
        self.resampled_RC = valid_RC - cells.auroc_C
        self.variants = sorted(set(cells.names_C.tolist()))
        self.count_U = np.unique(cells.n_patients_C).astype(np.int64)
        self.log_n_U = np.log(self.count_U) - np.log(self.count_U).mean()
        self.spreads = {v: self.spread(v, v) for v in self.variants}
        self.correlation = self._correlation() if nested else 0.0
        # the mean of squares that correlate by c^2 (Satterthwaite)
        self.thin = 1 / (1 + (len(self.count_U) - 1) * self.correlation**2)
        weight_G = trend_weights(list(self.spreads.values()), self.log_n_U, self.thin)
        rng, n_resamples = np.random.default_rng(seed), len(valid_RC)
        self.trend_R = rng.choice(TREND_G, p=weight_G, size=n_resamples)
        free = max(n_scarcer - 1, 1)
        self.patients_factor_R = np.sqrt((free + 1) / rng.chisquare(free, n_resamples))

    def pairs(self) -> list[PairMeans]:
        return [self.pair(variant) for variant in self.variants]

    def replicates(self, variant: str, n: int, other: str) -> Replicates:
        """The replicates of a variant that another one has too."""
        of, others = self.cells.of(variant, n), self.cells.of(other, n)
        chosen = [i for replicate, i in of.items() if replicate in others]
        return self.cells.auroc_C[chosen], self.deviation_RC[:, chosen]

    def spread(self, one: str, other: str) -> Spread:
        return spread(
            [self.replicates(one, n, other) for n in self.count_U],
            [self.replicates(other, n, one) for n in self.count_U],
        )

    def shared(self, one: str, other: str) -> Spread:
        """The spread of one variant over the replicates that both have."""
        at_U = [self.replicates(one, n, other) for n in self.count_U]
        return spread(at_U, at_U)

    def pair(self, variant: str) -> PairMeans:
        base = self.baseline
        base_n_U = np.array([len(self.cells.of(base, n)) for n in self.count_U])
        other_n_U = np.array([len(self.cells.of(variant, n)) for n in self.count_U])
        withheld = self._withheld(variant)
        base_RU, other_RU = self.means(base), self.means(variant)
        training_U, patients_UU = np.zeros(len(self.count_U)), np.zeros((len(self.count_U),) * 2)
        if withheld:
            base_RU, other_RU = base_RU[:1], other_RU[:1]
        else:
            patients_UU = self.patients_covariance(base)
            noise_RU, other_noise_RU, training_U = self.noise(variant, base_n_U, other_n_U)
            base_RU[1:] += noise_RU
            other_RU[1:] += noise_RU if variant == base else other_noise_RU
        is_K, is_M = base_n_U > 0, other_n_U > 0
        return PairMeans(
            variant=variant,
            count_K=self.count_U[is_K],
            n_replicates_K=base_n_U[is_K],
            baseline_RK=base_RU[:, is_K],
            at_M=self.count_U[is_M],
            n_replicates_M=other_n_U[is_M],
            variant_RM=other_RU[:, is_M],
            training_K=training_U[is_K],
            patients_KK=patients_UU[np.ix_(is_K, is_K)],
            free=self.spreads[base].free * self.thin,
            withheld=withheld,
        )

    def means(self, variant: str) -> Float64s:
        """Row 0: the estimates at all counts, NaN where there are none. Then R resamples."""
        columns = []
        for n in self.count_U:
            deviation_R = self._mean(self.resampled_RC, variant, n) * self.patients_factor_R
            estimate = self._mean(self.cells.auroc_C[None], variant, n)
            columns.append(np.concatenate([estimate, estimate + deviation_R]))
        return np.stack(columns, axis=1)

    def patients_covariance(self, variant: str) -> Float64s:
        """Covariance of a variant's means over holdout patients; a bootstrap's is too small."""
        deviation_UR = np.stack([self._mean(self.resampled_RC, variant, n) for n in self.count_U])
        return np.asarray(np.cov(deviation_UR) * self.n_scarcer / (self.n_scarcer - 1))

    def noise(
        self, variant: str, base_n_U: Int64s, other_n_U: Int64s
    ) -> tuple[Float64s, Float64s, Float64s]:
        """Training noise of the two means in every resample, and the baseline's variance."""
        base = self.baseline
        rng = np.random.default_rng(derive_seed(self.seed, "trainings", variant))
        shared = (
            self.shared(base, variant),
            self.shared(variant, base),
            self.spread(base, variant),
        )
        drawn = draw_pair(
            self.spreads[base], self.spreads[variant], shared,
            self.log_n_U, self.trend_R, rng, self.thin,
        )  # fmt: skip
        n_shared_U = np.array(
            [len(self.cells.of(base, n).keys() & self.cells.of(variant, n)) for n in self.count_U]
        )
        base_var_RU = drawn.baseline_RK / base_n_U.clip(1)
        other_var_RU = drawn.variant_RK / other_n_U.clip(1)
        cross_RU = drawn.covariance_RK * (n_shared_U / (base_n_U * other_n_U).clip(1))
        base_sd_RU = np.sqrt(base_var_RU)
        along_RU = np.divide(
            cross_RU, base_sd_RU, out=np.zeros_like(cross_RU), where=base_sd_RU > 0
        )
        across_RU = np.sqrt((other_var_RU - along_RU**2).clip(0))
        first_RU, second_RU = self._normals(rng), self._normals(rng)
        return (
            base_sd_RU * first_RU,
            along_RU * first_RU + across_RU * second_RU,
            np.median(base_var_RU, axis=0),
        )

    def _normals(self, rng: np.random.Generator) -> Float64s:
        """Standard normals that correlate between patient counts where cohorts are nested."""
        n_resamples, c = len(self.trend_R), self.correlation
        own_RU = rng.normal(size=(n_resamples, len(self.count_U)))
        common_R1 = rng.normal(size=(n_resamples, 1))
        return np.asarray(c**0.5 * common_R1 + (1 - c) ** 0.5 * own_RU)

    def _mean(self, value_RC: Float64s, variant: str, n: int) -> Float64s:
        at = list(self.cells.of(variant, n).values())
        return value_RC[:, at].mean(axis=1) if at else np.full(len(value_RC), np.nan)

    def _correlation(self) -> float:
        trend = float(trend_weights(list(self.spreads.values()), self.log_n_U) @ TREND_G)
        sd_U = np.exp(trend * self.log_n_U / 2)
        residuals = []
        for variant in self.variants:
            of_U = [self.replicates(variant, n, variant)[0] for n in self.count_U]
            scaled = [(x - x.mean()) / sd for x, sd in zip(of_U, sd_U, strict=True) if len(x) > 1]
            residuals.append(scaled)
        return nested_correlation([x for x in residuals if x])

    def _withheld(self, variant: str) -> str | None:
        if few := few_patients(self.n_scarcer):
            return few
        for name in (self.baseline, variant):
            if self.spreads[name].free < 1:
                return (
                    f"{name!r} has one replicate at every patient count: "
                    "what other trainings would change cannot be known"
                )
        return None


def _check_cells(cells: _Cells, auroc_RC: Float64s) -> None:
    columns = (cells.names_C, cells.n_patients_C, cells.replicate_C, cells.auroc_C)
    shapes = {x.shape for x in (*columns, auroc_RC[:1].ravel())}
    if shapes != {(len(cells.names_C),)} or auroc_RC.ndim != 2:
        raise ValueError(f"cells and their AUCs have the shapes {sorted(shapes)}, {auroc_RC.shape}")
    triples = list(zip(*(column.tolist() for column in columns[:3]), strict=True))
    repeated = sorted({t for t in triples if triples.count(t) > 1})
    if repeated:
        raise ValueError(f"a cell is given more than once: {repeated[:3]}")
    for values in (cells.auroc_C, auroc_RC[~np.isnan(auroc_RC)]):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("an AUC-ROC lies outside [0, 1]")
