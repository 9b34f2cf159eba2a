import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lussweep.metrics.privacy import memorisation

N_PATIENTS, N_FRAMES, N_FEATURES = 12, 10, 6


def population(n_patients, seed, n_frames=N_FRAMES, jitter=1.0):
    """Frames around one centre per patient; their ids."""
    rng = np.random.default_rng(seed)
    centre_PD = 3 * rng.normal(size=(n_patients, N_FEATURES))
    frame_ND = np.repeat(centre_PD, n_frames, axis=0)
    patient_N = np.repeat([f"p{p:02d}" for p in range(n_patients)], n_frames)
    return frame_ND + jitter * rng.normal(size=frame_ND.shape), patient_N


@pytest.fixture
def sets():
    train, patient = population(N_PATIENTS, seed=0)
    holdout, _ = population(N_PATIENTS, seed=1)
    synthetic, _ = population(N_PATIENTS, seed=2)
    return train, patient, holdout, synthetic


def loop_scores(train, patient, synthetic, quantile):
    """Threshold, copies and both authenticities by the definitions, on full matrices."""
    own, to_train = cdist(train, train), cdist(synthetic, train)
    np.fill_diagonal(own, np.inf)
    across = np.where(patient[:, None] == patient[None], np.inf, own)
    threshold = np.quantile(across.min(axis=1), quantile)
    nearest, distance = to_train.argmin(axis=1), to_train.min(axis=1)
    copies = dict.fromkeys(sorted(set(patient)), 0)
    for k in np.flatnonzero(distance <= threshold):
        copies[patient[nearest[k]]] += 1
    authentic = (distance > own.min(axis=1)[nearest]).mean()
    return (
        threshold,
        nearest,
        distance,
        copies,
        authentic,
        (distance > across.min(axis=1)[nearest]).mean(),
    )


@pytest.mark.parametrize("block_size", [None, 7, 50])
@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.9])
def test_equals_the_definitions_on_full_matrices(sets, quantile, block_size):
    train, patient, holdout, synthetic = sets
    found = memorisation(*sets, copy_quantile=quantile, seed=0, block_size=block_size)
    threshold, nearest, distance, copies, authentic, across = loop_scores(
        train, patient, synthetic, quantile
    )
    assert found.copy_threshold == pytest.approx(threshold)
    assert (found.nearest_train_K == nearest).all()
    np.testing.assert_allclose(found.distance_K, distance)
    assert found.copies_per_patient == copies
    assert found.copy_share == sum(copies.values()) / len(synthetic) == found.is_copy_K.mean()
    assert (found.authenticity, found.authenticity_across_patients) == (authentic, across)
    to_holdout = cdist(synthetic, holdout).min(axis=1)  # equally many: nothing is cut
    assert found.n_compared == len(train)
    assert found.ratio_median == pytest.approx(np.median(distance / to_holdout))
    assert found.nearer_train_share == (distance < to_holdout).mean()


def test_a_fresh_sample_is_no_nearer_to_train_than_to_holdout():
    """300 patients of one frame each: 5 standard errors of a share over 300 frames are 0.14."""
    train, patient = population(300, seed=0, n_frames=1)
    holdout, synthetic = population(300, 1, n_frames=1)[0], population(300, 2, n_frames=1)[0]
    found = memorisation(train, patient, holdout, synthetic, seed=0)
    assert found.nearer_train_share == pytest.approx(0.5, abs=0.14)
    assert found.ratio_median == pytest.approx(1, abs=0.1)
    assert found.copy_share < 0.04
    assert found.authenticity == pytest.approx(0.5, abs=0.14)
    assert found.authenticity == found.authenticity_across_patients


def test_exact_copies_are_counted_and_laid_to_their_patients(sets):
    train, patient, holdout, synthetic = sets
    source = np.array([3, 14, 15, 92, 65])
    mixed = np.concatenate([synthetic, train[source]])
    without = memorisation(train, patient, holdout, synthetic, seed=0)
    found = memorisation(train, patient, holdout, mixed, seed=0)
    assert (found.nearest_train_K[-5:] == source).all()
    assert (found.distance_K[-5:] == 0).all() and found.is_copy_K[-5:].all()
    gained = {
        p: found.copies_per_patient[p] - without.copies_per_patient[p]
        for p in found.copies_per_patient
    }
    assert gained == {p: int((patient[source] == p).sum()) for p in gained}
    assert set(gained) == set(patient) and 0 in gained.values()
    share = len(source) / len(mixed)
    assert found.authenticity == pytest.approx(without.authenticity * (1 - share))
    assert found.authenticity_across_patients == pytest.approx(
        without.authenticity_across_patients * (1 - share)
    )


def test_a_set_of_copies_is_all_memorised(sets):
    train, patient, holdout, _ = sets
    found = memorisation(train, patient, holdout, train[::-1], seed=0)
    assert (found.ratio_median, found.nearer_train_share, found.copy_share) == (0, 1, 1)
    assert (found.authenticity, found.authenticity_across_patients) == (0, 0)
    assert found.copies_per_patient == dict.fromkeys(sorted(set(patient)), N_FRAMES)


def test_copies_with_the_rounding_of_another_batch_size_are_exact(sets):
    train, patient, holdout, _ = (np.asarray(x) for x in sets)
    train = train.astype(np.float32)
    jittered = train * np.float32(1 + 1e-7)
    found = memorisation(train, patient, holdout.astype(np.float32), jittered, seed=0)
    assert found.copy_share == 1 and (found.distance_K == 0).all()


