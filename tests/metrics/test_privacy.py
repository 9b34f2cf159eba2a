import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lussweep.metrics.privacy import memorisation

pytestmark = pytest.mark.any_processor

N_PATIENTS, N_FEATURES = 12, 6


class Sets(NamedTuple):
    train: np.ndarray
    patient: np.ndarray
    holdout: np.ndarray
    holdout_patient: np.ndarray
    synthetic: np.ndarray


def population(n_frames, seed):
    """Frames around one centre per patient, `n_frames` of each; their ids."""
    rng = np.random.default_rng(seed)
    centre_PD = 3 * rng.normal(size=(len(n_frames), N_FEATURES))
    frame_ND = np.repeat(centre_PD, n_frames, axis=0)
    patient_N = np.repeat([f"{seed}-{p:02d}" for p in range(len(n_frames))], n_frames)
    return frame_ND + rng.normal(size=frame_ND.shape), patient_N


def strangers(n_train, n_holdout, n_synthetic):
    """One frame a patient, of one population in all three: the answer is known."""
    counts = (n_train, n_holdout, n_synthetic)
    train, holdout, synthetic = (population([1] * n, seed) for seed, n in enumerate(counts))
    return Sets(*train, *holdout, synthetic[0])


@pytest.fixture
def sets():
    """Patients of 1 to 12 frames; as many frames in all sets, so that none is cut."""
    n_frames = np.arange(1, N_PATIENTS + 1)
    train, holdout = population(n_frames, seed=0), population(n_frames[::-1], seed=1)
    return Sets(*train, *holdout, population(n_frames, seed=2)[0])


def loop_scores(train, patient, synthetic):
    """Distances to the nearest training frames and both authenticities, on full matrices."""
    own, to_train = cdist(train, train), cdist(synthetic, train)
    np.fill_diagonal(own, np.inf)
    across = np.where(patient[:, None] == patient[None], np.inf, own)
    nearest, distance = to_train.argmin(axis=1), to_train.min(axis=1)
    authentic, authentic_across = (
        (distance > neighbour.min(axis=1)[nearest]).mean() for neighbour in (own, across)
    )
    return distance, authentic, authentic_across


@pytest.mark.parametrize("block_size", [None, 7, 50])
def test_equals_the_definitions_on_full_matrices(sets, block_size):
    found = memorisation(*sets, seed=0, block_size=block_size)
    distance, authentic, across = loop_scores(sets.train, sets.patient, sets.synthetic)
    assert (found.authenticity, found.authenticity_across_patients) == (authentic, across)
    to_holdout = cdist(sets.synthetic, sets.holdout).min(axis=1)
    assert found.n_compared == len(sets.train)
    assert found.ratio_median == pytest.approx(np.median(distance / to_holdout))
    assert found.nearer_train_share == (distance < to_holdout).mean()


def test_a_fresh_sample_is_no_nearer_to_train_than_to_holdout():
    """5 standard errors of a share over 300 frames are 0.14."""
    found = memorisation(*strangers(300, 300, 300), seed=0)
    assert found.nearer_train_share == pytest.approx(0.5, abs=0.14)
    assert found.ratio_median == pytest.approx(1, abs=0.1)
    assert found.authenticity == pytest.approx(0.5, abs=0.14)
    assert found.authenticity == found.authenticity_across_patients


# --- authenticity and copies --------------------------------------------------------------


def test_near_duplicates_within_a_training_patient_hide_what_other_patients_show(sets):
    """A second, jittered copy of every frame."""
    jitter = 1e-6 * np.random.default_rng(3).normal(size=sets.train.shape)
    doubled = sets._replace(
        train=np.concatenate([sets.train, sets.train + jitter]), patient=np.tile(sets.patient, 2)
    )
    plain, found = memorisation(*sets, seed=0), memorisation(*doubled, seed=0)
    assert found.authenticity == 1  # every frame now has a nearer neighbour than any synthetic one
    assert found.authenticity_across_patients == pytest.approx(
        plain.authenticity_across_patients, abs=0.02
    )


def test_exact_copies_are_not_authentic(sets):
    source = np.array([3, 14, 15, 72, 65])
    mixed = np.concatenate([sets.synthetic, sets.train[source]])
    without = memorisation(*sets, seed=0)
    found = memorisation(*sets._replace(synthetic=mixed), seed=0)
    share = len(source) / len(mixed)
    assert found.authenticity == pytest.approx(without.authenticity * (1 - share))
    assert found.authenticity_across_patients == pytest.approx(
        without.authenticity_across_patients * (1 - share)
    )


