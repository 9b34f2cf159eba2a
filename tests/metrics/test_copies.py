"""The threshold of a copy, the counts of copies, and the release gate on simulated sets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import nct, norm

from benchmarks.bench_gate import words_of
from lussweep.metrics.card import memorisation_card
from lussweep.metrics.copies import (
    CONFIDENCE,
    MIN_RATIO,
    UNSEEN_SHARE,
    Ratios,
    disguised,
    find_copies,
    ratios,
    spread_over_patients,
    tolerance_limit,
    yardstick,
)
from support.gate_studies import CHANGES, COUNTS, HONEST, ONE_FRAME, judge_sets, rendered

SEEDS = range(100, 140)
"""Of the simulation. Its thresholds were chosen on other seeds."""


@pytest.mark.parametrize("n", [2, 5, 12, 120])
def test_the_limit_is_that_of_the_noncentral_t_distribution(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    factor = nct.ppf(CONFIDENCE, n - 1, np.sqrt(n) * norm.ppf(UNSEEN_SHARE)) / np.sqrt(n)
    expected = values.mean() + factor * values.std(ddof=1)
    assert tolerance_limit(values) == pytest.approx(expected, rel=1e-6)


def test_the_limit_covers_the_share_with_the_confidence() -> None:
    """5 standard errors of a share of 0.95 over 2,000 draws are 0.025."""
    draws = np.random.default_rng(0).normal(size=(2000, 6))
    covers = np.mean([norm.cdf(tolerance_limit(values)) >= UNSEEN_SHARE for values in draws])
    assert covers == pytest.approx(CONFIDENCE, abs=0.025)


def test_copies_are_counted_by_frame_and_by_patient() -> None:
    found = Ratios(
        np.array([5.0, 5, 5, 2, 1]), np.array([0, 0, 2, 1, 1]), np.zeros(5, dtype=np.int64)
    )
    copies = find_copies(found, 2.0, np.array(["b", "b", "a", "c"]))
    assert copies.is_copy_K.tolist() == [True, True, True, False, False]
    assert (copies.copy_share, copies.frame_share) == (0.6, 0.4)
    assert copies.of_patient == {"a": 1, "b": 2, "c": 0}
    assert copies.recognisable_share == pytest.approx(2 / 3)
    none = find_copies(found, np.inf, np.array(["b", "b", "a", "c"]))
    assert (none.copy_share, none.frame_share, none.recognisable_share) == (0, 0, 0)


def test_the_nearest_holdout_frame_is_numbered_among_all_holdout_frames() -> None:
    """A card compares a part of them: here 5 of 12, which are the synthetic frames themselves."""
    frames = np.random.default_rng(0).integers(0, 256, (16, 32, 32), np.uint8)
    train, holdout, patients = frames[:4], frames[4:], np.repeat(["a", "b", "c"], 4)
    seen = spread_over_patients(patients, 5, np.random.default_rng(7))
    card = memorisation_card(
        train, np.array(["d"] * 4), holdout, patients, holdout[seen], n_images=5, side=32, seed=7
    )
    assert seen.tolist() != list(range(5))
    assert card.copies.ratios.nearest_holdout_K.tolist() == seen.tolist()


def test_no_threshold_can_be_told_with_one_holdout_patient() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32), np.uint8)
    by = yardstick(frames[:3], frames[3:], np.array(["a"] * 3), seed=0)
    assert (by.threshold, by.caught_share, by.n_patients) == (np.inf, 0.0, 1)
    assert not find_copies(ratios(by, frames[:3]), by.threshold, np.array(["b"] * 3)).copy_share


def test_few_holdout_patients_raise_the_threshold() -> None:
    """Copies that twelve patients show are not seen with two, and the caught share says so."""
    train, holdout = (rendered(99)[name] for name in ("train", "holdout"))
    by = [yardstick(train.first(6).frames, *holdout.first(n), seed=0) for n in (2, 12)]
    assert by[0].threshold > 2 * by[1].threshold >= 2 * MIN_RATIO
    assert by[0].caught_share < 0.5 < 0.8 <= by[1].caught_share


def test_disguised_frames_are_mirrored_and_zoomed_in_turn() -> None:
    frames = np.zeros((2, 65, 65), np.uint8)
    frames[:, 32, 52:55] = 200
    columns = [np.flatnonzero(frame[32] > 50) for frame in disguised(frames)]
    assert [round(float(32 - where.mean())) for where in columns] == [22, 20]


@pytest.mark.parametrize("n_frames", [1, 3, 9, 12, 99])
def test_frames_are_drawn_evenly_over_patients(n_frames: int) -> None:
    patient_N = np.array(["a"] * 9 + ["b"] * 2 + ["c"])
    for seed in range(20):
        rows = spread_over_patients(patient_N, n_frames, np.random.default_rng(seed))
        assert len(rows) == len(set(rows.tolist())) == min(n_frames, len(patient_N))
        counts = [int((patient_N[rows] == patient).sum()) for patient in "abc"]
        level = max(counts)  # a patient with fewer has no more
        assert all(n >= level - 1 or n == most for n, most in zip(counts, (9, 2, 1), strict=True))


def test_patients_of_another_number_are_refused() -> None:
    frames = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"3 holdout frames, patient ids of shape \(2,\)"):
        yardstick(frames, frames, np.array(["a", "b"]), seed=0)


def test_the_gate_knows_copies_and_passes_fresh_patients() -> None:
    """One study of the simulation below, with 6 training and 12 holdout patients."""
    judged = judge_sets(rendered(98), *COUNTS[0], 98)
    words = {name: one.word for name, one in judged.items()}
    assert words == dict.fromkeys((*CHANGES, *ONE_FRAME), "refused") | dict.fromkeys(
        HONEST, "passed"
    )


@pytest.mark.slow
def test_of_40_studies_38_are_judged_right() -> None:
    """A set may be unjudged instead, but hardly any is: 2 of 40, with 12 holdout patients 8."""
    wrong, unjudged = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for seed in SEEDS:
        for place, words in words_of(seed, COUNTS).items():
            assert set(words) == {*CHANGES, *HONEST, *ONE_FRAME}
            for name, word in words.items():
                right = "passed" if name in HONEST else "refused"
                unjudged[place, name] += word == "unjudged"
                wrong[place, name] += word not in (right, "unjudged")
    assert {at: n for at, n in wrong.items() if n > 2} == {}
    assert {at: n for at, n in unjudged.items() if n > (8 if at[0] == str(COUNTS[0]) else 2)} == {}
