import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from lussweep.metrics.classification import at_threshold

pytestmark = pytest.mark.any_processor


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 2.0])
def test_equals_sklearn(threshold):
    rng = np.random.default_rng(0)
    label_N, score_N = rng.integers(2, size=300), np.round(rng.random(300), 1)
    called_N = (score_N >= threshold).astype(int)
    found = at_threshold(label_N, score_N, threshold)
    assert found.accuracy == pytest.approx(accuracy_score(label_N, called_N))
    assert found.sensitivity == pytest.approx(recall_score(label_N, called_N))
    assert found.specificity == pytest.approx(recall_score(label_N, called_N, pos_label=0))
    assert found.f1 == pytest.approx(f1_score(label_N, called_N))


def test_shares_by_hand_and_a_score_at_the_threshold_is_positive():
    label_N = np.array([1, 1, 1, 0, 0, 0, 0])
    found = at_threshold(label_N, np.array([0.5, 0.9, 0.1, 0.5, 0.2, 0.3, 0.4]))
    assert found.accuracy == 5 / 7
    assert (found.sensitivity, found.specificity) == (2 / 3, 3 / 4)
    assert found.f1 == 4 / 6


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        at_threshold(np.array([1, 1]), np.array([0.2, 0.8]))
