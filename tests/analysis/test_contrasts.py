import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lussweep.analysis.bootstrap import expanded_confidence, percentile_interval
from lussweep.analysis.contrasts import (
    bootstrap_p_value,
    contrast,
    holm,
    mean_effect,
    non_inferiority,
)
from lussweep.analysis.levels import Scored, to_patients, to_videos
from lussweep.analysis.paired import pair_up
from lussweep.metrics.auroc import patient_weights
from lussweep.study.keys import derive_seed


def cells(n_replicates=3, gain=0.3, n_patients=20, n_frames=240, seed=0):
    """Variants d and e on the same frames; e separates the classes better by `gain`."""
    rng = np.random.default_rng(seed)
    patient_U = rng.integers(n_patients, size=n_frames)
    label_U = (rng.random(n_frames) < (patient_U % 3) / 2).astype(np.int64)
    ids = (patient_U, rng.integers(2, size=n_frames), np.arange(n_frames))
    shared_U = label_U + rng.normal(size=n_patients)[patient_U] + rng.normal(size=n_frames)
    return {
        (variant, replicate): Scored(
            label_U,
            np.round(shared_U + more * label_U + 0.5 * rng.normal(size=n_frames), 1),
            *ids,
        )
        for replicate in range(1, n_replicates + 1)
        for variant, more in (("d", 0.0), ("e", gain))
    }


def materialised(given, replicates, drawn):
    """Mean over replicates of scikit-learn's differences on the frames of the patients drawn."""
    patient_U = given["d", 1].patient_U
    rows = np.concatenate([np.flatnonzero(patient_U == p) for p in drawn])
    label = given["d", 1].label_U[rows]
    return np.mean(
        [
            roc_auc_score(label, given["e", k].score_U[rows])
            - roc_auc_score(label, given["d", k].score_U[rows])
            for k in replicates
        ]
    )


def test_effect_and_both_intervals_equal_scipy_on_materialised_frames():
    given, replicates = cells(), (1, 2, 3)
    found = contrast(pair_up(given), "e", "d", n_resamples=100, seed=11)
    assert found.n_one_class == 0 and found.replicates == replicates
    wider = expanded_confidence(0.95, min(found.n_pos_patients, found.n_neg_patients))
    expanded = contrast(pair_up(given), "e", "d", n_resamples=100, confidence=wider, seed=11)
    assert found.percentile_expanded == expanded.percentile
    assert found.difference == pytest.approx(materialised(given, replicates, range(20)), abs=1e-12)
    assert found.difference == pytest.approx(found.auroc - found.reference_auroc, abs=1e-12)
    assert found.difference == pytest.approx(np.mean(found.difference_by_replicate), abs=1e-12)
    for method, interval in (("percentile", found.percentile), ("BCa", found.bca)):
        oracle = stats.bootstrap(
            (np.arange(20),),
            lambda drawn: materialised(given, replicates, drawn),
            n_resamples=100,
            method=method,
            vectorized=False,
            rng=np.random.default_rng(11),
        )
        assert interval == pytest.approx(tuple(oracle.confidence_interval), abs=1e-12)
        assert found.standard_error == pytest.approx(oracle.standard_error, abs=1e-12)


def test_a_contrast_mirrors_and_a_variant_equal_to_its_reference_has_no_effect():
    given = cells()
    paired = pair_up(given | {("same", k): given["d", k] for k in (1, 2, 3)})
    there, back = (
        contrast(paired, *pair, n_resamples=100, seed=1) for pair in (("e", "d"), ("d", "e"))
    )
    assert back.difference == -there.difference and back.p_value == there.p_value
    assert back.percentile == pytest.approx((-there.percentile.high, -there.percentile.low))
    none = contrast(paired, "same", "d", n_resamples=100, seed=1)
    assert (none.difference, none.percentile, none.bca, none.p_value) == (0, (0, 0), (0, 0), 1)
    assert none.percentile_expanded == (0, 0)


def test_the_effect_alone_needs_one_patient_of_each_class():
    label_U = np.array([0, 0, 1, 1, 1])
    ids = (np.array(list("aabcd")), None, np.arange(5))
    given = {
        ("d", 1): Scored(label_U, np.array([0.1, 0.6, 0.5, 0.7, 0.2]), *ids),
        ("e", 1): Scored(label_U, np.array([0.1, 0.2, 0.5, 0.7, 0.2]), *ids),
    }
    effect = mean_effect(pair_up(given), "e", "d")
    for name, found in (("d", effect.reference_auroc), ("e", effect.auroc)):
        assert found == roc_auc_score(label_U, given[name, 1].score_U)
    assert effect.difference == pytest.approx(effect.auroc - effect.reference_auroc)
    assert (effect.replicates, effect.difference_by_replicate) == ((1,), (effect.difference,))
    with pytest.raises(ValueError, match="single patient"):
        contrast(pair_up(given), "e", "d", seed=0)
    whole = contrast(pair_up(cells()), "e", "d", n_resamples=100, seed=0)
    alone = mean_effect(pair_up(cells()), "e", "d")
    assert alone == tuple(getattr(whole, name) for name in alone._fields)


def test_only_replicates_of_both_variants_enter():
    given = cells()
    full = contrast(pair_up(given), "e", "d", n_resamples=50, seed=0)
    del given["e", 2]
    found = contrast(pair_up(given), "e", "d", n_resamples=50, seed=0)
    assert found.replicates == (1, 3)
    first, _, third = full.difference_by_replicate
    assert found.difference_by_replicate == (first, third)
    assert "two_level_interval" in found.withheld


