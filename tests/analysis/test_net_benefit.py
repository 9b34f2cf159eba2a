import numpy as np
import pytest

from lussweep.analysis.levels import Scored
from lussweep.analysis.net_benefit import THRESHOLDS, net_benefits
from lussweep.analysis.shares import share_interval


def cohort(n_patients=20, seed=0):
    """Frames of patients, some of whom have frames of both classes."""
    rng = np.random.default_rng(seed)
    patient_U = rng.integers(n_patients, size=300)
    label_U = (rng.random(300) < (patient_U % 3) / 2).astype(np.int64)
    return Scored(label_U, 1 / (1 + np.exp(-(2 * label_U - 1 + rng.normal(size=300)))), patient_U)


def test_a_hand_example():
    """10 frames, 4 positive; at 0.2 a false alarm costs a quarter of a true positive."""
    label = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.8, 0.3, 0.1, 0.7, 0.2, 0.1, 0.1, 0.0, 0.0])
    (found,) = net_benefits(Scored(label, score, np.arange(10)), [0.2])
    assert found.model.value == pytest.approx(3 / 10 - 2 / 10 * 0.25)
    assert found.treat_all == pytest.approx(4 / 10 - 6 / 10 * 0.25)
    assert found.gain.value == pytest.approx(0)
    assert "4 patients with positive frames" in found.gain.withheld
    assert np.isnan([found.model.low, found.model.high, found.gain.low, found.gain.high]).all()


def test_every_threshold_has_the_textbooks_value():
    units = cohort()
    n = len(units.label_U)
    found = net_benefits(units)
    assert [one.threshold for one in found] == list(THRESHOLDS)
    for one in found:
        odds = one.threshold / (1 - one.threshold)
        called = units.score_U >= one.threshold
        true, false = (called & (units.label_U == label) for label in (1, 0))
        assert one.model.value == pytest.approx(true.sum() / n - false.sum() / n * odds)
        n_pos = units.label_U.sum()
        assert one.treat_all == pytest.approx(n_pos / n - (n - n_pos) / n * odds)
        assert one.gain.value == pytest.approx(one.model.value - max(one.treat_all, 0))
        assert one.model.low < one.model.value < one.model.high
        best = one.model.value - one.gain.value
        assert one.gain[1:3] == pytest.approx((one.model.low - best, one.model.high - best))


def test_a_model_that_calls_every_frame_positive_is_treat_all_and_none_is_nothing():
    units = cohort()
    for one in net_benefits(units._replace(score_U=np.full(300, 0.99))):
        assert one.model.value == pytest.approx(one.treat_all)
        assert one.model.low < one.model.value < one.model.high
    for one in net_benefits(units._replace(score_U=np.full(300, 0.01))):
        assert one.model.value == 0
        assert one.model.low < 0 < one.model.high


def test_at_even_odds_the_interval_is_that_of_a_difference_of_shares_squared_and_added():
    units = cohort()
    (one,) = net_benefits(units, [0.5])
    called, is_pos = units.score_U >= 0.5, units.label_U == 1
    hits, frames = {}, {}
    for label in (0, 1):
        mine = is_pos == label
        hits[label] = np.bincount(units.patient_U[mine & called], minlength=20)
        frames[label] = np.bincount(units.patient_U[mine], minlength=20)
    shares = {label: hits[label].sum() / frames[label].sum() for label in (0, 1)}
    ends = {label: share_interval(hits[label], frames[label]) for label in (0, 1)}
    prevalence = is_pos.mean()
    down = prevalence * (shares[1] - ends[1].low), (1 - prevalence) * (ends[0].high - shares[0])
    up = prevalence * (ends[1].high - shares[1]), (1 - prevalence) * (shares[0] - ends[0].low)
    assert one.model.value - one.model.low == pytest.approx(np.sqrt(down[0] ** 2 + down[1] ** 2))
    assert one.model.high - one.model.value == pytest.approx(np.sqrt(up[0] ** 2 + up[1] ** 2))


def test_copies_of_frames_within_patients_change_nothing():
    units = cohort()
    thrice = Scored(*(np.repeat(x, 3) for x in units[:3]))
    for once, copied in zip(net_benefits(units), net_benefits(thrice), strict=True):
        assert copied.model[:3] == pytest.approx(once.model[:3])


@pytest.mark.parametrize("threshold", [0.0, 1.0, np.nan])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold probability"):
        net_benefits(cohort(), [threshold])


def test_a_single_class_is_refused():
    units = cohort()
    with pytest.raises(ValueError, match="both classes are needed"):
        net_benefits(units._replace(label_U=np.ones(300, int)))
