import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.bootstrap import expanded_confidence, percentile_estimate, point_auroc
from lussweep.metrics.auroc import auroc, win_matrix


def test_the_expanded_confidence_is_the_level_of_students_t():
    for n, confidence in ((24, 0.95), (5, 0.9)):
        reach = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + confidence) / 2, n - 1)
        oracle = 1 - 2 * stats.norm.sf(reach)
        assert expanded_confidence(confidence, n) == pytest.approx(oracle, abs=1e-12)
    assert expanded_confidence(0.95, 10**6) == pytest.approx(0.95, abs=1e-6)


def test_resamples_that_do_not_exist_are_left_out_and_counted():
    found = percentile_estimate(0.5, np.array([0.0, np.nan, 1.0]), 0.5)
    assert found == (0.5, 0.25, 0.75, 1)
    assert np.isnan(percentile_estimate(0.5, np.array([np.nan]), 0.5)[1:3]).all()


def test_the_point_of_a_win_matrix_is_the_auroc_of_its_frames():
    rng = np.random.default_rng(0)
    label_N, patient_N = rng.integers(2, size=60), rng.integers(8, size=60)
    score_N = np.round(rng.normal(size=60), 1)
    assert point_auroc(win_matrix(label_N, score_N, patient_N)) == auroc(label_N, score_N)
