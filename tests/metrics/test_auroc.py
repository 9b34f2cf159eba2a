import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lussweep.metrics.auroc import (
    auroc,
    clustered_auroc,
    patient_weights,
    resampled_auroc,
    win_matrix,
)


def won(a, b):
    return 1.0 if a > b else 0.5 if a == b else 0.0


def pair_count_auroc(label_N, score_N):
    pos, neg = score_N[label_N == 1], score_N[label_N == 0]
    return sum(won(a, b) for a in pos for b in neg) / (len(pos) * len(neg))


def cohort(n_patients=12, n_frames=200, seed=0, decimals=1):
    """Frames of patients, some of a single class, with many tied scores."""
    rng = np.random.default_rng(seed)
    patient_N = rng.integers(n_patients, size=n_frames)
    label_N = (rng.random(n_frames) < (patient_N % 3) / 2).astype(np.int64)
    score_N = np.round(label_N * 0.5 + rng.normal(size=n_frames), decimals)
    return label_N, score_N, np.array([f"p{p:03d}" for p in patient_N])


labelled_scores = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(labelled_scores)
def test_equals_pair_counting_exactly_and_sklearn(pairs):
    label_N = np.array([label for label, _ in pairs])
    score_N = np.array([score for _, score in pairs], dtype=np.float32)
    assert auroc(label_N, score_N) == pair_count_auroc(label_N, score_N)
    assert auroc(label_N, score_N) == pytest.approx(roc_auc_score(label_N, score_N), abs=1e-12)


def test_perfect_worst_and_constant_scores():
    label_N = np.array([0, 0, 1, 1])
    assert auroc(label_N, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auroc(label_N, np.array([0.4, 0.3, 0.2, 0.1])) == 0.0
    assert auroc(label_N, np.full(4, 0.7)) == 0.5


def test_a_rising_transform_changes_nothing_and_a_negation_mirrors():
    label_N, score_N, _ = cohort()
    assert auroc(label_N, np.exp(score_N)) == auroc(label_N, score_N)
    assert auroc(label_N, -score_N) == pytest.approx(1 - auroc(label_N, score_N), abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_win_matrix_equals_brute_force(seed):
    label_N, score_N, patient_N = cohort(n_patients=6, n_frames=60, seed=seed)
    matrix = win_matrix(label_N, score_N, patient_N)
    ids = sorted(set(patient_N))
    expected = np.zeros((len(ids), len(ids)))
    for i in np.flatnonzero(label_N == 1):
        for j in np.flatnonzero(label_N == 0):
            p, q = ids.index(patient_N[i]), ids.index(patient_N[j])
            expected[p, q] += won(score_N[i], score_N[j])
    assert (matrix.wins_PP == expected).all()
    assert matrix.n_pos_P.tolist() == [sum(label_N[patient_N == p]) for p in ids]
    assert matrix.n_neg_P.tolist() == [sum(1 - label_N[patient_N == p]) for p in ids]


def test_win_matrix_sums_to_the_auroc():
    label_N, score_N, patient_N = cohort()
    matrix = win_matrix(label_N, score_N, patient_N)
    n_pairs = matrix.n_pos_P.sum() * matrix.n_neg_P.sum()
    assert matrix.wins_PP.sum() / n_pairs == auroc(label_N, score_N)


@pytest.mark.parametrize("n_patients", [2, 5, 40])
def test_every_resample_equals_sklearn_on_its_materialised_frames(n_patients):
    label_N, score_N, patient_N = cohort(n_patients, seed=n_patients)
    ids = np.unique(patient_N)
    weight_RP = patient_weights(len(ids), 60, seed=3)
    assert (weight_RP.sum(axis=1) == len(ids)).all()
    found_R = resampled_auroc(win_matrix(label_N, score_N, patient_N), weight_RP)
    n_one_class = 0
    for weight_P, found in zip(weight_RP, found_R, strict=True):
        frames = np.concatenate(
            [np.tile(np.flatnonzero(patient_N == p), w) for p, w in zip(ids, weight_P, strict=True)]
        )
        if len(set(label_N[frames])) < 2:
            n_one_class += 1
            assert np.isnan(found)
        else:
            assert abs(found - roc_auc_score(label_N[frames], score_N[frames])) < 1e-12
    result = clustered_auroc(label_N, score_N, patient_N, n_resamples=60, seed=3)
    valid = found_R[~np.isnan(found_R)]
    assert result.auroc == auroc(label_N, score_N)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(valid, [2.5, 97.5])))
    assert (result.n_resamples, result.n_one_class) == (60, n_one_class)


