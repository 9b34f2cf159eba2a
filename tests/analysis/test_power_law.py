import numpy as np
import pytest
from scipy.optimize import curve_fit

from lussweep.analysis.power_law import fit_power_law

COUNTS = np.array([6, 15, 29, 44, 58])


def test_a_law_without_noise_is_found():
    for a, b, c in ((0.97, 0.35, 0.5), (0.95, 0.9, 1.0), (1.1, 0.5, 0.15)):
        law = fit_power_law(COUNTS, (a - b * COUNTS**-c)[None], np.eye(5))
        assert (law.a_R[0], law.b_R[0], law.c_R[0]) == pytest.approx((a, b, c), rel=1e-4)
        assert law.residual_R[0] < 1e-12
        assert law.at(np.array([9.0]))[0, 0] == pytest.approx(a - b * 9**-c)


def test_every_row_is_fitted_as_scipy_fits_it_with_the_same_covariance():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(5, 5)) * 0.01
    covariance = root @ root.T + 1e-4 * np.eye(5)
    rows = 0.97 - 0.35 * COUNTS**-0.5 + 0.004 * rng.normal(size=(6, 5))
    law = fit_power_law(COUNTS, rows, np.linalg.inv(covariance))
    for r, row in enumerate(rows):
        best, _ = curve_fit(
            lambda n, a, b, c: a - b * n**-c, COUNTS, row, sigma=covariance,
            p0=(law.a_R[r], law.b_R[r], law.c_R[r]), bounds=([-60, -60, 0.02], [60, 600, 6]),
        )  # fmt: skip
        left = row - (best[0] - best[1] * COUNTS ** -best[2])
        expected = left @ np.linalg.inv(covariance) @ left
        assert law.residual_R[r] <= expected * (1 + 1e-6)
        mine = row - law.at(COUNTS)[r]
        assert mine @ np.linalg.inv(covariance) @ mine == pytest.approx(law.residual_R[r])


def test_three_counts_are_met_exactly_and_a_flat_row_does_not_rise():
    law = fit_power_law(COUNTS[[0, 1, 4]], np.array([[0.8, 0.87, 0.9]]), np.eye(3))
    assert law.at(COUNTS[[0, 1, 4]])[0] == pytest.approx([0.8, 0.87, 0.9], abs=1e-6)
    flat = fit_power_law(COUNTS, np.full((1, 5), 0.9), np.eye(5))
    assert flat.b_R[0] == pytest.approx(0, abs=1e-9)
    assert flat.at(COUNTS)[0] == pytest.approx([0.9] * 5)