@pytest.mark.parametrize("level", [to_videos, to_patients])
def test_videos_and_patients_can_be_contrasted(level):
    given = {cell: level(units) for cell, units in cells().items()}
    found = contrast(pair_up(given), "e", "d", n_resamples=100, seed=0)
    expected = np.mean(
        [
            roc_auc_score(given["e", k].label_U, given["e", k].score_U)
            - roc_auc_score(given["d", k].label_U, given["d", k].score_U)
            for k in (1, 2, 3)
        ]
    )
    assert found.difference == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("field", ["patient_U", "video_U", "frame_U", "label_U"])
def test_cells_that_are_not_aligned_are_refused(field):
    given = cells()
    wrong = getattr(given["e", 2], field).copy()
    wrong[[0, 1]] = 1 - wrong[[0, 1]] if field == "label_U" else wrong[[0, 1]] + 1
    given["e", 2] = given["e", 2]._replace(**{field: wrong})
    with pytest.raises(ValueError, match=f"d, replicate 1 and e, replicate 2 differ in {field}"):
        pair_up(given)


def test_other_faults_are_refused():
    given = cells()
    with pytest.raises(ValueError, match="no cells"):
        pair_up({})
    with pytest.raises(ValueError, match="do not tell all units apart"):
        pair_up({cell: units._replace(frame_U=None) for cell, units in given.items()})
    with pytest.raises(ValueError, match="differ in frame_U"):
        pair_up(given | {("e", 1): given["e", 1]._replace(frame_U=None)})
    with pytest.raises(ValueError, match="own reference"):
        contrast(pair_up(given), "d", "d", seed=0)
    with pytest.raises(ValueError, match="share no replicate"):
        contrast(pair_up(given), "d", "g", seed=0)
    kept = np.isin(given["d", 1].patient_U, [0, 2])  # patient 2 alone is positive
    few = {cell: Scored(*(field[kept] for field in units)) for cell, units in given.items()}
    with pytest.raises(ValueError, match="single patient"):
        contrast(pair_up(few), "e", "d", seed=0)


def test_the_p_value_counts_resamples():
    many = 10**9  # so many patients that nothing is expanded
    resampled_R = np.array([-1.0, 0.0, 0.0, *range(1, 97)])
    assert bootstrap_p_value(resampled_R, many) == pytest.approx(2 * (1 + 3) / 100, abs=1e-6)
    assert bootstrap_p_value(-resampled_R, many) == pytest.approx(2 * (1 + 3) / 100, abs=1e-6)
    assert bootstrap_p_value(np.ones(999), many) == pytest.approx(2 / 1000, abs=1e-6)
    assert bootstrap_p_value(np.zeros(999), 24) == 1
    expected = 2 * stats.t.sf(stats.norm.isf(0.04) * np.sqrt(23 / 24), 23)
    assert bootstrap_p_value(resampled_R, 24) == pytest.approx(expected)


@pytest.mark.parametrize("n_patients", [6, 24, 1000])
def test_the_p_value_agrees_with_the_expanded_interval(n_patients):
    rng = np.random.default_rng(0)
    for centre in np.linspace(-4, 4, 81):
        resampled_R = centre + rng.normal(size=1999)
        p_value = bootstrap_p_value(resampled_R, n_patients)
        for confidence in (0.8, 0.95):
            low, high = percentile_interval(
                resampled_R, expanded_confidence(confidence, n_patients)
            )
            close = abs(p_value - (1 - confidence)) < 0.01
            assert close or (p_value < 1 - confidence) == (not low <= 0 <= high)


def closed_testing(p_values):
    """A hypothesis' adjusted p: the largest Bonferroni p of all subsets that hold it."""
    indices = range(len(p_values))
    subsets = [
        subset for n in indices for subset in itertools.combinations(indices, n + 1)
    ]  # Holm's procedure is the closure of Bonferroni's
    return [
        max(
            min(1.0, len(subset) * min(p_values[i] for i in subset))
            for subset in subsets
            if i in subset
        )
        for i in indices
    ]


@pytest.mark.parametrize("seed", range(10))
def test_holm_equals_closed_testing(seed):
    p_values = np.round(np.random.default_rng(seed).beta(0.5, 3, size=5), 2).tolist()
    assert holm(p_values) == pytest.approx(closed_testing(p_values))


def test_holm_by_hand_and_its_faults():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_non_inferiority_is_the_lower_end_against_the_margin():
    found = contrast(pair_up(cells(gain=0.0)), "e", "d", n_resamples=200, seed=0)
    reach = -found.percentile_expanded.low
    assert reach > 0
    assert non_inferiority(found, reach * 1.01).non_inferior
    judged = non_inferiority(found, reach * 0.99)
    assert not judged.non_inferior
    assert (judged.alpha, judged.lower_bound) == (0.025, found.percentile_expanded.low)
    assert not non_inferiority(found, reach).non_inferior  # strictly above
    with pytest.raises(ValueError, match="must be positive"):
        non_inferiority(found, 0.0)
    with pytest.raises(ValueError, match="95 % confidence"):
        non_inferiority(found._replace(confidence=0.9), 0.01)


def test_two_levels_equal_a_loop_over_materialised_frames():
    given = cells(n_replicates=10, n_frames=120)
    found = contrast(pair_up(given), "e", "d", n_resamples=40, seed=2)
    drawn_RK = patient_weights(10, 40, seed=derive_seed(2, "replicates"))
    means = [
        materialised(
            given, np.repeat(np.arange(1, 11), drawn_K), np.repeat(np.arange(20), weight_P)
        )
        for weight_P, drawn_K in zip(patient_weights(20, 40, seed=2), drawn_RK, strict=True)
    ]
    assert found.two_level_interval == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert "two_level_interval" not in found.withheld
    assert found.rank_p_value is not None
