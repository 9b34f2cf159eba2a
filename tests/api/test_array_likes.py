"""Every public function takes rows by position, whatever array-like they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import roc_auc_score

import lussweep
from lussweep.analysis.calibration import calibration_line, line_estimate, recalibrated
from lussweep.analysis.delong import delong_test
from lussweep.analysis.levels import Scored, to_patients
from lussweep.analysis.net_benefit import net_benefits
from lussweep.analysis.operating import operating_point, threshold_for_specificity
from lussweep.analysis.paired import pair_up
from lussweep.analysis.precision import average_precision
from lussweep.metrics.arrays import as_numbers
from lussweep.metrics.auroc import auroc, win_matrix
from lussweep.metrics.classification import at_threshold

N_PATIENTS, N_EACH = 24, 5
FEATURES = ["f0", "f1", "f2"]
Columns = dict[str, Any]
"""Columns by name, and `features` (N, 3)."""


def table() -> pd.DataFrame:
    """Frames of patients in the order of their ids, with an index from 0."""
    rng = np.random.default_rng(5)
    patient_N = np.repeat(np.arange(N_PATIENTS), N_EACH)
    label_N = patient_N % 2
    noise_N = rng.normal(size=N_PATIENTS)[patient_N]
    columns: Columns = {"label": label_N, "patient": [f"P{p:02}" for p in patient_N]}
    for i, name in enumerate(["score", "other", "again", "once_more"]):
        logit_N = (0.6 + 0.2 * i) * label_N + noise_N + rng.normal(size=len(label_N))
        columns[name] = 1 / (1 + np.exp(-logit_N))
    return pd.DataFrame(columns | {name: rng.normal(size=len(label_N)) for name in FEATURES})


def in_order(how: str) -> np.ndarray:
    frame = table()
    shuffled = np.random.default_rng(1).permutation(len(frame))
    if how == "shuffled":
        return shuffled
    if how == "sorted":
        return np.argsort(frame["score"].to_numpy())
    return shuffled[frame["other"].to_numpy()[shuffled] > 0.2]


def as_pandas(frame: pd.DataFrame) -> Columns:
    return {**{name: frame[name] for name in frame}, "features": frame[FEATURES]}


def as_pandas_of_extension_types(frame: pd.DataFrame) -> Columns:
    typed = frame.convert_dtypes().astype({"patient": "category", "label": "boolean"})
    return as_pandas(typed)


def as_polars(frame: pd.DataFrame) -> Columns:
    made = pl.DataFrame({name: frame[name].tolist() for name in frame})
    return {**{name: made[name] for name in made.columns}, "features": made[FEATURES]}


def as_arrow(frame: pd.DataFrame) -> Columns:
    made = pa.Table.from_pandas(frame, preserve_index=False)
    return {**{name: made[name] for name in made.column_names},
            "features": frame[FEATURES].to_numpy().tolist()}  # fmt: skip


def as_tensors(frame: pd.DataFrame) -> Columns:
    columns: Columns = {
        name: torch.from_numpy(frame[name].to_numpy(copy=True))
        for name in frame
        if name != "patient"
    }
    features = torch.tensor(frame[FEATURES].to_numpy(), requires_grad=True)
    return {**columns, "patient": frame["patient"].tolist(), "features": features}


def as_lists(frame: pd.DataFrame) -> Columns:
    made = {name: frame[name].tolist() for name in frame}
    return {**made, "features": frame[FEATURES].to_numpy().tolist()}


def as_arrays(frame: pd.DataFrame) -> Columns:
    made = {name: frame[name].to_numpy() for name in frame}
    return {
        **made,
        "patient": frame["patient"].to_numpy(str),
        "features": frame[FEATURES].to_numpy(),
    }


FORMS = [as_pandas, as_pandas_of_extension_types, as_polars, as_arrow, as_tensors, as_lists]


def contrast(c: Columns) -> Any:
    scores = [[c["score"], c["other"]], [c["again"], c["once_more"]]]
    stacked = [np.stack([np.asarray(x) for x in pair], axis=1) for pair in scores]
    several = lussweep.contrast(c["label"], *stacked, c["patient"], level="patient_mean")
    one = lussweep.contrast(c["label"], c["score"], c["other"], c["patient"])
    return one.effect, one.conditional, several.interval, several.p_value


def worth(c: Columns) -> Any:
    scores = {("baseline", 3, 1): c["score"], ("baseline", 6, 1): c["other"],
              ("baseline", 3, 2): c["other"], ("baseline", 6, 2): c["again"],
              ("combined", 3, 1): c["again"], ("combined", 3, 2): c["other"]}  # fmt: skip
    return lussweep.worth(c["label"], scores, c["patient"], n_resamples=200)


def card(c: Columns) -> Any:
    patients = {
        "training_patients": c["patient"][:40],
        "holdout_patients": [f"H{i % 5}" for i in range(10)],
    }
    frames, others = frames_of(c["features"])[:40], frames_of(unlike(10))
    made = lussweep.release_card(frames, frames, others, **patients)
    rows = made.ratio_K.tolist(), made.is_copy_K.tolist(), made.nearest_training_K.tolist()
    return dict(made.values), made.copies_of_patient, made.verdict, rows


def frames_of(features: Any) -> Any:
    """Frames (N, 16, 16), each with waves of its row's features: a list or a tensor, or an array.

    Tables have no frames.
    """
    across, down = np.meshgrid(np.arange(16), np.arange(16))
    row_ND11 = as_numbers(features, "features")[:, :, None, None]
    waves = np.sin(across + row_ND11[:, 0]) * np.cos(row_ND11[:, 1] * down + row_ND11[:, 2])
    frames = np.round(127 + 120 * waves).astype(np.uint8)
    if isinstance(features, torch.Tensor):
        return torch.from_numpy(frames)
    return frames.tolist() if isinstance(features, list) else frames


def unlike(n: int) -> np.ndarray:
    return np.random.default_rng(8).normal(size=(n, 3))


def scored(c: Columns) -> Scored:
    return Scored(c["label"], c["score"], c["patient"], None, np.arange(len(c["label"])))


PUBLIC: dict[str, Callable[[Columns], Any]] = {
    "auroc_interval": lambda c: lussweep.auroc_interval(c["label"], c["score"], c["patient"]),
    "contrast": contrast,
    "worth": worth,
    "kmmd": lambda c: lussweep.kmmd(c["features"], unlike(30)),
    "one_nn": lambda c: lussweep.one_nn(unlike(len(c["label"])), c["features"]),
    "kid": lambda c: lussweep.kid(c["features"], unlike(30), n_subsets=5),
    "fid": lambda c: lussweep.fid(c["features"], unlike(30)),
    "release_card": card,
}
INNER: dict[str, Callable[[Columns], Any]] = {
    "auroc": lambda c: auroc(c["label"], c["score"]),
    "win_matrix": lambda c: [x.tolist() for x in win_matrix(c["label"], c["score"], c["patient"])],
    "at_threshold": lambda c: at_threshold(c["label"], c["score"], 0.5),
    "to_patients": lambda c: to_patients(scored(c)).score_U.tolist(),
    "delong_test": lambda c: delong_test(*[to_patients(scored(c))] * 2).auroc,
    "pair_up": lambda c: pair_up({("v", 1): scored(c)}).wins["v", 1].tolist(),
    "average_precision": lambda c: average_precision(scored(c)),
    "calibration_line": lambda c: calibration_line(c["label"], c["score"]),
    "line_estimate": lambda c: line_estimate(scored(c)),
    "recalibrated": lambda c: recalibrated(
        calibration_line(c["label"], c["score"]), c["score"]
    ).tolist(),
    "net_benefits": lambda c: net_benefits(scored(c), [0.3, 0.6]),
    "threshold": lambda c: threshold_for_specificity(c["label"], c["score"], 0.8),
    "operating_point": lambda c: operating_point(c["label"], c["score"], c["patient"], 0.5),
}


def test_every_public_function_of_arrays_is_tested() -> None:
    without_arrays = {"load_run", "run_study", "LoadedRun", "ReleaseCard"}
    assert set(PUBLIC) == set(lussweep.__all__) - without_arrays


@pytest.mark.parametrize("how", ["shuffled", "sorted", "filtered"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*PUBLIC, *INNER])
def test_a_function_takes_rows_by_position(
    name: str, form: Callable[[pd.DataFrame], Columns], how: str
) -> None:
    function = {**PUBLIC, **INNER}[name]
    frame = table().iloc[in_order(how)]
    assert len(frame) < len(table()) or how != "filtered"
    found, expected = function(form(frame)), function(as_arrays(frame))
    assert repr(found) == repr(expected)


@pytest.mark.parametrize("how", ["shuffled", "sorted"])
def test_the_order_of_rows_changes_no_auroc(how: str) -> None:
    frame = table()
    expected = roc_auc_score(frame["label"], frame["score"])
    moved = frame.iloc[in_order(how)]
    found = lussweep.auroc_interval(moved["label"], moved["score"], moved["patient"])
    assert found.estimate == pytest.approx(expected, abs=1e-12)
    straight = lussweep.auroc_interval(frame["label"], frame["score"], frame["patient"])
    assert found.interval == pytest.approx(straight.interval, abs=1e-12)


def test_columns_of_two_tables_are_refused() -> None:
    frame = table()
    moved = frame.iloc[in_order("shuffled")]
    message = "labels and scores are pandas columns with different indexes: take both from one"
    with pytest.raises(ValueError, match=message):
        lussweep.auroc_interval(frame["label"], moved["score"], frame["patient"])
    with pytest.raises(ValueError, match="labels and patients are pandas columns"):
        win_matrix(frame["label"], frame["score"], moved["patient"])
    with pytest.raises(ValueError, match="labels and reference_scores are pandas columns"):
        lussweep.contrast(frame["label"], frame["score"], moved["other"], frame["patient"])
    # Arrays have no index: whoever gives them says that rows are in one order.
    lussweep.auroc_interval(frame["label"], moved["score"].to_numpy(), frame["patient"])


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_data_frames_with_their_columns_in_another_order_are_refused(kind: Any) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=8) for name in "abc"}
    one, other = kind(columns), kind({name: columns[name] for name in "cab"})
    message = "are data frames with the same columns in another order: put them in one order"
    for score in (lussweep.kmmd, lussweep.one_nn, lussweep.kid, lussweep.fid):
        with pytest.raises(ValueError, match=message):
            score(one, other)
    with pytest.raises(ValueError, match=f"^scores and reference_scores {message}"):
        lussweep.contrast([0, 1] * 4, one, other, range(8))
    # Columns of other names say nothing about an order.
    assert lussweep.kmmd(one, kind(dict(zip("xyz", columns.values(), strict=True)))) == 0


def test_scores_of_a_network_in_bfloat16_are_read() -> None:
    scores = torch.linspace(0, 1, 24).bfloat16()
    found = lussweep.auroc_interval([0] * 12 + [1] * 12, scores, range(24))
    assert found.estimate == 1