def test_resamples_of_a_single_class_are_counted_and_left_out():
    label_N, patient_N = np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "b"])
    result = clustered_auroc(
        label_N, np.array([0.1, 0.6, 0.5, 0.7]), patient_N, n_resamples=400, seed=0
    )
    assert (result.auroc, result.low, result.high) == (0.75, 0.75, 0.75)
    assert 150 < result.n_one_class < 250  # half of them in expectation


def test_the_seed_decides_and_nothing_ambient_does():
    frames = cohort()
    first = clustered_auroc(*frames, n_resamples=50, seed=1)
    np.random.seed(0)
    assert clustered_auroc(*frames, n_resamples=50, seed=1) == first
    assert clustered_auroc(*frames, n_resamples=50, seed=2) != first


def test_order_and_names_of_frames_and_patients_do_not_matter():
    label_N, score_N, patient_N = cohort()
    first = clustered_auroc(label_N, score_N, patient_N, n_resamples=50, seed=1)
    order = np.random.default_rng(0).permutation(len(label_N))
    number_N = np.unique(patient_N, return_inverse=True)[1]
    again = clustered_auroc(label_N[order], score_N[order], number_N[order], n_resamples=50, seed=1)
    assert again == first


def test_copies_within_a_patient_widen_the_clustered_interval_only():
    """40 patients with 25 copies of one frame each hold 40 frames' worth of information."""
    rng = np.random.default_rng(0)
    label_P = np.arange(40) % 2
    score_P = label_P + rng.normal(size=40)
    label_N, score_N, patient_N = (np.repeat(x, 25) for x in (label_P, score_P, np.arange(40)))
    by_patient = clustered_auroc(label_N, score_N, patient_N, seed=0)
    by_frame = clustered_auroc(label_N, score_N, np.arange(len(label_N)), n_resamples=300, seed=0)
    assert by_patient.auroc == by_frame.auroc
    ratio = (by_patient.high - by_patient.low) / (by_frame.high - by_frame.low)
    assert ratio == pytest.approx(5, rel=0.25)  # sqrt(25)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """AUC of N(1, 1) against N(0, 1) is Phi(1 / sqrt 2) = 0.7602."""
    covered = 0
    for seed in range(100):
        label_N = np.arange(80) % 2
        score_N = label_N + np.random.default_rng(seed).normal(size=80)
        result = clustered_auroc(label_N, score_N, np.arange(80), n_resamples=300, seed=seed)
        covered += result.low <= 0.7602 <= result.high
    assert 87 <= covered <= 99


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([1, 1], [0.1, 0.2], "both classes are needed"),
        ([], [], "both classes are needed"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, np.nan], "not finite"),
        ([0, 1], [0.1, 0.2, 0.3], "labels have shape"),
    ],
)
def test_bad_input_is_refused(label, score, message):
    label_N, score_N = np.array(label), np.array(score)
    with pytest.raises(ValueError, match=message):
        auroc(label_N, score_N)
    with pytest.raises(ValueError, match=message):
        win_matrix(label_N, score_N, np.arange(len(label_N)))


def test_bad_bootstrap_settings_are_refused():
    frames = cohort()
    with pytest.raises(ValueError, match="patient ids have shape"):
        win_matrix(frames[0], frames[1], frames[2][:-1])
    with pytest.raises(ValueError, match="n_resamples is 0"):
        clustered_auroc(*frames, n_resamples=0, seed=0)
    with pytest.raises(ValueError, match=r"confidence 1\.0"):
        clustered_auroc(*frames, confidence=1.0, seed=0)


def test_no_resample_with_both_classes_is_an_error():
    label_N, patient_N = np.array([0, 1]), np.array(["a", "b"])
    seeds = [s for s in range(50) if (patient_weights(2, 1, seed=s) != 1).all()]
    with pytest.raises(ValueError, match="none of 1 resamples of 2 patients"):
        clustered_auroc(label_N, np.array([0.0, 1.0]), patient_N, n_resamples=1, seed=seeds[0])
