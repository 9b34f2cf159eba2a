import numpy as np
import pytest
from scipy.optimize import curve_fit

from lussweep.analysis.power_law import fit_power_law, lack_of_fit

COUNTS = np.array([6, 15, 29, 44, 58])


def test_a_law_without_noise_is_found():
    for a, b, c in ((0.97, 0.35, 0.5), (0.95, 0.9, 1.0), (1.1, 0.5, 0.15)):
        law = fit_power_law(COUNTS, (a - b * COUNTS**-c)[None], np.ones(5))
        assert (law.a_R[0], law.b_R[0], law.c_R[0]) == pytest.approx((a, b, c), rel=1e-4)
        assert law.at(COUNTS)[0] == pytest.approx(a - b * COUNTS**-c, abs=1e-7)
        assert law.at(np.array([9.0]))[0, 0] == pytest.approx(a - b * 9**-c)


def test_no_row_is_fitted_worse_than_by_scipy_with_the_same_weights():
    rng = np.random.default_rng(5)
    sd = np.array([0.009, 0.006, 0.004, 0.003, 0.002])
    rows = 0.97 - 0.35 * COUNTS**-0.5 + sd * rng.normal(size=(6, 5))
    law = fit_power_law(COUNTS, rows, sd**-2)
    for r, row in enumerate(rows):
        best, _ = curve_fit(
            lambda n, a, b, c: a - b * n**-c, COUNTS, row, sigma=sd,
            p0=(law.a_R[r], law.b_R[r], law.c_R[r]), bounds=([-60, -60, 0.02], [60, 600, 6]),
        )  # fmt: skip
        expected = (((row - best[0] + best[1] * COUNTS ** -best[2]) / sd) ** 2).sum()
        assert (((row - law.at(COUNTS)[r]) / sd) ** 2).sum() <= expected * (1 + 1e-6)


def test_three_counts_are_met_exactly_and_a_flat_row_does_not_rise():
    law = fit_power_law(COUNTS[[0, 1, 4]], np.array([[0.8, 0.87, 0.9]]), np.ones(3))
    assert law.at(COUNTS[[0, 1, 4]])[0] == pytest.approx([0.8, 0.87, 0.9], abs=1e-6)
    flat = fit_power_law(COUNTS, np.full((1, 5), 0.9), np.ones(5))
    assert flat.b_R[0] == pytest.approx(0, abs=1e-9)
    assert flat.at(COUNTS)[0] == pytest.approx([0.9] * 5)


def test_lack_of_fit_is_uniform_where_the_law_holds_whatever_the_counts_share():
    """Noise that all counts share, more of it at the first, and own noise with 10 df."""
    rng = np.random.default_rng(5)
    own, shared = 0.006, np.array([0.03, 0.02, 0.02, 0.015, 0.015])
    p_values = []
    for _ in range(600):
        mean_K = 0.97 - 0.35 * COUNTS**-0.5 + own * rng.normal(size=5) + shared * rng.normal()
        variance = own**2 * rng.chisquare(10) / 10
        covariance_KK = variance * np.eye(5) + np.outer(shared, shared)
        law = fit_power_law(COUNTS, mean_K[None], np.ones(5))
        p_values.append(lack_of_fit(COUNTS, mean_K, np.ones(5), covariance_KK, law, 10))
    for level in (0.05, 0.25, 0.5):
        assert np.mean(np.array(p_values) < level) == pytest.approx(level, abs=0.06)
    steps = np.where(COUNTS > 20, 0.9, 0.8) + np.where(COUNTS > 50, 0.05, 0)
    law = fit_power_law(COUNTS, steps[None], np.ones(5))
    assert lack_of_fit(COUNTS, steps, np.ones(5), 0.003**2 * np.eye(5), law, 10) < 1e-3
