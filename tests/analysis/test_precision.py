import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from lussweep.analysis import precision
from lussweep.analysis.jackknife import leave_one_out
from lussweep.analysis.levels import Scored
from lussweep.analysis.precision import average_precision, weighted_average_precision
from lussweep.metrics.auroc import patient_weights


def cohort(n_patients=9, n_frames=120, seed=0, n_scores=12):
    """Frames of patients, some of a single class, with tied scores."""
    rng = np.random.default_rng(seed)
    index_N = rng.integers(n_patients, size=n_frames)
    label_N = (rng.random(n_frames) < (index_N % 3) / 2).astype(np.int64)
    return label_N, rng.integers(n_scores, size=n_frames) / n_scores + 0.1 * label_N, index_N


def repeated_frames(index_N, weight_P):
    return np.concatenate(
        [np.tile(np.flatnonzero(index_N == p), w) for p, w in enumerate(weight_P)]
    )


@pytest.mark.parametrize("n_scores", [2, 5, 10**6])
@pytest.mark.parametrize("seed", range(4))
def test_every_resample_equals_scikit_learns_of_the_repeated_frames(seed, n_scores):
    label_N, score_N, index_N = cohort(seed=seed, n_scores=n_scores)
    weight_RP = patient_weights(9, 40, seed=seed)
    found_R = weighted_average_precision(label_N, score_N, index_N, weight_RP)
    n_both = 0
    for found, weight_P in zip(found_R, weight_RP, strict=True):
        rows = repeated_frames(index_N, weight_P)
        if len(set(label_N[rows])) == 2:
            n_both += 1
            assert found == pytest.approx(average_precision_score(label_N[rows], score_N[rows]))
        else:
            assert np.isnan(found)
    assert n_both > 30


labelled_scores = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(labelled_scores, st.data())
def test_whole_weights_of_frames_equal_scikit_learns_sample_weights(pairs, data):
    label_N = np.array([label for label, _ in pairs]).astype(np.int64)
    score_N = np.array([score / 8 for _, score in pairs])
    weight_N = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    )
    found = weighted_average_precision(label_N, score_N, np.arange(len(pairs)), weight_N[None])[0]
    if weight_N[label_N == 1].sum() and weight_N[label_N == 0].sum():
        expected = average_precision_score(label_N, score_N, sample_weight=weight_N)
        assert found == pytest.approx(expected)
    else:
        assert np.isnan(found)


def test_chunks_do_not_matter(monkeypatch):
    label_N, score_N, index_N = cohort()
    weight_RP = patient_weights(9, 50, seed=1)
    whole = weighted_average_precision(label_N, score_N, index_N, weight_RP)
    monkeypatch.setattr(precision, "CHUNK", 300)
    np.testing.assert_array_equal(
        weighted_average_precision(label_N, score_N, index_N, weight_RP), whole
    )


def test_a_hand_example():
    """Positives at ranks 1 and 3 of 4: (1 + 2 / 3) / 2. Without the first patient: 1 / 2."""
    label_N, score_N = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    weight_RP = np.array([[1, 1], [0, 1]])
    found = weighted_average_precision(label_N, score_N, np.array([0, 1, 1, 1]), weight_RP)
    assert found == pytest.approx([5 / 6, 1 / 2])


def test_only_the_order_of_scores_and_no_order_of_frames_matters():
    label_N, score_N, index_N = cohort(n_frames=200)
    units = Scored(label_N, score_N, index_N)
    order = np.random.default_rng(0).permutation(200)
    shuffled = Scored(label_N[order], np.exp(3 * score_N[order]), index_N[order])
    assert average_precision(shuffled)[:3] == pytest.approx(average_precision(units)[:3])


def test_the_estimate_is_scikit_learns_and_lies_in_its_interval_between_0_and_1():
    units = Scored(*cohort(30, 400))
    found = average_precision(units)
    assert found.value == pytest.approx(average_precision_score(units.label_U, units.score_U))
    assert 0 < found.low < found.value < found.high < 1
    wider = average_precision(units, confidence=0.99)
    assert wider.low < found.low < found.high < wider.high


def test_an_interval_follows_the_error_of_leaving_patients_out():
    """With many patients it is the textbook's: the logit, give or take 1.96 errors."""
    rng = np.random.default_rng(0)
    index_N = np.repeat(np.arange(2000), 2)
    label_N = index_N % 2
    score_N = label_N + rng.normal(size=4000)
    found = average_precision(Scored(label_N, score_N, index_N))
    without_P = weighted_average_precision(label_N, score_N, index_N, leave_one_out(2000))
    error = np.sqrt(1999 / 2000 * ((without_P - without_P.mean()) ** 2).sum())
    half = 1.96 * error / (found.value * (1 - found.value))
    logit = np.log(found.value / (1 - found.value))
    low, high = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_copies_of_frames_within_patients_change_nothing():
    units = Scored(*cohort(20, 300))
    thrice = Scored(*(np.repeat(x, 3) for x in units[:3]))
    assert average_precision(thrice)[:3] == pytest.approx(average_precision(units)[:3])


def test_a_perfect_order_has_no_interval_and_says_why():
    label_N = np.repeat([0, 1], 40)
    found = average_precision(Scored(label_N, label_N * 0.5, np.arange(80) // 4))
    assert found.value == 1
    assert np.isnan(found.low) and np.isnan(found.high)
    assert "the same without any of the patients" in found.withheld


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([1, 1], [0.1, 0.2], "both classes are needed"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, np.nan], "not finite"),
    ],
)
def test_bad_input_is_refused(label, score, message):
    given = np.array(label), np.array(score), np.arange(2)
    with pytest.raises(ValueError, match=message):
        average_precision(Scored(*given))
    with pytest.raises(ValueError, match=message):
        weighted_average_precision(*given, np.ones((1, 2)))
