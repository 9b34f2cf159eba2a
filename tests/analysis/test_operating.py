import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from lussweep.analysis.operating import (
    operating_point,
    threshold_for_specificity,
)
from lussweep.analysis.shares import share_interval
from lussweep.metrics.classification import at_threshold
from support.labelled import arrays, cohort, labelled_scores, settled

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
    point = operating_point(label_N, score_N, np.arange(4), np.inf)
    assert (point.sensitivity.value, point.specificity.value) == (0, 1)


@pytest.mark.parametrize("wanted", [0.0, 1.01, np.nan])
def test_a_share_that_is_none_is_refused(wanted):
    with pytest.raises(ValueError, match="wanted specificity"):
        threshold_for_specificity(*cohort()[:2], wanted)


def test_every_share_is_that_of_its_frames_and_its_interval_that_of_its_patients():
    label_N, score_N, patient_N = cohort(18, 200, seed=2)
    found = operating_point(label_N, score_N, patient_N, 0.4, confidence=0.9)
    reached = at_threshold(label_N, score_N, 0.4)
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        share, of_class_N = getattr(found, name), label_N == label
        assert share.value == getattr(reached, name)
        right_N = of_class_N & ((score_N >= 0.4) == label)
        n_frames_P, n_right_P = np.bincount(patient_N[of_class_N]), np.bincount(patient_N, right_N)
        n_right_P = n_right_P[: len(n_frames_P)]
        assert share.interval == share_interval(n_right_P, n_frames_P, confidence=0.9)
        assert share.n_patients == (n_frames_P > 0).sum()
        assert share.n_effective == pytest.approx(n_frames_P.sum() ** 2 / (n_frames_P**2).sum())


@pytest.mark.parametrize("threshold", [0.05, 0.95])
def test_a_share_of_one_is_not_certain(threshold):
    label_N, patient_N = np.repeat([0, 1], 24), np.repeat(np.arange(12), 4)
    point = operating_point(label_N, label_N * 0.5 + 0.2, patient_N, threshold)
    for share in point[1:]:
        assert share.n_patients == 6
        assert share.interval.high - share.interval.low > 0.3
        assert share.interval[share.value == 1] == share.value


def test_under_five_patients_of_a_class_its_share_has_no_interval():
    label_N, score_N = np.array([1] * 6 + [0] * 4), np.linspace(1, 0, 10)
    point = operating_point(label_N, score_N, np.arange(10), 0.5)
    assert point.sensitivity.interval is not None
    assert point.specificity[:3] == (1.0, None, 4)


def test_copies_within_a_patient_widen_the_clustered_interval_only():
    rng = np.random.default_rng(0)
    label_P = np.arange(60) % 2
    score_P = label_P * 0.3 + rng.random(60) * 0.7
    label_N, score_N, patient_N = (np.repeat(x, 25) for x in (label_P, score_P, np.arange(60)))
    by_patient = operating_point(label_N, score_N, patient_N, 0.5)
    by_frame = operating_point(label_N, score_N, np.arange(1500), 0.5)
    for a, b in zip(by_patient[1:], by_frame[1:], strict=True):
        ratio = (a.interval.high - a.interval.low) / (b.interval.high - b.interval.low)
        assert ratio == pytest.approx(5, rel=0.25)  # sqrt(25)


def test_bad_settings_are_refused():
    label_N, score_N, patient_N = cohort()
    with pytest.raises(ValueError, match="patient ids have shape"):
        operating_point(label_N, score_N, patient_N[:-1], 0.5)
    with pytest.raises(ValueError, match=r"confidence is 1\.0"):
        operating_point(label_N, score_N, patient_N, 0.5, confidence=1.0)
    with pytest.raises(ValueError, match="both classes are needed"):
        operating_point(label_N * 0, score_N, patient_N, 0.5)
