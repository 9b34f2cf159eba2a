"""Real and synthetic frames in the plane of the principal components of their features."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lussweep.report.feature_figure import build_feature_figure
from lussweep.report.page.open import source_of
from lussweep.report.page.write import render_page
from lussweep.report.sections import SECTIONS
from lussweep.report.sections.feature_map import N_FRAMES, N_PATIENTS
from lussweep.store import tables
from lussweep.study.keys import hashed_id, is_hashed_id


@pytest.fixture(scope="module")
def points(uninterrupted: Path) -> list[dict[str, object]]:
    path = uninterrupted / "feature_map.parquet"
    return tables.read(path, SECTIONS["feature_map"].schema).to_pylist()


def test_every_kind_is_shown_and_patients_are_hashed(
    points: list[dict[str, object]], uninterrupted: Path
) -> None:
    frames = tables.read_any(uninterrupted / "frames.parquet").to_pylist()
    of_split = {
        split: {hashed_id(row["patient_id"]) for row in frames if row["split"] == split}
        for split in ("train", "holdout")
    }
    assert {row["kind"] for row in points} == {"train", "holdout", "synthetic"}
    for row in points:
        kind, patient = row["kind"], row["patient"]
        if kind == "synthetic":
            assert patient is None and row["gan"] == "base"
        else:
            assert isinstance(kind, str) and isinstance(patient, str) and is_hashed_id(patient)
            assert patient in of_split[kind] and row["gan"] is None
        assert (row["n_patients"] is None) == (kind == "holdout")
    n_of = Counter((row["kind"], row["n_patients"], row["class"]) for row in points)
    assert max(n_of.values()) <= N_FRAMES
    patients = {(row["kind"], row["n_patients"], row["class"], row["patient"]) for row in points}
    assert max(Counter(place[:3] for place in patients).values()) <= N_PATIENTS


def test_the_plane_is_that_of_training_frames_whose_patients_weigh_the_same(
    points: list[dict[str, object]],
) -> None:
    """The weighted mean of training frames is the origin, and their SD along component 1 is 1."""
    for label in ("pos", "neg"):
        train = [row for row in points if (row["class"], row["kind"]) == (label, "train")]
        if not train:
            continue
        n_of = Counter(row["patient"] for row in train)
        weight = [1 / n_of[row["patient"]] / len(n_of) for row in train]
        for name, expected in (("component_1", 1.0), ("component_2", None)):
            values = [float(str(row[name])) for row in train]
            mean = sum(w * v for w, v in zip(weight, values, strict=True))
            assert mean == pytest.approx(0, abs=1e-3)
            square = sum(w * v**2 for w, v in zip(weight, values, strict=True))
            assert expected is None or square == pytest.approx(expected, abs=1e-3)
            assert square <= 1 + 1e-3
        assert float(str(train[0]["share_1"])) >= float(str(train[0]["share_2"])) > 0


def test_a_page_that_may_be_shared_shows_the_points(finished: Path) -> None:
    source = replace(source_of(finished), is_shareable=True, is_phantom=False)
    page = render_page(source)
    assert source.collected.failed == {}
    assert 'id="figure-features"' in page and "<img" not in page


def test_a_run_without_points_has_no_figure() -> None:
    assert build_feature_figure(SECTIONS["feature_map"].schema.empty_table()) is None
