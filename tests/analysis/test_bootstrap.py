import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lussweep.analysis.bootstrap import (
    Interval,
    bca_interval,
    bca_undefined,
    bootstrap_auroc,
    expanded_confidence,
    jackknife_auroc,
    valid_resamples,
)
from lussweep.analysis.levels import Scored, to_patients, to_videos
from lussweep.metrics.auroc import auroc, patient_weights, resampled_auroc, win_matrix


def cohort(n_all_patients=12, n_frames=200, seed=0):
    """Frames of patients, a third of them mixed, with many tied scores."""
    rng = np.random.default_rng(seed)
    patient_U = rng.integers(n_all_patients, size=n_frames)
    label_U = (rng.random(n_frames) < (patient_U % 3) / 2).astype(np.int64)
    score_U = np.round(label_U + rng.normal(size=n_frames), 1)
    return Scored(label_U, score_U, patient_U, rng.integers(3, size=n_frames), np.arange(n_frames))


def materialised(units, drawn):
    """scikit-learn's AUC-ROC on the frames of the patients drawn, copies and all."""
    rows = np.concatenate([np.flatnonzero(units.patient_U == p) for p in drawn])
    return roc_auc_score(units.label_U[rows], units.score_U[rows])


@pytest.mark.parametrize("level", [lambda u: u, to_videos, to_patients])
def test_resamples_equal_sklearn_on_materialised_units_at_every_level(level):
    units = level(cohort())
    matrix = win_matrix(units.label_U, units.score_U, units.patient_U)
    n_all_patients = len(matrix.n_pos_P)
    found_R = iter(valid_resamples(matrix, 80, seed=5))
    for weight_P in patient_weights(n_all_patients, 80, seed=5):
        drawn = np.repeat(np.unique(units.patient_U), weight_P)
        labels = units.label_U[np.isin(units.patient_U, drawn)]
        if len(set(labels)) == 2:
            assert abs(next(found_R) - materialised(units, drawn)) < 1e-12
    assert next(found_R, None) is None


def test_both_intervals_and_the_error_equal_scipy_on_materialised_frames():
    """scipy draws the same patients from the same seed, and computes BCa by itself."""
    units = cohort(n_all_patients=15, n_frames=150)
    patients = (np.unique(units.patient_U),)
    settings = {"n_resamples": 300, "confidence_level": 0.9, "vectorized": False}
    found = bootstrap_auroc(units, n_resamples=300, confidence=0.9, seed=7)
    assert found.n_one_class == 0
    assert found.estimate == auroc(units.label_U, units.score_U)
    for method, interval in (("percentile", found.percentile), ("BCa", found.bca)):
        oracle = stats.bootstrap(
            patients,
            lambda drawn: materialised(units, drawn),
            method=method,
            rng=np.random.default_rng(7),
            **settings,
        )
        assert interval == pytest.approx(tuple(oracle.confidence_interval), abs=1e-12)
        assert found.standard_error == pytest.approx(oracle.standard_error, abs=1e-12)


@pytest.mark.parametrize("n_all_patients", [5, 40])
def test_percentiles_are_those_of_the_resamples_with_both_classes(n_all_patients):
    units = cohort(n_all_patients, seed=n_all_patients)
    found = bootstrap_auroc(units, n_resamples=200, seed=3)
    matrix = win_matrix(*units[:3])
    all_R = resampled_auroc(matrix, patient_weights(len(matrix.n_pos_P), 200, seed=3))
    valid_R = all_R[~np.isnan(all_R)]
    assert found.percentile == pytest.approx(tuple(np.percentile(valid_R, [2.5, 97.5])))
    assert found.estimate == auroc(units.label_U, units.score_U)
    assert (found.n_resamples, found.n_one_class) == (200, 200 - len(valid_R))


def test_jackknife_equals_leaving_each_patient_out():
    units = cohort()
    found_P = jackknife_auroc(win_matrix(*units[:3]))
    for patient, found in enumerate(found_P):
        kept = units.patient_U != patient
        assert found == auroc(units.label_U[kept], units.score_U[kept])


def test_one_class_resamples_are_counted_and_left_out():
    units = Scored(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.7]), np.array(list("aabb")))
    found = bootstrap_auroc(units, n_resamples=400, seed=0)
    assert found.percentile == (0.75, 0.75)
    assert 150 < found.n_one_class < 250
    assert found.bca is found.bca_expanded is None and "single patient" in found.bca_withheld
    assert (found.n_all_patients, found.n_pos_patients, found.n_neg_patients) == (2, 1, 1)


def test_a_perfect_classifier_has_an_interval_of_no_width():
    label_U = np.arange(20) % 2
    found = bootstrap_auroc(Scored(label_U, label_U.astype(float), np.arange(20)), seed=0)
    assert found.bca_expanded == found.bca == found.percentile == (1.0, 1.0)
    assert found.bca_withheld is None and found.standard_error == 0


def test_bca_without_bias_and_skew_is_the_percentile_interval():
    resampled_R = np.linspace(-1, 1, 2001)
    jackknife_P = np.linspace(-1, 1, 21)
    found = bca_interval(0.0, resampled_R, jackknife_P, 0.95)
    assert found == pytest.approx(Interval(-0.95, 0.95), abs=1e-12)
    assert "one side" in bca_undefined(2.0, resampled_R, jackknife_P)


