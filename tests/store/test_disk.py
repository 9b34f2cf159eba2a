"""A disk that is full, by the words of every library that writes for us."""

from __future__ import annotations

import errno
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from lussweep.backend.inline import attempt
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.disk import DiskFull, is_no_room, room_named
from lussweep.study.plan import Step
from support.faults import full_disk

MANY = np.random.default_rng(0).random(10_000)
WRITERS = {
    "text": lambda path: path.write_text(json.dumps(MANY.tolist())),
    "numpy": lambda path: np.save(path, MANY),
    "torch": lambda path: torch.save({"weights": torch.from_numpy(MANY)}, path),
    "torch, open file": lambda path: _save_open(path),
    "safetensors": lambda path: save_file({"weights": torch.from_numpy(MANY)}, path),
    "parquet": lambda path: pq.write_table(pa.table({"a": MANY}), path),
}


def _save_open(path):
    with path.open("wb") as file:
        torch.save({"weights": torch.from_numpy(MANY)}, file)


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_to_a_full_disk_is_told_where_it_is(writer, tmp_path):
    with pytest.raises(DiskFull) as caught, room_named(tmp_path), full_disk():
        WRITERS[writer](tmp_path / "file")
    line = str(caught.value)
    assert line.startswith(f"{tmp_path} has no room left (")
    assert line.endswith("): free some there")
    assert "\n" not in line
    WRITERS[writer](tmp_path / "file")  # as soon as there is room


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_found_behind_another_error(number):
    error = RuntimeError("could not save")
    error.__cause__ = OSError(number, "whatever it is called in this language")
    assert is_no_room(error)


def test_what_names_a_folder_already_keeps_its_words(tmp_path):
    """Of steps whose store was full, while the run folder has room."""
    told = InputError("DiskFull: /shared/store has no room left (No space left on device)")
    with pytest.raises(InputError) as caught, room_named(tmp_path):
        raise told
    assert caught.value is told


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), ValueError("the requested loss")]
)
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)) as caught, room_named(tmp_path):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("writer", WRITERS)
def test_a_step_without_room_leaves_nothing_that_counts_as_done(writer, tmp_path, monkeypatch):
    step = Step("table", 1, {"a": 1}, {}, "a table")
    store = ArtifactStore(tmp_path / "artifacts")

    def stage(step, context, out):
        WRITERS[writer](out / "file")
        return {}

    monkeypatch.setattr("lussweep.stages.table.STAGES", {"table": stage})
    with full_disk():
        outcome = attempt(step, Context(store, "cpu"))
    assert outcome.error.startswith(f"DiskFull: {store.root} has no room left (")
    assert not store.has(step.ref)
    assert [p for p in store.root.rglob("*") if p.is_file()] == []
    assert attempt(step, Context(store, "cpu")).error is None
