import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from lussweep.analysis.operating import (
    operating_point,
    percentile_estimate,
    threshold_for_specificity,
)
from lussweep.metrics.auroc import patient_weights
from lussweep.metrics.classification import at_threshold


def cohort(n_patients=12, n_frames=240, seed=0, decimals=2):
    """Frames of patients, some of a single class, with tied scores, some of them 0 or 1."""
    rng = np.random.default_rng(seed)
    patient_N = rng.integers(n_patients, size=n_frames)
    label_N = (rng.random(n_frames) < (patient_N % 3) / 2).astype(np.int64)
    margin_N = 3 * (label_N - 0.5) + 2 * rng.normal(size=n_frames)
    return label_N, np.round(1 / (1 + np.exp(-margin_N)), decimals), patient_N


def repeated_frames(patient_N, weight_P):
    return np.concatenate(
        [np.tile(np.flatnonzero(patient_N == p), w) for p, w in enumerate(weight_P)]
    )


labelled_scores = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)
settled = settings(max_examples=150, deadline=None, database=None, derandomize=True)


def arrays(pairs):
    return np.array([label for label, _ in pairs]), np.array([s / 8 for _, s in pairs])


# --- thresholds ---------------------------------------------------------------------------


@settled
@given(labelled_scores, st.sampled_from([0.05, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_the_threshold_is_the_most_sensitive_of_sklearns_that_reach_the_specificity(pairs, wanted):
    label_N, score_N = arrays(pairs)
    found = threshold_for_specificity(label_N, score_N, wanted)
    false_pos_T, true_pos_T, threshold_T = roc_curve(label_N, score_N, drop_intermediate=False)
    reaching = 1 - false_pos_T >= wanted - 1e-9
    assert found.specificity >= wanted - 1e-9
    assert found.sensitivity == pytest.approx(true_pos_T[reaching].max())
    assert found.threshold == threshold_T[reaching].min()


def test_nine_tenths_of_ten_negatives_are_nine():
    score_N = np.concatenate([np.arange(10) / 20, [0.44, 0.46, 0.9]])
    label_N = np.array([0] * 10 + [1] * 3)
    assert threshold_for_specificity(label_N, score_N, 0.9) == (0.44, 1.0, 0.9)
    assert threshold_for_specificity(label_N, score_N, 0.95) == (0.46, pytest.approx(2 / 3), 1.0)


def test_rounding_of_a_product_asks_for_no_more_negatives():
    assert 0.55 * 100 > 55
    score_N = np.concatenate([np.arange(100) / 100, [0.545]])
    found = threshold_for_specificity(np.array([0] * 100 + [1]), score_N, 0.55)
    assert found == (0.545, 1.0, 0.55)


def test_more_wanted_specificity_never_lowers_the_threshold():
    label_N, score_N, _ = cohort()
    found = [threshold_for_specificity(label_N, score_N, w) for w in np.linspace(0.01, 1, 100)]
    assert (np.diff([f.threshold for f in found]) >= 0).all()
    assert (np.diff([f.sensitivity for f in found]) <= 0).all()


def test_a_specificity_out_of_reach_calls_no_frame_positive():
    label_N, score_N = np.array([0, 0, 1, 1]), np.array([0.2, 1.0, 1.0, 0.9])
    assert threshold_for_specificity(label_N, score_N, 0.9) == (np.inf, 0.0, 1.0)
    assert threshold_for_specificity(label_N, score_N, 0.5) == (0.9, 1.0, 0.5)
    point = operating_point(label_N, score_N, np.arange(4), np.inf, n_resamples=20, seed=0)
    assert (point.sensitivity.value, point.specificity.value) == (0, 1)


@pytest.mark.parametrize("wanted", [0.0, 1.01, np.nan])
def test_a_share_that_is_none_is_refused(wanted):
    with pytest.raises(ValueError, match="wanted specificity"):
        threshold_for_specificity(*cohort()[:2], wanted)


def test_every_share_and_its_interval_equal_those_of_materialised_frames():
    label_N, score_N, patient_N = cohort(8, 80, seed=2)
    found = operating_point(label_N, score_N, patient_N, 0.4, n_resamples=80, seed=5)
    reached = at_threshold(label_N, score_N, 0.4)
    brute = {"sensitivity": [], "specificity": []}
    for weight_P in patient_weights(8, 80, seed=5):
        rows = repeated_frames(patient_N, weight_P)
        counted = at_threshold(label_N[rows], score_N[rows], 0.4)
        for name, values in brute.items():
            values.append(getattr(counted, name))
    for name, values in brute.items():
        estimate = getattr(found, name)
        assert estimate.value == getattr(reached, name)
        assert estimate[1:3] == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
        assert estimate.n_undefined == 0


def test_resamples_without_a_class_have_no_share_of_it():
    label_N, score_N = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.7])
    found = operating_point(label_N, score_N, np.array([0, 0, 1, 1]), 0.55, n_resamples=400, seed=0)
    assert 70 < found.sensitivity.n_undefined < 130  # a quarter in expectation
    assert 70 < found.specificity.n_undefined < 130
    assert found.sensitivity[:3] == found.specificity[:3] == (0.5, 0.5, 0.5)


def test_copies_within_a_patient_widen_the_clustered_interval_only():
    rng = np.random.default_rng(0)
    label_P = np.arange(60) % 2
    score_P = label_P * 0.3 + rng.random(60) * 0.7
    label_N, score_N, patient_N = (np.repeat(x, 25) for x in (label_P, score_P, np.arange(60)))
    by_patient = operating_point(label_N, score_N, patient_N, 0.5, seed=0)
    by_frame = operating_point(label_N, score_N, np.arange(1500), 0.5, seed=0)
    for a, b in zip(by_patient[1:5], by_frame[1:5], strict=True):
        assert (a.high - a.low) / (b.high - b.low) == pytest.approx(5, rel=0.25)  # sqrt(25)


# --- intervals ----------------------------------------------------------------------------


def test_the_seed_decides_and_nothing_ambient_does():
    frames = cohort(n_frames=60)
    first = operating_point(*frames, 0.5, n_resamples=20, seed=1)
    np.random.seed(0)
    assert operating_point(*frames, 0.5, n_resamples=20, seed=1) == first
    assert operating_point(*frames, 0.5, n_resamples=20, seed=2) != first


def test_nan_resamples_are_left_out_of_an_interval():
    found = percentile_estimate(0.5, np.array([0.0, np.nan, 1.0]), 0.5)
    assert found == (0.5, 0.25, 0.75, 1)
    assert np.isnan(percentile_estimate(0.5, np.array([np.nan]), 0.5)[1:3]).all()


def test_bad_settings_are_refused():
    label_N, score_N, patient_N = cohort()
    with pytest.raises(ValueError, match="patient ids have shape"):
        operating_point(label_N, score_N, patient_N[:-1], 0.5, seed=0)
    with pytest.raises(ValueError, match="n_resamples is 0"):
        operating_point(label_N, score_N, patient_N, 0.5, n_resamples=0, seed=0)
    with pytest.raises(ValueError, match=r"confidence 1\.0"):
        operating_point(label_N, score_N, patient_N, 0.5, confidence=1.0, seed=0)
    with pytest.raises(ValueError, match="both classes are needed"):
        operating_point(label_N * 0, score_N, patient_N, 0.5, seed=0)
