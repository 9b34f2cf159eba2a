"""What a public function cannot use is one line: the thing, the finding, the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import lussweep

LABELS = [0, 1] * 8
SCORES = np.linspace(0.1, 0.9, 16)
PATIENTS = np.arange(16) // 2 * 2 + np.arange(16) % 2


def changed(values: Any, at: int, value: Any) -> list[Any]:
    return [value if i == at else v for i, v in enumerate(list(values))]


STATISTICS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "auroc_interval": lambda y, s, p: lussweep.auroc_interval(y, s, p),
    "contrast": lambda y, s, p: lussweep.contrast(y, s, SCORES[: len(s)], p),
    "worth": lambda y, s, p: lussweep.worth(
        y, {("baseline", 3, 1): s, ("baseline", 6, 1): s}, p, n_resamples=100
    ),
}
ROWS = [
    (LABELS[:-1], SCORES, PATIENTS, r"labels have shape \(15,\), scores.* \(16,\)"),
    (LABELS, SCORES, PATIENTS[:-1], r"patients have shape \(15,\), labels \(16,\)"),
    (changed(LABELS, 3, 2), SCORES, PATIENTS, r"labels must be 0 or 1, found \[0, 1, 2\]"),
    (changed(LABELS, 3, "yes"), SCORES, PATIENTS, "labels hold texts, such as 'yes': give"),
    (changed(LABELS, 3, None), SCORES, PATIENTS, r"labels hold 1 missing value, .*row 3"),
    ([1] * 16, SCORES, PATIENTS, r"both classes are needed, found \[1\]"),
    (LABELS, changed(SCORES, 5, np.nan), PATIENTS, "scores.* hold a value that is not finite"),
    (LABELS, changed(SCORES, 5, None), PATIENTS, "scores.* hold 1 missing value, .*row 5"),
    (LABELS, pd.array(changed(SCORES, 5, None), "Float64"), PATIENTS, "scores.* hold .*row 5"),
    (LABELS, np.ma.masked_less(SCORES, 0.2), PATIENTS, "scores.* hold 2 missing values, .*row 0"),
    (LABELS, SCORES, changed(PATIENTS, 5, "P5"), r"several types \(text, whole number\)"),
    (LABELS, SCORES, changed(PATIENTS, 5, True), r"several types \(truth value, whole number\)"),
    (LABELS, SCORES, changed(PATIENTS, 5, None), "patients hold 1 missing value, .*row 5"),
    (LABELS, SCORES, changed(PATIENTS, 5, np.nan), "patients hold 1 missing value, .*row 5"),
    (LABELS, SCORES, pl.Series(changed(PATIENTS.tolist(), 5, None)), "patients hold 1 missing"),
    (LABELS, SCORES, PATIENTS + 0.5, "patients are numbers with fractions: give whole numbers"),
    (dict(enumerate(LABELS)), SCORES, PATIENTS, "labels are of type dict: give an array, a list"),
    ((y for y in LABELS), SCORES, PATIENTS, "labels are of type generator: give an array"),
]  # fmt: skip


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("case", range(len(ROWS)))
def test_rows_that_cannot_be_used_are_one_line(case: int, name: str) -> None:
    labels, scores, patients, message = ROWS[case]
    if name != "auroc_interval" and case == len(ROWS) - 1:
        labels = (y for y in LABELS)  # the first function has used the other one up
    with pytest.raises(ValueError, match=message) as caught:
        STATISTICS[name](labels, scores, patients)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_scores_that_are_wrong() -> None:
    bad = changed(SCORES, 5, np.nan)
    with pytest.raises(ValueError, match=r"^reference_scores hold a value that is not finite"):
        lussweep.contrast(LABELS, SCORES, bad, PATIENTS)
    grid = {("baseline", 3, 1): SCORES, ("baseline", 6, 1): bad}
    with pytest.raises(ValueError, match=r"^scores of \('baseline', 6, 1\) hold a value that"):
        lussweep.worth(LABELS, grid, PATIENTS, n_resamples=100)


def test_ids_of_one_spelling_and_two_types_are_not_merged() -> None:
    mixed = [str(p) if i < 8 else int(p) for i, p in enumerate(PATIENTS)]
    with pytest.raises(ValueError, match="give all ids as texts, or all as whole numbers"):
        lussweep.auroc_interval(LABELS, SCORES, mixed)


@pytest.mark.parametrize("name", ["kmmd", "one_nn", "kid", "fid"])
@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        ([0.0, 1.0], [[0.0]], r"real samples have shape \(2,\), not \(samples, features\)"),
        (np.zeros((3, 4, 4)), [[0.0]], r"reshape images \(N, H, W\) to \(N, H x W\)"),
        ([[0.0], [1.0, 2.0]], [[0.0]], "real samples have rows of different lengths"),
        ([[0.0], [1.0]], [["a"], ["b"]], "synthetic samples are of type <U1: give numbers"),
        ([[0.0], [np.nan]], [[0.0], [1.0]], "real samples hold .* 1 of 2 rows, the first in row 1"),
        ([[0.0], [1.0]], [[0.0], [np.inf]], "synthetic samples hold a value that is missing or"),
        ([[0.0], [1.0]], [[0.0, 1.0], [1.0, 0.0]], "real samples have 1 features, synth"),
        (np.zeros((0, 3)), [[0.0]], r"real samples have shape \(0, 3\)"),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_used_are_one_line(
    name: str, real: Any, synthetic: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        getattr(lussweep, name)(real, synthetic)
    assert "\n" not in str(caught.value)


def test_scores_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(16, 2\) and \(16, 1\): give as many trainings"):
        lussweep.contrast(LABELS, np.stack([SCORES] * 2, axis=1), SCORES, PATIENTS)
    with pytest.raises(ValueError, match="level is 'video': give frame, patient_mean or"):
        lussweep.auroc_interval(LABELS, SCORES, PATIENTS, level="video")  # type: ignore[arg-type]


def test_keys_of_worth_are_checked() -> None:
    with pytest.raises(ValueError, match="scores are no dict: give the scores of each model by"):
        lussweep.worth(LABELS, SCORES, PATIENTS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\('baseline', 3\) is no key of scores: give"):
        lussweep.worth(LABELS, {("baseline", 3): SCORES}, PATIENTS)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no variant 'baseline': name it with baseline="):
        lussweep.worth(LABELS, {("real", 3, 1): SCORES}, PATIENTS)
    with pytest.raises(ValueError, match="'baseline' has 1 patient counts, a curve needs 2"):
        lussweep.worth(LABELS, {("baseline", 3, 1): SCORES}, PATIENTS)


@pytest.mark.parametrize(
    ("n_resamples", "confidence", "least"),
    [(-1, 0.95, 100), (0, 0.95, 100), (2, 0.95, 100), (99, 0.5, 100), (198, 0.99, 199)],
)
def test_so_few_resamples_have_no_interval(n_resamples: int, confidence: float, least: int) -> None:
    scores = {("baseline", n, k): SCORES for n in (3, 6) for k in (1, 2)}
    found = {"n_resamples": n_resamples, "confidence": confidence}
    with pytest.raises(ValueError, match=f"n_resamples is {n_resamples}: .* needs {least}"):
        lussweep.worth(LABELS, scores, PATIENTS, **found)
    assert lussweep.worth(LABELS, scores, PATIENTS, **found | {"n_resamples": least}) == []


FRAMES = np.random.default_rng(0).integers(256, size=(12, 80, 80), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_patients": range(12)}, "give both training_patients and holdout_patients"),
        ({"training_patients": range(12), "holdout_patients": range(6, 18)},
         r"6 patients are in training and in holdout \(6, 7, 8\)"),
        ({"training_patients": range(11), "holdout_patients": range(20, 32)},
         r"training_patients have shape \(11,\), there are 12 training frames: give the patient"),
        ({"training_patients": range(12), "holdout_patients": [f"{i}" for i in range(12)]},
         "are of two types, texts and numbers: give one"),
        ({"training_patients": [f"P{i}" for i in range(12)],
          "holdout_patients": [*(f"Q{i}" for i in range(11)), " p07"]},
         "'P7' in training and ' p07' in holdout may be one: write them alike"),
        ({"training_patients": range(12), "holdout_patients": changed(range(20, 32), 3, None)},
         "holdout_patients hold 1 missing value, the first in row 3"),
        ({"holdout": FRAMES[:, :40, :40]},
         r"size of their frames \(synthetic 80 x 80, training 80 x 80, holdout 40 x 40\): resize"),
        ({"synthetic": FRAMES / 255}, "synthetic frames are of type float64, from 0 to 1: give gr"),
        ({"synthetic": FRAMES.astype(int) * 2}, "of type int64, from 0 to 510: give grey levels"),
        ({"synthetic": FRAMES[:, :, 0]}, r"synthetic frames have shape \(12, 80\), not .*features"),
        ({"training": FRAMES[:0]}, "training frames have shape .*: give at least one frame"),
        ({"training": FRAMES[:, :40]}, r"shape \(12, 40, 80\): crop or pad them to squares"),
        ({"n_images": 1}, "n_images is 1: give 2 or more"),
    ],
)  # fmt: skip
def test_frames_that_cannot_be_used_are_one_line(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"synthetic": FRAMES, "training": FRAMES, "holdout": FRAMES[::-1]}
    with pytest.raises(ValueError, match=message) as caught:
        lussweep.release_card(**given | changes)
    assert "\n" not in str(caught.value)


def test_frames_without_patients_are_not_passed() -> None:
    """Frames of one patient are alike, so a threshold over frames would not hold for patients."""
    rng = np.random.default_rng(2)
    sets = rng.integers(256, size=(3, 30, 16, 16), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    synthetic, training, holdout = sets
    patients = {"training_patients": range(30), "holdout_patients": range(30, 60)}
    known = lussweep.release_card(synthetic, training, holdout, **patients)
    unknown = lussweep.release_card(synthetic, training, holdout)
    assert known.passed and known.notes == ()
    assert unknown.values == known.values
    assert (unknown.verdict.word, unknown.passed) == ("unjudged", False)
    assert "patients are not known" in unknown.notes[0] and "unjudged" in repr(unknown)
    assert lussweep.release_card(training, training, holdout).verdict.word == "refused"


def test_a_card_says_that_it_compares_the_first_frames_only() -> None:
    card = lussweep.release_card(FRAMES, FRAMES, FRAMES[::-1], n_images=5)
    assert card.values["n_synthetic"] == len(card.is_copy_K) == 5
    assert "the first 5 of 12 synthetic frames are compared" in card.notes[-1]
