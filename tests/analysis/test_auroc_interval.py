import time
import tracemalloc

import numpy as np
import pytest

from lussweep.analysis.auroc_interval import auroc_interval, won_by_patient
from lussweep.analysis.effective import PRIOR_DF
from lussweep.metrics.auroc import auroc, patient_weighted, win_matrix


def cohort(n_all_patients=24, n_frames=400, seed=0):
    """Frames of patients, a third of them with both classes, with many tied scores."""
    rng = np.random.default_rng(seed)
    patient_U = rng.integers(n_all_patients, size=n_frames)
    label_U = (rng.random(n_frames) < (patient_U % 3) / 2).astype(np.int64)
    return label_U, np.round(label_U + rng.normal(size=n_frames), 1), patient_U


def interval_of(label_U, score_U, patient_U, **options):
    return auroc_interval(won_by_patient(win_matrix(label_U, score_U, patient_U)), **options)


def width(found):
    return found.interval.high - found.interval.low


def test_the_estimate_and_the_counts_are_those_of_the_frames():
    label_U, score_U, patient_U = cohort()
    found = interval_of(label_U, score_U, patient_U)
    assert found.estimate == pytest.approx(auroc(label_U, score_U), abs=1e-15)
    for label, n, n_effective in (
        (1, found.n_pos_patients, found.n_effective_pos),
        (0, found.n_neg_patients, found.n_effective_neg),
    ):
        m_P = np.unique(patient_U[label_U == label], return_counts=True)[1]
        assert n == len(m_P)
        assert n_effective == pytest.approx(m_P.sum() ** 2 / (m_P**2).sum())
    low, high = found.interval
    assert low < found.estimate < high


@pytest.mark.parametrize("n", [5, 6, 24])
def test_a_perfect_auc_has_an_upper_end_of_one_and_no_certainty(n):
    label_P = np.repeat([0, 1], n)
    found = interval_of(label_P, label_P * 1.0, np.arange(2 * n))
    assert found.estimate == found.interval.high == 1
    assert 0.4 < found.interval.low < 1 - 2 / n
    assert found.standard_error is None
    inverted = interval_of(label_P, -1.0 * label_P, np.arange(2 * n))
    assert inverted.interval == pytest.approx((0, 1 - found.interval.low))


def test_labels_that_are_flipped_mirror_the_interval():
    label_U, score_U, patient_U = cohort()
    found, flipped = (
        interval_of(label_U, score_U, patient_U),
        interval_of(1 - label_U, score_U, patient_U),
    )
    assert flipped.estimate == pytest.approx(1 - found.estimate)
    assert flipped.interval == pytest.approx((1 - found.interval.high, 1 - found.interval.low))
    assert flipped.standard_error == pytest.approx(found.standard_error)


def test_names_and_order_of_patients_and_a_rising_transform_do_not_matter():
    label_U, score_U, patient_U = cohort()
    found = interval_of(label_U, score_U, patient_U)
    order = np.random.default_rng(0).permutation(len(label_U))
    named_U = np.array([f"q{99 - patient:02d}" for patient in patient_U])
    again = interval_of(label_U[order], np.exp(score_U[order]), named_U[order])
    assert again.interval == pytest.approx(found.interval, abs=1e-12)


def test_more_patients_are_narrower_and_copies_of_frames_are_not():
    label_U, score_U, patient_U = cohort()
    found = interval_of(label_U, score_U, patient_U)
    twice = [np.concatenate([x, x]) for x in (label_U, score_U)]
    more = interval_of(*twice, np.concatenate([patient_U, patient_U + 100]))
    copies = interval_of(*twice, np.concatenate([patient_U, patient_U]))
    assert width(more) < 0.8 * width(found)
    assert copies.interval == pytest.approx(found.interval)


def test_one_frame_a_patient_has_delongs_variance():
    rng = np.random.default_rng(0)
    pos, neg = rng.normal(size=300) + 0.2, rng.normal(size=200)
    won_MN = (pos[:, None] > neg) * 1.0
    delong = won_MN.mean(axis=1).var(ddof=1) / 300 + won_MN.mean(axis=0).var(ddof=1) / 200
    found = interval_of(np.repeat([1, 0], [300, 200]), np.concatenate([pos, neg]), np.arange(500))
    assert found.standard_error == pytest.approx(delong**0.5, rel=PRIOR_DF / 100)
    normal = 2 * 1.96 * delong**0.5
    assert width(found) == pytest.approx(normal, rel=0.03)


def test_patients_with_frames_of_both_classes_share_what_moves_both():
    """The same frames under other names have no covariance; a jackknife over patients knows it."""
    rng = np.random.default_rng(1)
    patient_U = np.repeat(np.arange(60), 8)
    label_U = np.tile([1, 0], 240)
    score_U = label_U + 2 * rng.normal(size=60)[patient_U] + rng.normal(size=480)
    found = interval_of(label_U, score_U, patient_U)
    apart = interval_of(label_U, score_U, patient_U + 60 * label_U)
    without_P = [
        auroc(label_U[patient_U != p], score_U[patient_U != p]) for p in np.unique(patient_U)
    ]
    jackknife = (59 * np.var(without_P)) ** 0.5
    assert found.standard_error == pytest.approx(jackknife, rel=0.15)
    assert found.standard_error < 0.75 * apart.standard_error


def test_patients_who_weigh_alike_are_counted_whatever_their_frames():
    rng = np.random.default_rng(0)
    n_frames_P = np.concatenate([[500], rng.integers(1, 20, size=39)])
    patient_U = np.repeat(np.arange(40), n_frames_P)
    label_U = (patient_U % 2).astype(np.int64)
    score_U = label_U + rng.normal(size=40)[patient_U] + rng.normal(size=len(patient_U))
    matrix = win_matrix(label_U, score_U, patient_U)
    frames, weighted = (
        auroc_interval(won_by_patient(m)) for m in (matrix, patient_weighted(matrix))
    )
    assert weighted.n_effective_neg == weighted.n_neg_patients == 20 > 2 * frames.n_effective_neg
    assert width(weighted) < width(frames)


def test_under_five_patients_of_a_class_there_is_no_interval():
    label_P = np.array([1] * 9 + [0] * 4)
    score_P = np.arange(13.0) % 5
    found = interval_of(label_P, score_P, np.arange(13))
    assert found.estimate == auroc(label_P, score_P)
    assert found.interval is found.standard_error is None
    assert found.withheld == "4 patients with negative frames: an interval needs 5"


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"confidence is 1\.5"):
        interval_of(*cohort(), confidence=1.5)
    matrix = win_matrix(*cohort())
    with pytest.raises(ValueError, match="both classes"):
        auroc_interval(won_by_patient(matrix._replace(n_neg_P=0 * matrix.n_neg_P)))


def test_more_confidence_is_wider():
    widths = [width(interval_of(*cohort(), confidence=c)) for c in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths)


def test_the_study_takes_seconds_and_little_memory():
    """182,346 frames of 124 patients as in the study: under 10 s of one core and 1 GB."""
    rng = np.random.default_rng(0)
    patient_U = np.sort(rng.integers(124, size=182_346))
    label_U = (rng.random(182_346) < np.where(patient_U < 100, 0.44, 0)).astype(np.int8)
    score_U = label_U * 2 + rng.normal(size=182_346)
    tracemalloc.start()
    start = time.process_time()
    found = interval_of(label_U, score_U, patient_U)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.interval.low < found.estimate
    assert seconds < 10 and peak < 1e9, (seconds, peak)
