"""What shuffled labels give is judged by the mean over permutations."""

import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.chance import MIN_PERMUTATIONS, judge_chance
from lussweep.metrics.auroc import auroc


def permutation_aurocs(rng, n_permutations):
    """Classifiers of shuffled labels on one holdout of 40 patients in a latent space.

    Each one looks along a direction of its own, as a random half of the training patients gives
    it. The holdout's classes differ a lot along one of them: single AUC-ROCs are far from 0.5.
    """
    label_P = np.arange(40) % 2
    latent_PD = rng.normal(size=(40, 4)) + 2 * label_P[:, None] * np.array([1, 0, 0, 0])
    direction_KD = rng.normal(size=(n_permutations, 4))
    return np.array([auroc(label_P, score_P) for score_P in direction_KD @ latent_PD.T])


def test_mean_and_interval_are_those_of_scipy():
    auroc_K = permutation_aurocs(np.random.default_rng(0), 25)
    found = judge_chance(auroc_K)
    oracle = stats.ttest_1samp(auroc_K, 0.5)
    assert found.mean == pytest.approx(auroc_K.mean())
    assert found.interval == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert (found.verdict == "chance") == (oracle.pvalue >= 0.05)
    assert (found.n_permutations, found.withheld) == (25, None)


def test_chance_passes_about_as_often_as_it_should():
    rng = np.random.default_rng(5)
    studies = [permutation_aurocs(rng, 20) for _ in range(300)]
    assert np.std(np.concatenate(studies)) > 0.15, "single permutations are no measure of a leak"
    passed = [judge_chance(auroc_K).verdict == "chance" for auroc_K in studies]
    assert 0.92 <= np.mean(passed) <= 0.98


def test_a_leak_is_caught():
    """Scores of noise whose true AUC-ROC is 0.6, on a holdout of 124 patients."""
    rng = np.random.default_rng(6)
    label_P = (np.arange(124) < 100).astype(np.int64)
    shift = np.sqrt(2) * stats.norm.ppf(0.6)
    for _ in range(100):
        score_KP = shift * label_P + rng.normal(size=(20, 124))
        found = judge_chance(np.array([auroc(label_P, score_P) for score_P in score_KP]))
        assert found.verdict == "not chance"
        assert found.interval.low > 0.5


def test_too_few_permutations_have_a_mean_and_no_verdict():
    found = judge_chance(np.full(MIN_PERMUTATIONS - 1, 0.9))
    assert (found.mean, found.verdict) == (pytest.approx(0.9), None)
    assert found.withheld == "19 of 20 permutations"
    assert judge_chance(np.array([0.4])).interval is None
    assert judge_chance(np.full(MIN_PERMUTATIONS, 0.9)).verdict == "not chance"
    assert judge_chance(np.full(MIN_PERMUTATIONS, 0.5)).verdict == "chance"


@pytest.mark.parametrize("bad", [[], [0.5, np.nan], [1.1]])
def test_bad_input_is_refused(bad):
    with pytest.raises(ValueError, match="AUC-ROCs lie between 0 and 1"):
        judge_chance(np.array(bad))
