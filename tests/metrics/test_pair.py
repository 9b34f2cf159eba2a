"""Each built-in score is the value of its function, with the settings of the experiment."""

import numpy as np
import pytest
import torch

from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.confidence import mean_confidence
from lussweep.metrics.frechet import fid
from lussweep.metrics.inception import kid
from lussweep.metrics.pair import Pair, RealSet
from lussweep.metrics.permutation import kmmd_test
from lussweep.study.spec import SCORES, ScoreSpec

pytestmark = pytest.mark.any_processor

SETTINGS = ScoreSpec(n_neighbours=2, n_permutations=9, n_kid_subsets=7)
REAL, FAKE = (np.random.default_rng(seed).random((8, 3)) for seed in (0, 1))


def pair():
    return Pair(RealSet(REAL, SETTINGS, 5, torch.device("cpu")), FAKE)


def test_built_in_scores_are_those_of_their_functions():
    compared = compare(Reference.of(REAL, k=2), FAKE)
    spread = kid(REAL, FAKE, seed=5, n_subsets=7)
    tested = kmmd_test(REAL, FAKE, n_permutations=9, seed=5)
    expected = {
        **compared._asdict(),
        "fid": fid(REAL, FAKE),
        "kid": spread.mean,
        "kid_low": spread.low,
        "kid_high": spread.high,
        "mmd2_unbiased": tested.mmd2_unbiased,
        "mmd2_p_value": tested.p_value,
        "confidence": mean_confidence(FAKE[:, 1]),
    }
    one = pair()
    assert {name: score.function(one) for name, score in SCORES.items()} == expected


def test_what_several_scores_need_is_computed_once():
    one = pair()
    assert one.comparison is one.comparison
    assert one.real.reference is Pair(one.real, REAL).real.reference
    assert (one.real_ND is REAL, one.seed, one.settings) == (True, 5, SETTINGS)
