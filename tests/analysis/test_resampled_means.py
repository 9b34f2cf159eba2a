import numpy as np
import pytest
from scipy.stats import t

from lussweep.analysis.resampled_means import resampled_means

COUNTS = (6, 15, 29)


def means(auroc_CR=None, variants=("baseline", "combined"), n_replicates=3, **options):
    """PairMeans by variant, of cells in the order variant, count, replicate."""
    shape = (len(variants), len(COUNTS), n_replicates)
    v, k, r = (index.ravel() for index in np.indices(shape))
    value_C, auroc_RC = auroc_CR(v, k, r)
    options = {"n_scarcer": 40, "seed": 7} | options
    found = resampled_means(
        np.array(variants)[v], np.array(COUNTS)[k], r + 1, value_C, auroc_RC, **options
    )
    return {pair.variant: pair for pair in found}


def noisy(v, k, r):
    rng = np.random.default_rng(0)
    value_C = 0.8 + 0.03 * k + 0.01 * rng.normal(size=len(v))
    return value_C, value_C + 0.01 * rng.normal(size=(4000, 1)) + 0.001 * rng.normal(
        size=(4000, len(v))
    )


def test_row_0_holds_the_means_and_the_others_scatter_around_them():
    found = means(noisy)
    value_C = noisy(*(i.ravel() for i in np.indices((2, 3, 3))))[0].reshape(2, 3, 3)
    pair = found["combined"]
    assert pair.baseline_RK[0] == pytest.approx(value_C[0].mean(axis=1))
    assert pair.variant_RM[0] == pytest.approx(value_C[1].mean(axis=1))
    assert np.median(pair.baseline_RK[1:], axis=0) == pytest.approx(pair.baseline_RK[0], abs=0.001)
    assert pair.n_replicates_K.tolist() == pair.n_replicates_M.tolist() == [3, 3, 3]
    assert (pair.free, pair.withheld) == (6, None)
    deviation_RC = noisy(*(i.ravel() for i in np.indices((2, 3, 3))))[1] - value_C.ravel()
    mean_RK = deviation_RC.reshape(-1, 2, 3, 3)[:, 0].mean(axis=2)
    assert pair.patients_KK == pytest.approx(np.cov(mean_RK.T) * 40 / 39)
    assert pair.covariance_KK - np.diag(pair.training_K) == pytest.approx(pair.patients_KK)
    # what all counts share, 0.01 here, does not weigh
    assert 1 / pair.weight_K == pytest.approx(pair.training_K, rel=0.2)


def test_the_baseline_against_itself_has_the_same_noise_on_both_sides():
    pair = means(noisy)["baseline"]
    assert (pair.baseline_RK == pair.variant_RM).all()


def test_patients_resamples_have_the_spread_of_students_t():
    """Without spread over replicates: a bootstrap SD of s becomes t's quantiles times s."""

    moved_R1 = 0.01 * np.random.default_rng(1).normal(size=(40_000, 1))

    def alike(v, k, r):
        value_C = np.full(len(v), 0.8)
        return value_C, value_C + moved_R1

    deviation_R = means(alike, n_scarcer=6)["combined"].baseline_RK[1:, 0] - 0.8
    expected = 0.01 * (6 / 5) ** 0.5 * t(5).ppf([0.025, 0.975])
    assert np.quantile(deviation_R, [0.025, 0.975]) == pytest.approx(expected, rel=0.05)


def test_training_noise_of_a_mean_has_the_spread_of_students_t():
    """Pooled over three counts with 3 replicates each: 6 degrees of freedom of the variance."""
    noise_R = np.array([-0.01, 0.0, 0.01])

    def spread_alone(v, k, r):
        value_C = 0.8 + noise_R[r]
        return value_C, np.repeat(value_C[None], 40_000, axis=0)

    pair = means(spread_alone)["combined"]
    reach = 0.01 / 3**0.5
    for deviation_R in (pair.baseline_RK[1:] - 0.8).T:
        low, high = np.quantile(deviation_R, [0.25, 0.75]) / reach
        # the exponent's uncertainty makes the counts at the ends somewhat wider than t with 6
        assert (-low, high) == pytest.approx((0.75, 0.75), abs=0.1)
    middle = np.quantile(pair.baseline_RK[1:, 1] - 0.8, 0.975) / reach
    assert middle == pytest.approx(t(6).ppf(0.975), rel=0.06)
    assert pair.variant_RM == pytest.approx(pair.baseline_RK), "what differs alike is drawn alike"


