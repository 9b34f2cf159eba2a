import numpy as np
import pytest

from lussweep.metrics.confidence import mean_confidence

pytestmark = pytest.mark.any_processor


def test_is_the_mean():
    assert mean_confidence(np.array([0.0, 0.5, 1.0, 0.9], dtype=np.float32)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    "bad", [np.array([]), np.array([[0.5]]), np.array([1.1]), np.array([-0.1]), np.array([np.nan])]
)
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match="probabilities"):
        mean_confidence(bad)
