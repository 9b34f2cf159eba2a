"""Tables such as a run collects, small and made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from lussweep.study.spec import StudySpec, load_study

STRENGTH = {
    "baseline": 1.0, "combined": 1.4, "pure_synthetic": 0.3, "oversample": 1.1, "classic": 1.2,
    "shuffled": 0.0, "mask_only": 0.0, "outline": 1.4,
}  # fmt: skip
Tables = tuple[pa.Table, pa.Table, pa.Table, pa.Table]


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., Tables]:
    """Results, holdout scores, validation scores and GAN scores."""
    return made


@pytest.fixture(scope="session")
def study_of() -> Callable[..., StudySpec]:
    """A study with a grid, by its variants and other axes."""
    return _study


def _study(
    variants: Sequence[str] = ("baseline", "combined", "pure_synthetic"), **grid: Any
) -> StudySpec:
    own = {"oversample": {"pos": ["real", "real"]}, "shuffled": {"labels": "shuffled"},
           "outline": {"frames": "mask"}}  # fmt: skip
    real = {"pos": ["real"], "neg": ["real"]}
    axes = {"n_patients": [6, 15, 58], "replicates": 3, "variants": list(variants), **grid}
    study = {
        "name": "a",
        "analysis": {"n_resamples": 300},
        "variants": {name: real | own.get(name, {}) for name in (*own, "classic")},
        "grid": axes,
    }
    return load_study(json.dumps(study))


def made(
    variants: Sequence[str] = ("baseline", "combined", "pure_synthetic"),
    *,
    counts: Sequence[int] = (6, 15, 58),
    n_replicates: int = 3,
    epochs: Sequence[int | None] = (None,),
    frames: Sequence[dict[str, Any]] | None = None,
) -> Tables:
    """Scores that follow the label the better, the more patients there are."""
    rng = np.random.default_rng(0)
    frames = one_class_patients() if frames is None else frames
    results, scores, gan_scores = [], [], []
    for n in counts:
        for replicate in range(1, n_replicates + 1):
            for variant in variants:
                for epoch in epochs if "synthetic" in variant or variant == "combined" else (None,):
                    cell = {
                        "n_patients": n, "replicate": replicate, "variant": variant,
                        "gan_epoch": epoch,
                    }  # fmt: skip
                    own = [
                        {**cell, **frame, "score": _score(rng, frame, STRENGTH[variant], n)}
                        for frame in frames
                    ]
                    found = roc_auc_score([f["label"] for f in own], [f["score"] for f in own])
                    scores += own
                    results.append({**cell, "status": "done", "auroc": found})
            gan_scores.append(
                {"n_patients": n, "replicate": replicate, "class": "pos", "gan": "base",
                 "epoch": epochs[0], "metric": "kmmd", "embedder": "detector", "space": "conv",
                 "value": float(rng.random())}
            )  # fmt: skip
    return (
        pa.Table.from_pylist(results, RESULTS),
        pa.Table.from_pylist(scores, tables.FRAME_SCORES),
        # As many frames of other patients, with the same scores: thresholds carry over exactly.
        pa.Table.from_pylist(
            [{**row, "patient_id": f"val-{row['patient_id']}"} for row in scores],
            tables.FRAME_SCORES,
        ),
        pa.Table.from_pylist(gan_scores, tables.GAN_SCORES),
    )


def one_class_patients(n_patients: int = 20, n_frames: int = 4) -> list[dict[str, Any]]:
    """Frames of patients of one class each, two videos each."""
    return [
        {
            "patient_id": f"p{patient:02d}", "video_id": f"p{patient:02d}-{frame % 2}",
            "frame": frame // 2, "label": patient % 2,
        }
        for patient in range(n_patients)
        for frame in range(n_frames)
    ]  # fmt: skip


def _score(rng: np.random.Generator, frame: dict[str, Any], strength: float, n: int) -> float:
    logit = strength * np.log(n) * (frame["label"] - 0.5) + rng.normal()
    return float(1 / (1 + np.exp(-logit)))