def test_nested_cohorts_correlate_between_counts_and_count_fewer_degrees_of_freedom():
    def whole(v, k, r):
        value_C = 0.8 + np.array([-0.01, 0.0, 0.01])[r] + 0.001 * np.sin(7 * k + v + r)
        return value_C, np.repeat(value_C[None], 4000, axis=0)

    apart, nested = (means(whole, nested=n)["combined"] for n in (False, True))
    assert abs(np.corrcoef(apart.baseline_RK[1:].T)[0, 1]) < 0.1
    ranks = nested.baseline_RK[1:].argsort(axis=0).argsort(axis=0)
    assert np.corrcoef(ranks.T)[0, 1] > 0.8
    assert nested.free < 3 < apart.free == 6


def test_a_missing_replicate_or_count_is_left_out():
    value = {("baseline", n, r): 0.8 + n / 1000 + r / 1000 for n in COUNTS for r in (1, 2, 3)}
    value |= {("combined", 15, 2): 0.9, ("combined", 15, 3): 0.91}
    names, n_C, r_C = (list(x) for x in zip(*value, strict=True))
    value_C = np.array(list(value.values()))
    args = (names, np.array(n_C), np.array(r_C), value_C, value_C[None].repeat(50, axis=0))
    combined = resampled_means(*args, n_scarcer=40, seed=1)[1]
    assert combined.at_M.tolist() == [15]
    assert combined.n_replicates_M.tolist() == [2]
    assert combined.variant_RM[0] == pytest.approx([0.905])
    assert np.isfinite(combined.baseline_RK).all()
    assert np.isfinite(combined.variant_RM).all()
    order = np.random.default_rng(0).permutation(len(value_C))
    again = resampled_means(
        *(np.asarray(x)[order] for x in args[:4]), args[4][:, order], n_scarcer=40, seed=1
    )[1]
    assert again.variant_RM == pytest.approx(combined.variant_RM), "cells may come in any order"


def test_resamples_of_one_class_are_left_out():
    def some(v, k, r):
        value_C = 0.8 + 0.01 * r
        return value_C, np.stack([value_C, np.full(len(v), np.nan), value_C])

    assert len(means(some)["combined"].baseline_RK) == 3


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"n_scarcer": 1}, "1 patient of the scarcer class: an interval over patients needs 5"),
        ({"n_scarcer": 4}, "4 patients of the scarcer class: an interval over patients needs 5"),
        ({"n_replicates": 1}, "'baseline' has one replicate at every patient count"),
    ],
)
def test_without_patients_or_replicates_there_are_no_resamples(options, why):
    pair = means(noisy, **options)["combined"]
    assert why in pair.withheld
    assert len(pair.baseline_RK) == len(pair.variant_RM) == 1
    assert pair.weight_K.tolist() == pair.n_replicates_K.tolist()


@pytest.mark.parametrize(
    ("variants", "change", "message"),
    [
        (("combined",), {}, "'baseline' has 0 patient counts, a curve needs 2"),
        (("baseline",), {"value": 1.2}, r"outside \[0, 1\]"),
        (("baseline",), {"value": np.nan}, r"outside \[0, 1\]"),
        (("baseline", "baseline"), {}, "given more than once"),
        (("baseline",), {"resampled": np.full((4, 9), np.nan)}, "none of 4 resamples"),
        (("baseline",), {"resampled": np.ones((4, 10))}, "have the shapes"),
    ],
)
def test_bad_input_is_refused(variants, change, message):
    def cells(v, k, r):
        value_C = np.full(len(v), change.get("value", 0.8))
        return value_C, change.get("resampled", value_C[None])

    with pytest.raises(ValueError, match=message):
        means(cells, variants)