def test_a_set_of_copies_is_all_memorised(sets):
    found = memorisation(*sets._replace(synthetic=sets.train[::-1]), seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (0, 1)
    assert (found.authenticity, found.authenticity_across_patients) == (0, 0)


def test_copies_with_the_rounding_of_another_batch_size_are_exact(sets):
    train, holdout = (x.astype(np.float32) for x in (sets.train, sets.holdout))
    jittered = train * np.float32(1 + 1e-7)
    found = memorisation(train, sets.patient, holdout, sets.holdout_patient, jittered, seed=0)
    assert (found.ratio_median, found.authenticity) == (0, 0)


def test_copies_of_the_holdout_are_the_mirror_image(sets):
    found = memorisation(*sets._replace(synthetic=sets.holdout), seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (np.inf, 0)


def test_a_tie_between_train_and_holdout_counts_half(sets):
    alike = sets._replace(holdout=sets.train)
    found = memorisation(*alike, seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (1, 0.5)
    found = memorisation(*alike._replace(synthetic=sets.train), seed=0)
    assert (found.ratio_median, found.nearer_train_share) == (1, 0.5)  # 0 / 0


def test_a_copy_of_a_duplicated_frame_is_inauthentic(sets):
    """It is as near to the frame as the frame's duplicate is, of its own or another patient."""
    train = sets.train.copy()
    train[2] = train[-1] = train[1]
    found = memorisation(*sets._replace(train=train, synthetic=train[1:2]), seed=0)
    assert (found.authenticity, found.authenticity_across_patients) == (0, 0)


def test_one_training_patient_leaves_only_what_is_between_patients_unknown(sets):
    """What is found among all training frames is as if they were of several patients."""
    one = sets._replace(patient=np.full(len(sets.patient), "p"))
    plain, found = memorisation(*sets, seed=0), memorisation(*one, seed=0)
    assert math.isnan(found.authenticity_across_patients)
    assert found.authenticity == plain.authenticity


# --- draws, order, input -------------------------------------------------------------------


def test_the_larger_set_is_cut_to_the_size_of_the_smaller():
    """One population in all three: without the cut, three times the frames would lie nearer."""
    for n_train, n_holdout in ((300, 100), (100, 300)):
        sets = strangers(n_train, n_holdout, 300)
        found = memorisation(*sets, seed=0)
        assert found.n_compared == 100
        assert found.nearer_train_share == pytest.approx(0.5, abs=0.14)


def test_few_training_patients_meet_as_few_holdout_patients():
    """Fresh patients are nearer to train as often as not, though the holdout has ten times as many
    patients: the mean over 40 populations is within 0.1 of a half. Cut by frames alone, the holdout
    would keep nearly all of its patients and win far more often."""
    shares = []
    for seed in range(40):
        train, holdout, fresh = (
            population([10] * n, 3 * seed + i) for i, n in enumerate((6, 60, 60))
        )
        found = memorisation(*train, *holdout, fresh[0], seed=seed)
        assert found.n_compared == 60
        shares.append(found.nearer_train_share)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)


def test_the_seed_decides_the_draw_and_nothing_ambient_does(sets):
    sets = sets._replace(holdout=sets.holdout[:40], holdout_patient=sets.holdout_patient[:40])
    first = memorisation(*sets, seed=1)
    np.random.seed(0)
    again = memorisation(*sets, seed=1)
    other = memorisation(*sets, seed=2)
    assert again.ratio_median == first.ratio_median
    assert again.nearer_train_share == first.nearer_train_share
    assert first.ratio_median != other.ratio_median
    assert first.authenticity == other.authenticity


def test_order_of_frames_does_not_matter(sets):
    rng = np.random.default_rng(5)
    order, turned = rng.permutation(len(sets.train)), rng.permutation(len(sets.holdout))
    moved = Sets(
        sets.train[order],
        sets.patient[order],
        sets.holdout[turned],
        sets.holdout_patient[turned],
        sets.synthetic,
    )
    plain, found = memorisation(*sets, seed=0), memorisation(*moved, seed=0)
    assert found.authenticity == plain.authenticity
    assert found.authenticity_across_patients == plain.authenticity_across_patients
    assert found.ratio_median == pytest.approx(plain.ratio_median)


def test_tensors_and_ids_of_other_types_are_taken(sets):
    plain = memorisation(*sets, seed=0)
    numbers = [np.unique(x, return_inverse=True)[1] for x in (sets.patient, sets.holdout_patient)]
    train, holdout, synthetic = map(torch.from_numpy, (sets.train, sets.holdout, sets.synthetic))
    found = memorisation(
        train, numbers[0], holdout, numbers[1], synthetic, seed=0, device=torch.device("cpu")
    )
    assert found.ratio_median == plain.ratio_median
    assert found.authenticity_across_patients == plain.authenticity_across_patients


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient": np.array(["p", "q"])}, r"78 train frames, patient ids of shape \(2,\)"),
        ({"holdout_patient": np.full((78, 1), "p")}, r"78 holdout frames, .* shape \(78, 1\)"),
        ({"holdout": np.ones((4, 3))}, "differ in their number of features.*'holdout': 3"),
        ({"synthetic": np.full((4, 6), np.nan)}, "synthetic features hold a value"),
        ({"train": np.ones(6)}, "train features have shape"),
    ],
)
def test_bad_input_is_refused(sets, change, message):
    with pytest.raises(ValueError, match=message):
        memorisation(*sets._replace(**change), seed=0)
