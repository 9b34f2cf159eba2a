import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.pooling import ALPHA, fit_trend, pool_variances
from support.simulation import keeps

COUNTS = [6, 15, 29, 44, 58]


def test_variances_on_a_line_are_returned_and_gain_degrees_of_freedom():
    variance_of = {n: 0.5 * n**-1.4 for n in COUNTS}
    pooled = pool_variances(variance_of, dict.fromkeys(COUNTS, 2))
    for n in COUNTS:
        assert pooled[n].variance == pytest.approx(variance_of[n], rel=1e-4)
        assert pooled[n].model == "trend"
        assert 2 < pooled[n].df < 10
    assert pooled[29].df > 2 * pooled[6].df  # the middle of a line is known best


def test_the_fit_is_the_maximum_of_the_likelihood():
    rng = np.random.default_rng(0)
    df_K = np.array([2.0, 2, 4, 9, 2])
    variance_K = rng.chisquare(df_K) / df_K * 1e-4
    x_K = np.log(COUNTS)
    fit_K, _, _ = fit_trend(x_K, variance_K, df_K)

    def likelihood(log_fit_K):
        return (
            stats.chi2.logpdf(variance_K * df_K / np.exp(log_fit_K), df_K).sum() - log_fit_K.sum()
        )

    best = likelihood(np.log(fit_K))
    for level, slope in [(0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.02, -0.01)]:
        assert likelihood(np.log(fit_K) + level + slope * (x_K - x_K.mean())) < best


def test_a_count_that_does_not_follow_the_trend_makes_all_keep_their_own():
    variance_of = {6: 1e-4, 15: 1e-4, 29: 4e-3, 44: 1e-4, 58: 1e-4}
    pooled = pool_variances(variance_of, dict.fromkeys(COUNTS, 4))
    assert {n: (p.variance, p.df, p.model) for n, p in pooled.items()} == {
        n: (variance_of[n], 4, "own") for n in COUNTS
    }


@pytest.mark.parametrize("counts", [[6], [6, 15]])
def test_one_or_two_counts_keep_their_own(counts):
    pooled = pool_variances(dict.fromkeys(counts, 2e-4), dict.fromkeys(counts, 2))
    assert all(p == (2e-4, 2, "own") for p in pooled.values())


def test_without_spread_somewhere_the_trend_stands_and_without_any_the_variance_is_0():
    some = pool_variances({6: 1e-4, 15: 0.0, 29: 1e-4}, dict.fromkeys((6, 15, 29), 2))
    assert some[15].variance > 0 and some[15].model == "trend"
    none = pool_variances(dict.fromkeys(COUNTS, 0.0), dict.fromkeys(COUNTS, 2))
    assert all(p.variance == 0 for p in none.values())


def test_the_test_rejects_a_true_trend_about_as_often_as_it_says():
    rng = np.random.default_rng(77)
    n_studies, x_K, df_K = 1000, np.log(COUNTS), np.full(5, 2.0)
    truth_K = np.exp(-x_K)
    p_values = [
        fit_trend(x_K, truth_K * rng.chisquare(df_K) / df_K, df_K)[2] for _ in range(n_studies)
    ]
    rejected = sum(p <= ALPHA for p in p_values)
    assert 0.6 * ALPHA * n_studies < rejected < 1.2 * ALPHA * n_studies


@pytest.mark.parametrize(
    ("variance_of", "df_of"),
    [
        ({6: 1e-4}, {15: 2}),
        ({}, {}),
        ({6: -1.0}, {6: 2}),
        ({6: np.nan}, {6: 2}),
        ({6: 1.0}, {6: 0}),
    ],
)
def test_bad_input_is_refused(variance_of, df_of):
    with pytest.raises(ValueError, match="variance"):
        pool_variances(variance_of, df_of)


def test_a_common_variance_promises_too_much_where_the_spread_falls_and_the_trend_does_not():
    """SDs from 0.028 at 6 patients to 0.007 at 58, 3 replicates, no true difference."""
    rng, n_studies, sd_K = np.random.default_rng(5), 1000, np.geomspace(0.028, 0.007, 5)
    rejected = {"common": 0, "trend": 0}
    for _ in range(n_studies):
        d_KR = sd_K[:, None] * rng.normal(size=(5, 3))
        variance_K, size = d_KR.var(axis=1, ddof=1), abs(d_KR[0].mean())
        pooled = pool_variances(
            dict(zip(COUNTS, variance_K, strict=True)), dict.fromkeys(COUNTS, 2)
        )[6]
        for name, (variance, df) in {
            "common": (variance_K.mean(), 10.0),
            "trend": (pooled.variance, pooled.df),
        }.items():
            rejected[name] += size > stats.t.ppf(0.975, df) * (variance / 3) ** 0.5
    print({name: n / n_studies for name, n in rejected.items()})
    assert rejected["common"] > 0.12 * n_studies
    assert keeps(rejected["trend"], n_studies, 0.09)