def test_copies_of_the_holdout_are_the_mirror_image(sets):
    train, patient, holdout, _ = sets
    found = memorisation(train, patient, holdout, holdout, seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (np.inf, 0)


def test_a_tie_between_train_and_holdout_counts_half(sets):
    train, patient, _, synthetic = sets
    found = memorisation(train, patient, train, synthetic, seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (1, 0.5)
    found = memorisation(train, patient, train, train, seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (1, 0.5)  # 0 / 0


def test_near_duplicates_within_a_patient_do_not_move_the_threshold(sets):
    """A second, jittered copy of every frame: nearly no distance between patients shrinks."""
    train, patient, holdout, synthetic = sets
    jitter = 1e-6 * np.random.default_rng(3).normal(size=train.shape)
    doubled = np.concatenate([train, train + jitter])
    plain = memorisation(train, patient, holdout, synthetic, copy_quantile=0.1, seed=0)
    found = memorisation(
        doubled, np.tile(patient, 2), holdout, synthetic, copy_quantile=0.1, seed=0
    )
    assert found.copy_threshold == pytest.approx(plain.copy_threshold, rel=0.05)
    assert found.authenticity == 1  # every frame now has a nearer neighbour than any synthetic one
    assert found.authenticity_across_patients == pytest.approx(
        plain.authenticity_across_patients, abs=0.02
    )


def test_a_copy_of_a_duplicated_frame_is_inauthentic(sets):
    """It is as near to the frame as the frame's duplicate is, of its own or another patient."""
    train, patient, holdout, _ = sets
    train = train.copy()
    train[1] = train[-1] = train[0]
    found = memorisation(train, patient, holdout, train[:1], seed=0)
    assert (found.authenticity, found.authenticity_across_patients) == (0, 0)
    assert found.nearest_train_K.tolist() == [0]  # of equally near frames the first


def test_an_exact_copy_counts_where_the_threshold_is_zero(sets):
    """Two patients share a frame, so real frames themselves are 0 apart."""
    train, patient, holdout, synthetic = sets
    train = train.copy()
    train[0] = train[-1]
    mixed = np.concatenate([synthetic, train[5:6]])
    found = memorisation(train, patient, holdout, mixed, copy_quantile=0.0, seed=0)
    assert found.copy_threshold == 0
    assert found.is_copy_K.tolist() == [False] * len(synthetic) + [True]


def test_the_larger_set_is_cut_to_the_size_of_the_smaller(sets):
    """One population in all three: without the cut, three times the frames would lie nearer."""
    train, patient = population(300, seed=0, n_frames=1)
    synthetic = population(300, seed=2, n_frames=1)[0]
    for n_train, n_holdout in ((300, 100), (100, 300)):
        holdout = population(n_holdout, seed=1, n_frames=1)[0]
        found = memorisation(train[:n_train], patient[:n_train], holdout, synthetic, seed=0)
        assert found.n_compared == 100
        assert found.nearer_train_share == pytest.approx(0.5, abs=0.14)
        # copies are looked for among all training frames
        expected = cdist(synthetic, train[:n_train]).min(axis=1)
        np.testing.assert_allclose(found.distance_K, expected)


def test_the_seed_decides_the_draw_and_nothing_ambient_does(sets):
    train, patient, holdout, synthetic = sets
    first = memorisation(train, patient, holdout[:40], synthetic, seed=1)
    np.random.seed(0)
    again = memorisation(train, patient, holdout[:40], synthetic, seed=1)
    other = memorisation(train, patient, holdout[:40], synthetic, seed=2)
    assert again.ratio_median == first.ratio_median
    assert again.nearer_train_share == first.nearer_train_share != other.nearer_train_share
    assert other.copy_share == first.copy_share


def test_order_of_frames_does_not_matter(sets):
    train, patient, holdout, synthetic = sets
    order = np.random.default_rng(5).permutation(len(train))
    plain = memorisation(train, patient, holdout, synthetic, copy_quantile=0.1, seed=0)
    found = memorisation(
        train[order], patient[order], holdout[::-1], synthetic, copy_quantile=0.1, seed=0
    )
    assert (order[found.nearest_train_K] == plain.nearest_train_K).all()
    assert found.copies_per_patient == plain.copies_per_patient
    assert found.authenticity_across_patients == plain.authenticity_across_patients
    assert found.ratio_median == pytest.approx(plain.ratio_median)


def test_tensors_and_ids_of_other_types_are_taken(sets):
    train, patient, holdout, synthetic = sets
    plain = memorisation(*sets, seed=0)
    number = np.unique(patient, return_inverse=True)[1]
    tensors = [torch.from_numpy(x) for x in (train, holdout, synthetic)]
    found = memorisation(tensors[0], number, *tensors[1:], seed=0, device=torch.device("cpu"))
    assert found.ratio_median == plain.ratio_median
    assert list(found.copies_per_patient.values()) == list(plain.copies_per_patient.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_patient_N": np.full(120, "p")}, "the train frames are of one"),
        (
            {"train_patient_N": np.array(["p", "q"])},
            r"120 train frames, patient ids of shape \(2,\)",
        ),
        ({"copy_quantile": 1.5}, "copy_quantile is 1.5"),
        ({"holdout_MD": np.ones((4, 3))}, "differ in their number of features.*'holdout': 3"),
        ({"synthetic_KD": np.full((4, 6), np.nan)}, "synthetic features hold a value"),
        ({"train_ND": np.ones(6)}, "train features have shape"),
    ],
)
def test_bad_input_is_refused(sets, change, message):
    names = ("train_ND", "train_patient_N", "holdout_MD", "synthetic_KD")
    arguments = dict(zip(names, sets, strict=True)) | {"seed": 0} | change
    with pytest.raises(ValueError, match=message):
        memorisation(**arguments)
