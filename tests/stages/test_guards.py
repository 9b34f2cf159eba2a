"""A step refuses frames of others, whatever the tables of the store call them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lussweep.data.cohort import patient_ids
from lussweep.errors import LeakageError
from lussweep.stages import STAGES, Context
from lussweep.stages.context import cohort_frames, split_index
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Step

TRAIN = {"A": "shard/a", "B": "shard/b"}
INGEST = Step("ingest", 1, {"split": "train"}, TRAIN)


def rows(patient: str, **others: Any) -> list[dict[str, Any]]:
    first = {"patient_id": patient, "frame": 0, "label": 1, "shard": TRAIN[patient], "row": 0}
    return [{**first, **others}, {**first, "frame": 1, "row": 1, **others}]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    store = ArtifactStore(tmp_path / "store")
    for patient, ref in TRAIN.items():
        write(store, ref, "frames.parquet", rows(patient))
    return Context(store, "cpu")


def write(store: ArtifactStore, ref: str, name: str, index: list[dict[str, Any]]) -> None:
    folder = store.root / ref
    folder.mkdir(parents=True, exist_ok=True)
    tables.write(folder / name, index, tables.FRAMES)
    (folder / "record.json").write_text("{}")


def test_the_index_of_a_split_holds_the_frames_of_its_patients(
    context: Context, tmp_path: Path
) -> None:
    assert STAGES["ingest"](INGEST, context, tmp_path) == {"n_all_patients": 2, "n_frames": 4}


@pytest.mark.parametrize("other", [{"patient_id": "B"}, {"shard": "shard/b"}])
def test_the_index_of_a_split_refuses_frames_of_others(
    context: Context, tmp_path: Path, other: dict[str, str]
) -> None:
    write(context.store, "shard/a", "frames.parquet", [*rows("A")[:1], *rows("A", **other)[1:]])
    with pytest.raises(LeakageError, match="shard/a holds frames that are not of patient A: del"):
        STAGES["ingest"](INGEST, context, tmp_path)


@pytest.mark.parametrize("split", ["val", None])
def test_a_frame_of_another_split_or_of_none_is_refused(context: Context, split: str) -> None:
    index = [*rows("A", split="train"), *rows("B", split=split)]
    write(context.store, "ingest/train", "frames.parquet", index)
    step = Step("trial", 1, {}, {"train": "ingest/train"})
    with pytest.raises(LeakageError, match="patients of another split than train: B"):
        split_index(step, context, "train")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"patient_id": "C"}, "patients outside the train split: C"),
        ({"shard": "shard/c"}, "the cohort's frames are not of its patients A"),
        ({"split": None}, "patients of another split than train: A"),
    ],
)
def test_a_cohort_of_others_is_refused(
    context: Context, others: dict[str, Any], message: str
) -> None:
    write(
        context.store, "ingest/train", "frames.parquet",
        [row for patient in TRAIN for row in rows(patient, split="train")],
    )  # fmt: skip
    step = Step("trial", 1, {}, {"train": "ingest/train", "cohort": "cohort/c"})
    write(context.store, "cohort/c", "cohort.parquet", rows("A", split="train"))
    assert patient_ids(cohort_frames(step, context)) == ["A"]
    write(context.store, "cohort/c", "cohort.parquet", rows("A", **{"split": "train", **others}))
    with pytest.raises(LeakageError, match=message):
        cohort_frames(step, context)
