import numpy as np
import pytest

from lussweep.analysis.multiplier import multiplier
from lussweep.analysis.power_law import fit_power_law
from lussweep.analysis.resampled_means import resampled_means

COUNTS = (6, 15, 29, 44, 58)


def power(n):
    return 0.97 - 0.35 * n**-0.5


def pair_of(baseline, variant, counts=COUNTS, noise=0.0, n_replicates=3, n_scarcer=10**6):
    """Means and law where replicates scatter by `noise` around the curves, patients not at all."""
    v, k, r = (i.ravel() for i in np.indices((2, len(counts), n_replicates)))
    count_C = np.array(counts, dtype=float)[k]
    truth_C = np.where(v == 0, baseline(count_C), variant(count_C))
    scatter = np.random.default_rng(0).normal(size=(2, len(counts), n_replicates))
    scatter -= scatter.mean(axis=2, keepdims=True)  # the means stay on the curves
    value_C = truth_C + noise * scatter.ravel()
    names_C, n_C = np.array(["baseline", "combined"])[v], np.array(counts)[k]
    pair = resampled_means(
        names_C, n_C, r + 1, value_C, value_C[None].repeat(500, axis=0),
        n_scarcer=n_scarcer, seed=3,
    )[1]  # fmt: skip
    return pair, fit_power_law(pair.count_K, pair.baseline_RK, pair.weight_K)


@pytest.mark.parametrize("m", [0.45, 0.75, 1.0, 1.3, 1.5, 1.9])
def test_without_noise_the_multiplier_is_found(m):
    found = multiplier(*pair_of(power, lambda n: power(m * n)))
    assert found.m == pytest.approx(m, rel=0.002)
    assert found.interval == pytest.approx((m, m), rel=0.02)
    assert found.n_counts == sum(6 <= m * n <= 58 for n in COUNTS)
    assert (found.a, found.b, found.c) == pytest.approx((0.97, 0.35, 0.5), rel=1e-3)
    assert found.withheld is None
    assert found.lack_of_fit_p > 0.9


def test_with_noise_the_interval_holds_m_and_reaches_as_far_as_the_counts_can_tell():
    found = multiplier(*pair_of(power, lambda n: power(1.3 * n), noise=0.004))
    assert found.interval.low < found.m < found.interval.high < 2
    assert found.m == pytest.approx(1.3, rel=0.05)
    found = multiplier(*pair_of(power, lambda n: power(1.7 * n), noise=0.02))
    assert found.interval.high == np.inf, "beyond 58 / 29 fewer than 3 counts are left"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"variant": lambda n: power(3 * n)}, "m is above 2, where fewer than 3 patient counts"),
        ({"variant": lambda n: power(n / 8)}, "m is below 0.207, where fewer than 3"),
        ({"baseline": lambda n: 0.9 + 0 * n, "noise": 0.01}, "may be flat"),
        ({"counts": (6, 15, 58)}, "3 patient counts of the baseline: a power law needs 4"),
        ({"variant": lambda n: np.where(n > 50, 1.0, power(n))}, "an AUC-ROC is 1"),
        ({"n_replicates": 1}, "one replicate at every patient count"),
        ({"n_scarcer": 3}, "3 patients of the scarcer class"),
        (
            {"baseline": lambda n: np.where(n < 10, 0.77, 0.92), "noise": 0.003},
            "rises once and stays",
        ),
        (
            {"baseline": lambda n: 0.8 + 0.1 * (n > 20) + 0.05 * (n > 50), "noise": 0.003},
            "no power law: lack of fit p = ",
        ),
    ],
)
def test_it_is_withheld_with_the_reason(options, why):
    found = multiplier(*pair_of(**({"baseline": power, "variant": power} | options)))
    assert why in found.withheld
    assert found.m is found.interval is found.n_counts is None
