import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lussweep.analysis.contrasts import Contrast, Effect, contrasts, holm, mean_effect
from lussweep.analysis.levels import Scored, to_patients
from lussweep.analysis.paired import pair_up
from lussweep.analysis.two_way import two_way


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


def contrast(given, variant="e", reference="d", level="frame"):
    return contrasts({6: pair_up(given, level)}, variant, reference)[6]


def test_the_effect_equals_scikit_learn_on_the_frames():
    effect = contrast(cells()).effect
    assert effect.replicates == (1, 2, 3)
    assert effect.difference == pytest.approx(
        materialised(cells(), (1, 2, 3), range(20)), abs=1e-12
    )
    assert effect.difference == pytest.approx(effect.auroc - effect.reference_auroc, abs=1e-12)
    assert effect.difference == pytest.approx(np.mean(effect.difference_by_replicate), abs=1e-12)


def test_a_contrast_mirrors():
    there, back = contrast(cells()), contrast(cells(), "d", "e")
    assert back.effect.difference == -there.effect.difference
    assert back.p_value == pytest.approx(there.p_value)
    assert back.interval == pytest.approx((-there.interval.high, -there.interval.low))
    assert back.conditional == pytest.approx((-there.conditional.high, -there.conditional.low))


def test_a_variant_equal_to_its_reference_has_no_variance_and_no_verdict():
    given = cells() | {("same", k): cells()["d", k] for k in (1, 2, 3)}
    found = contrast(given, "same")
    assert (found.effect.difference, found.interval, found.non_inferior(0.02)) == (0, None, None)
    assert "no variance" in found.withheld


def test_one_replicate_has_a_conditional_interval_alone():
    found = contrast(cells(n_replicates=1))
    assert found.interval is None and found.over_both is None
    assert found.conditional.low < found.effect.difference < found.conditional.high
    assert found.withheld.startswith("1 replicate")


@pytest.mark.parametrize("seed", range(4))
def test_the_primary_interval_holds_both_variances(seed):
    """S^2 is that of the replicates, or what patients do in one replicate alone if that is more."""
    found = contrast(cells(seed=seed))
    both, d_K = found.over_both, np.array(found.effect.difference_by_replicate)
    least = max(d_K.var(ddof=1), found.patients.own)
    assert both.training_variance == pytest.approx(least)
    assert both.standard_error**2 == pytest.approx(
        both.training_variance / 3 + found.patients.between
    )
    assert both.standard_error**2 >= found.patients.conditional * (1 - 1e-12)


def test_variants_that_are_both_perfect_have_no_variance_and_no_verdict_beside_other_counts():
    """The trend over patient counts has a variance for them, which none of their patients backs."""
    by_count = {n: cells(seed=n) for n in (6, 15, 58)}
    by_count[58] = {
        cell: units._replace(score_U=units.label_U * 1.0) for cell, units in by_count[58].items()
    }
    found = contrasts({n: pair_up(given) for n, given in by_count.items()}, "e", "d")
    assert found[6].interval is not None and found[6].model == "trend"
    perfect = found[58]
    assert (perfect.effect.auroc, perfect.effect.difference) == (1, 0)
    assert (perfect.interval, perfect.conditional) == (None, None)
    assert perfect.non_inferior(0.02) is None
    assert "no variance" in perfect.withheld


def test_training_variances_are_pooled_over_patient_counts():
    by_count = {n: pair_up(cells(seed=n)) for n in (6, 15, 29, 44, 58)}
    found = contrasts(by_count, "e", "d")
    assert {c.model for c in found.values()} == {"trend"}
    alone = contrasts({6: by_count[6]}, "e", "d")[6]
    assert alone.model == "own"
    assert alone.effect == found[6].effect and alone.conditional == found[6].conditional
    assert found[29].over_both.training_df > alone.over_both.training_df == 2


def test_few_patients_have_an_effect_alone():
    given = cells(n_patients=20)
    kept = np.isin(given["d", 1].patient_U, [0, 1, 2, 3, 4])
    few = {cell: Scored(*(field[kept] for field in units)) for cell, units in given.items()}
    found = contrast(few)
    assert (found.interval, found.conditional, found.over_both) == (None, None, None)
    assert "needs 5" in found.withheld


def test_levels_are_frames_patients_and_weighted_frames():
    given = cells()
    units = given["e", 1]
    expected = []
    for k in (1, 2, 3):
        e, d = given["e", k], given["d", k]
        weight_U = np.zeros(len(units.label_U))
        for p, label in itertools.product(np.unique(units.patient_U), (0, 1)):
            own = (units.patient_U == p) & (units.label_U == label)
            weight_U[own] = 1 / max(1, own.sum())
        expected.append(
            roc_auc_score(e.label_U, e.score_U, sample_weight=weight_U)
            - roc_auc_score(d.label_U, d.score_U, sample_weight=weight_U)
        )
    weighted = contrast(given, level="patient_weighted").effect
    assert weighted.difference_by_replicate == pytest.approx(expected)
    patients = {cell: to_patients(scored) for cell, scored in given.items()}
    assert set(patients["d", 1].label_U) == {0, 1}
    assert contrast(given, level="patient_mean").effect == contrast(patients).effect


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
    assert mean_effect(pair_up(cells()), "e", "d") == contrast(cells()).effect


