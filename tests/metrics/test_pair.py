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
from lussweep.metrics.spectral_gap import RealPattern
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
    others = {name: score for name, score in SCORES.items() if name != "spectral_gap"}
    assert {name: score.function(one) for name, score in others.items()} == expected


def test_the_spectral_gap_is_that_of_frames_with_their_masks():
    rng = np.random.default_rng(0)
    real, fake = (np.clip(rng.normal(90, s, (6, 64, 64)), 0, 255).astype(np.uint8) for s in (9, 30))
    masks = rng.random((6, 64, 64)) < 0.9
    real[:, 20:24] = 250
    real *= masks
    of_real = RealSet(real.reshape(6, -1), SETTINGS, 5, torch.device("cpu"), masks)
    gap = SCORES["spectral_gap"].function(Pair(of_real, fake.reshape(6, -1)))
    assert gap == RealPattern.of(real, masks, 5).gap(fake) > 0.5


def test_what_several_scores_need_is_computed_once():
    one = pair()
    assert one.comparison is one.comparison
    assert one.real.reference is Pair(one.real, REAL).real.reference
    assert (one.real_ND is REAL, one.seed, one.settings) == (True, 5, SETTINGS)
