import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lussweep.metrics.auroc import (
    auroc,
    patient_weighted,
    patient_weights,
    resampled_auroc,
    win_matrix,
)

pytestmark = pytest.mark.any_processor


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
def test_patient_weighted_frames_equal_sklearn_with_weights(n_patients):
    label_N, score_N, patient_N = cohort(n_patients, seed=n_patients)
    weight_N = np.array(
        [
            1 / ((patient_N == patient) & (label_N == label)).sum()
            for patient, label in zip(patient_N, label_N, strict=True)
        ]
    )
    matrix = patient_weighted(win_matrix(label_N, score_N, patient_N))
    found = resampled_auroc(matrix, np.ones((1, len(matrix.n_pos_P)), dtype=np.int64))[0]
    assert found == pytest.approx(roc_auc_score(label_N, score_N, sample_weight=weight_N))
    for n_P, label in ((matrix.n_pos_P, 1), (matrix.n_neg_P, 0)):
        assert n_P.dtype == np.int64
        has_P = np.isin(np.unique(patient_N), patient_N[label_N == label])
        assert n_P.tolist() == has_P.astype(int).tolist()


def test_patient_weighted_frames_are_frames_where_all_patients_have_as_many():
    label_N = np.repeat([0, 1, 1, 0, 1, 0], 5)
    score_N = np.round(label_N + np.random.default_rng(0).normal(size=30), 1)
    matrix = win_matrix(label_N, score_N, np.repeat(np.arange(6), 5))
    weighted = patient_weighted(matrix)
    assert weighted.wins_PP.sum() / 9 == pytest.approx(auroc(label_N, score_N), abs=1e-15)
    assert (weighted.wins_PP == matrix.wins_PP / 25).all()


@pytest.mark.parametrize("n_patients", [2, 5, 40])
def test_every_resample_equals_sklearn_on_its_materialised_frames(n_patients):
    label_N, score_N, patient_N = cohort(n_patients, seed=n_patients)
    ids = np.unique(patient_N)
    weight_RP = patient_weights(len(ids), 60, seed=3)
    assert (weight_RP.sum(axis=1) == len(ids)).all()
    found_R = resampled_auroc(win_matrix(label_N, score_N, patient_N), weight_RP)
    for weight_P, found in zip(weight_RP, found_R, strict=True):
        frames = np.concatenate(
            [np.tile(np.flatnonzero(patient_N == p), w) for p, w in zip(ids, weight_P, strict=True)]
        )
        if len(set(label_N[frames])) < 2:
            assert np.isnan(found)
        else:
            assert abs(found - roc_auc_score(label_N[frames], score_N[frames])) < 1e-12


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


def test_patient_ids_of_another_shape_are_refused():
    label_N, score_N, patient_N = cohort()
    with pytest.raises(ValueError, match="patient ids have shape"):
        win_matrix(label_N, score_N, patient_N[:-1])


def test_resamples_are_drawn_by_the_seed_and_nothing_ambient():
    first = patient_weights(12, 50, seed=1)
    np.random.seed(0)
    assert (patient_weights(12, 50, seed=1) == first).all()
    assert (patient_weights(12, 50, seed=2) != first).any()
