import itertools

import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.delong import delong_test
from lussweep.analysis.levels import Scored

# Albumin, total protein, K-G score and outcome of the 43 complete patients of DeLong, DeLong &
# Clarke-Pearson (1988), as listed in the SAS/STAT User's Guide, PROC LOGISTIC, example
# "Comparing Receiver Operating Characteristic Curves"; a low K-G score is good.
OVARIAN_TEXT = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
    """
OVARIAN = np.array([float(word) for word in OVARIAN_TEXT.split()]).reshape(43, 4)


def patients(label, score):
    return Scored(np.asarray(label, dtype=int), np.asarray(score, float), np.arange(len(label)))


@pytest.mark.parametrize(
    ("column", "area", "difference", "error", "chi_square", "p_value"),
    [(0, 0.7366, 0.0108, 0.0953, 0.0127, 0.9102), (1, 0.6478, -0.0780, 0.1046, 0.5554, 0.4561)],
)
def test_the_published_example(column, area, difference, error, chi_square, p_value):
    """Albumin and total protein against the K-G score, to the four digits of the printout."""
    outcome = OVARIAN[:, 3]
    found = delong_test(patients(outcome, OVARIAN[:, column]), patients(outcome, -OVARIAN[:, 2]))
    assert round(found.auroc, 4) == area and round(found.reference_auroc, 4) == 0.7258
    assert round(found.difference, 4) == difference
    assert round(found.standard_error, 4) == error
    assert round(found.z**2, 4) == chi_square
    assert round(found.p_value, 4) == p_value


def brute_force_variance(label, one, two):
    """Structural components by loops over pairs, and covariances by their definition."""
    pos, neg = np.flatnonzero(label == 1), np.flatnonzero(label == 0)

    def components(score):
        won = {
            (i, j): 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
            for i, j in itertools.product(pos, neg)
        }
        by_pos = [sum(won[i, j] for j in neg) / len(neg) for i in pos]
        by_neg = [sum(won[i, j] for i in pos) / len(pos) for j in neg]
        return by_pos, by_neg

    total = 0.0
    for a, b in zip(components(one), components(two), strict=True):
        covariance = np.cov(a, b)
        total += (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / len(a)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition_by_loops(seed):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(30) % 3 == 0).astype(int)
    shared = label + rng.normal(size=30)
    one, two = np.round(shared + rng.normal(size=(2, 30)), 1)
    found = delong_test(patients(label, one), patients(label, two))
    assert found.standard_error**2 == pytest.approx(brute_force_variance(label, one, two))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.z)))
    reach = stats.norm.ppf(0.975) * found.standard_error
    assert found.interval == pytest.approx((found.difference - reach, found.difference + reach))
    mirrored = delong_test(patients(label, two), patients(label, one))
    assert (mirrored.z, mirrored.p_value) == pytest.approx((-found.z, found.p_value))


def test_no_difference_and_a_certain_one():
    label = np.array([0, 0, 1, 1])
    same = delong_test(patients(label, label), patients(label, label * 2.0))
    assert (same.difference, same.z, same.p_value) == (0, 0, 1)
    sure = delong_test(patients(label, label), patients(label, -label))
    assert (sure.difference, sure.z, sure.p_value) == (1, np.inf, 0)


def test_what_is_no_patient_is_refused():
    label = np.array([0, 0, 1, 1])
    fine = patients(label, label)
    with pytest.raises(ValueError, match="not for frames or videos"):
        delong_test(fine._replace(video_U=np.arange(4)), fine)
    with pytest.raises(ValueError, match="appears twice"):
        delong_test(fine._replace(patient_U=np.array([0, 0, 1, 1])), fine)
    with pytest.raises(ValueError, match="differ in patient_U"):
        delong_test(fine, fine._replace(patient_U=np.arange(4)[::-1]))
    with pytest.raises(ValueError, match="differ in label_U"):
        delong_test(fine, fine._replace(label_U=1 - label))
    with pytest.raises(ValueError, match="two patients of each class"):
        delong_test(patients([0, 1, 1], [0, 1, 2]), patients([0, 1, 1], [0, 1, 2]))
    with pytest.raises(ValueError, match="confidence is 0"):
        delong_test(fine, fine, confidence=0)