def test_the_expanded_interval_is_bca_at_the_level_of_students_t():
    for n, confidence in ((24, 0.95), (5, 0.9)):
        reach = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + confidence) / 2, n - 1)
        oracle = 1 - 2 * stats.norm.sf(reach)
        assert expanded_confidence(confidence, n) == pytest.approx(oracle, abs=1e-12)
    assert expanded_confidence(0.95, 10**6) == pytest.approx(0.95, abs=1e-6)
    units = cohort()
    found = bootstrap_auroc(units, n_resamples=200, seed=1)
    scarcer = min(found.n_pos_patients, found.n_neg_patients)
    wider = bootstrap_auroc(
        units, n_resamples=200, confidence=expanded_confidence(0.95, scarcer), seed=1
    )
    assert found.bca_expanded == wider.bca
    assert found.bca_expanded.low < found.bca.low < found.bca.high < found.bca_expanded.high


def test_two_patients_of_a_class_span_all_resamples():
    label_U = np.array([0, 0, 1, 1, 1, 1])
    units = Scored(label_U, np.array([0.1, 0.6, 0.5, 0.7, 0.2, 0.9]), np.arange(6))
    found = bootstrap_auroc(units, seed=0)
    assert (found.n_pos_patients, found.n_neg_patients) == (4, 2)
    resampled_R = valid_resamples(win_matrix(*units[:3]), 2000, seed=0)
    ends = (resampled_R.min(), resampled_R.max())
    assert found.bca_expanded == pytest.approx(ends)


def test_the_seed_decides_and_nothing_ambient_does():
    units = cohort()
    first = bootstrap_auroc(units, n_resamples=50, seed=1)
    np.random.seed(0)
    assert bootstrap_auroc(units, n_resamples=50, seed=1) == first
    assert bootstrap_auroc(units, n_resamples=50, seed=2) != first


def test_order_and_names_of_frames_and_patients_do_not_matter():
    units = cohort()
    first = bootstrap_auroc(units, n_resamples=50, seed=1)
    order = np.random.default_rng(0).permutation(len(units.label_U))
    named_U = np.array([f"p{patient:03d}" for patient in units.patient_U])
    again = Scored(units.label_U[order], units.score_U[order], named_U[order])
    assert bootstrap_auroc(again, n_resamples=50, seed=1) == first


def test_copies_within_a_patient_widen_the_clustered_interval_only():
    """40 patients with 25 copies of one frame each hold 40 frames' worth of information."""
    rng = np.random.default_rng(0)
    label_P = np.arange(40) % 2
    score_P = label_P + rng.normal(size=40)
    label_U, score_U, patient_U = (np.repeat(x, 25) for x in (label_P, score_P, np.arange(40)))
    by_patient = bootstrap_auroc(Scored(label_U, score_U, patient_U), seed=0)
    by_frame = bootstrap_auroc(
        Scored(label_U, score_U, np.arange(len(label_U))), n_resamples=300, seed=0
    )
    assert by_patient.estimate == by_frame.estimate
    widths = [found.percentile.high - found.percentile.low for found in (by_patient, by_frame)]
    assert widths[0] / widths[1] == pytest.approx(5, rel=0.25)  # sqrt(25)


def test_the_percentile_interval_covers_the_truth_about_as_often_as_it_says():
    """AUC of N(1, 1) against N(0, 1) is Phi(1 / sqrt 2) = 0.7602."""
    covered = 0
    for seed in range(100):
        label_U = np.arange(80) % 2
        score_U = label_U + np.random.default_rng(seed).normal(size=80)
        units = Scored(label_U, score_U, np.arange(80))
        low, high = bootstrap_auroc(units, n_resamples=300, seed=seed).percentile
        covered += low <= 0.7602 <= high
    assert 87 <= covered <= 99


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="n_resamples is 1"):
        bootstrap_auroc(cohort(), n_resamples=1, seed=0)
    with pytest.raises(ValueError, match=r"confidence is 1\.5"):
        bootstrap_auroc(cohort(), confidence=1.5, seed=0)


def test_too_few_resamples_with_both_classes_are_an_error():
    units = Scored(np.array([0, 1]), np.array([0.0, 1.0]), np.array(["a", "b"]))
    both = [(patient_weights(2, 2, seed=s) == 1).all(axis=1).sum() for s in range(50)]
    for n in (0, 1):
        with pytest.raises(ValueError, match=f"{n} of 2 resamples of 2 patients has 2 classes"):
            bootstrap_auroc(units, n_resamples=2, seed=both.index(n))


def test_the_study_takes_seconds_and_little_memory():
    """182,346 frames of 124 patients as in the study: under 10 s of one core and 1 GB."""
    rng = np.random.default_rng(0)
    patient_U = np.sort(rng.integers(124, size=182_346))
    label_U = (rng.random(182_346) < np.where(patient_U < 100, 0.44, 0)).astype(np.int8)
    units = Scored(label_U, label_U * 2 + rng.normal(size=182_346), patient_U)
    tracemalloc.start()
    start = time.process_time()
    found = bootstrap_auroc(units, n_resamples=2000, seed=0)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n_all_patients == 124 and found.percentile.low < found.estimate
    assert seconds < 10 and peak < 1e9, (seconds, peak)