def test_only_replicates_of_both_variants_enter():
    given = cells()
    full = contrast(given).effect
    del given["e", 2]
    found = contrast(given).effect
    assert found.replicates == (1, 3)
    first, _, third = full.difference_by_replicate
    assert found.difference_by_replicate == (first, third)


@pytest.mark.parametrize("field", ["patient_U", "video_U", "frame_U", "label_U"])
def test_cells_that_are_not_aligned_are_refused(field):
    given = cells()
    wrong = getattr(given["e", 2], field).copy()
    wrong[[0, 1]] = 1 - wrong[[0, 1]] if field == "label_U" else wrong[[0, 1]] + 1
    given["e", 2] = given["e", 2]._replace(**{field: wrong})
    with pytest.raises(ValueError, match=f"d, replicate 1 and e, replicate 2 differ in {field}"):
        pair_up(given)


def test_patients_that_all_have_a_positive_frame_cannot_be_compared_by_patient():
    label_U, patient_U = np.tile([0, 1], 6), np.repeat(np.arange(6), 2)
    given = {
        (variant, 1): Scored(label_U, np.linspace(0, 1, 12), patient_U, None, np.arange(12))
        for variant in "de"
    }
    assert pair_up(given).n_scarcer == 6
    with pytest.raises(ValueError, match="all patients have a positive frame"):
        pair_up(given, "patient_mean")


def test_other_faults_are_refused():
    given = cells()
    with pytest.raises(ValueError, match="no cells"):
        pair_up({})
    with pytest.raises(ValueError, match="do not tell all units apart"):
        pair_up({cell: units._replace(frame_U=None) for cell, units in given.items()})
    with pytest.raises(ValueError, match="differ in frame_U"):
        pair_up(given | {("e", 1): given["e", 1]._replace(frame_U=None)})
    with pytest.raises(ValueError, match="own reference"):
        contrast(given, "d", "d")
    with pytest.raises(ValueError, match="share no replicate"):
        contrast(given, "d", "g")


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


def test_a_contrast_that_was_planned_counts_though_it_was_not_computed():
    assert holm([0.01, 0.02], 5) == pytest.approx((0.05, 0.08))
    with pytest.raises(ValueError, match="2 p-values of 1"):
        holm([0.5, 0.5], 1)


def test_the_interval_and_the_p_value_agree_at_every_level(monkeypatch):
    """The p-value is 1 less the confidence at which an end is 0."""
    for gain in (-0.6, -0.3, 0.3, 0.6):
        found = contrast(cells(gain=gain))
        monkeypatch.setattr("lussweep.analysis.contrasts.CONFIDENCE", 1 - found.p_value)
        low, high = found.interval
        assert (low if found.effect.difference > 0 else high) == pytest.approx(0, abs=1e-9)


def test_ends_have_the_variance_of_the_aurocs_implied_there():
    found = contrast(cells())
    both, a, b = found.over_both, found.effect.auroc, found.effect.reference_auroc
    reach = both.standard_error * stats.t.ppf(0.975, both.df)

    def h(p):
        return p * (1 - p)

    low, high = found.interval
    grown = (h(b + low) + h(b)) / (h(a) + h(b))
    assert low == pytest.approx(both.difference - reach * grown**0.5, abs=1e-9)
    grown = (h(a) + h(a - high)) / (h(a) + h(b))
    assert high == pytest.approx(both.difference + reach * grown**0.5, abs=1e-9)


def test_a_wide_interval_near_1_is_not_narrow_on_one_side():
    """Two trainings: 2.5 % of Student's t are beyond 12.7 standard errors."""
    effect = Effect((1, 2), 0.96, 0.9996, -0.0396, (-0.08, 0.0008))
    both = two_way(effect.difference, 2, 0.0031, 1, 0.00002, 20)
    reach = both.standard_error * stats.t.ppf(0.975, both.df)
    found = Contrast(effect, None, None, both, "own", None)

    def h(p):
        return p * (1 - p)

    implied = effect.reference_auroc + found.interval.low
    grown = (h(max(0, implied)) + h(effect.reference_auroc)) / (h(0.96) + h(0.9996))
    assert found.interval.low == pytest.approx(effect.difference - reach * grown**0.5, abs=1e-9)
    assert found.interval.low < -0.5


def test_nested_cohorts_are_not_pooled():
    by_count = {n: pair_up(cells(seed=n)) for n in (6, 15, 29, 44, 58)}
    assert {c.model for c in contrasts(by_count, "e", "d", nested=True).values()} == {"own"}


def test_non_inferiority_near_1_is_not_judged():
    found = contrast(cells(gain=6.0))
    assert found.effect.auroc > 0.95 and found.interval.low > -0.02
    assert found.non_inferior(0.02) is None
    back = contrast(cells(gain=6.0), "d", "e")
    assert back.interval.low < -0.02 and back.non_inferior(0.02) is False


def test_non_inferiority_is_the_lower_end_against_the_margin():
    found = contrast(cells(gain=0.0))
    reach = -found.interval.low
    assert reach > 0
    assert found.non_inferior(reach * 1.01) is True
    assert found.non_inferior(reach * 0.99) is False
    assert found.non_inferior(reach) is False  # strictly above
    with pytest.raises(ValueError, match="must be positive"):
        found.non_inferior(0.0)
