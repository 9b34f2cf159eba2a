import numpy as np
import pytest

from lussweep.analysis.training_noise import (
    TREND_G,
    Spread,
    draw_pair,
    nested_correlation,
    spread,
    trend_weights,
)

LOG_N = np.log([6, 15, 29, 44, 58])


def spread_of(variance_K, free=2.0):
    variance_K = np.asarray(variance_K, dtype=np.float64)
    return Spread(variance_K * free, np.full(len(variance_K), free), np.zeros(len(variance_K)))


def test_a_spread_is_the_sample_covariance_and_the_patients_part_that_over_resamples():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 4))
    one_RM, other_RM = rng.normal(size=(2, 3000, 4)) + rng.normal(size=(3000, 1))
    found = spread([(one, one_RM)], [(other, other_RM)])
    assert found.scatter_K[0] / found.free_K[0] == pytest.approx(np.cov(one, other)[0, 1])
    same = spread([(one, one_RM)], [(one, one_RM)])
    within = np.cov(one_RM.T)
    variance = within.diagonal().mean()
    between = (within.sum() - within.trace()) / 12
    assert same.patients_K[0] == pytest.approx(variance - between, rel=1e-3)
    assert same.patients_K[0] == pytest.approx(1, abs=0.05)  # what replicates share is not in it
    assert spread([(one[:1], one_RM[:, :1])], [(one[:1], one_RM[:, :1])]).free == 0


def test_the_trend_is_found_and_its_weights_are_those_of_the_gamma_likelihood():
    variance_K = 4e-4 * np.exp(-0.8 * LOG_N)
    few, many = (trend_weights([spread_of(variance_K, f)], LOG_N) for f in (2.0, 50.0))
    for weight_G in (few, many):
        assert TREND_G[weight_G.argmax()] == pytest.approx(-0.8, abs=0.011)
    sd = [np.sqrt(w @ (TREND_G - w @ TREND_G) ** 2) for w in (few, many)]
    information = 50 / 2 * ((LOG_N - LOG_N.mean()) ** 2).sum()
    assert sd[1] == pytest.approx(information**-0.5, rel=0.05)
    assert sd[0] > 3 * sd[1]
    assert trend_weights([spread_of([0.0] * 5)], LOG_N) == pytest.approx(1 / len(TREND_G))


def test_draws_have_the_scaled_inverse_chi_square_of_the_pooled_variance():
    one = spread_of([4e-4] * 5, 2.0)
    none = spread_of([0.0] * 5, 2.0)
    rng = np.random.default_rng(1)
    drawn = draw_pair(one, one, (none, none, none), LOG_N, np.zeros(40_000), rng)
    for variance_RK in (drawn.baseline_RK, drawn.variant_RK):
        assert variance_RK[:, 2].mean() == pytest.approx(4e-4 * 10 / 8, rel=0.03)  # 10 df
    assert (drawn.covariance_RK == 0).all()


def test_pairs_are_drawn_with_their_covariance():
    rng = np.random.default_rng(2)
    one, both = spread_of([4e-4] * 5, 20.0), spread_of([3e-4] * 5, 20.0)
    drawn = draw_pair(one, one, (one, one, both), LOG_N, np.zeros(5000), rng)
    difference_R = (drawn.baseline_RK + drawn.variant_RK - 2 * drawn.covariance_RK)[:, 0]
    assert np.median(difference_R) == pytest.approx(2e-4, rel=0.05)
    assert (drawn.covariance_RK**2 <= drawn.baseline_RK * drawn.variant_RK * (1 + 1e-9)).all()


def test_the_patients_part_is_taken_out_down_to_nothing():
    noise = spread_of([4e-4] * 5, 400.0)
    less = Spread(noise.scatter_K, noise.free_K, np.full(5, 3e-4))
    none = Spread(noise.scatter_K, noise.free_K, np.full(5, 9e-4))
    rng = np.random.default_rng(3)
    drawn = draw_pair(
        less, none, (less, none, spread_of([0.0] * 5, 0.0)), LOG_N, np.zeros(500), rng
    )
    assert np.median(drawn.baseline_RK) == pytest.approx(1e-4, rel=0.1)
    assert (drawn.variant_RK == 0).all()


def test_replicates_that_differ_alike_at_all_counts_correlate():
    residual = np.array([-0.01, 0.0, 0.01])
    assert nested_correlation([[residual, residual, residual]]) == 0.95
    assert nested_correlation([[residual, -residual]]) == 0
    assert nested_correlation([]) == nested_correlation([[residual]]) == 0
    rng = np.random.default_rng(4)
    common = rng.normal(size=(300, 1, 3))
    noise = common + rng.normal(size=(300, 5, 3))
    noise -= noise.mean(axis=2, keepdims=True)
    assert nested_correlation(list(noise)) == pytest.approx(0.5, abs=0.05)
