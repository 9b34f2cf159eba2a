"""What an object store alone does: copies on a node, half uploads, checkpoints for other nodes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lussweep.backend.inline import attempt
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.store.cache import ArtifactCache, size_bytes
from lussweep.store.object_store import ObjectStore
from lussweep.store.remote import StorageError
from lussweep.study.plan import Step
from support.commands import environment

REF = "gan/0123456789abcdef"
MB = 1_000_000


@pytest.fixture
def store(s3, own_cache):
    return ObjectStore(s3.url())


def put(store, ref=REF, n_bytes=4):
    with store.commit(ref, {}) as out:
        (out / "file").write_bytes(b"x" * n_bytes)


def go_to(monkeypatch, tmp_path, node):
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / node))


def copies(store):
    return {f"{p.parents[2].name}/{p.parents[1].name}" for p in store.root.glob("[!.]*/*/*/file")}


# --- copies -------------------------------------------------------------------------------


def test_copies_stay_within_the_bound_and_the_longest_unused_go(store, monkeypatch, tmp_path):
    refs = [f"synth/{i:016x}" for i in range(6)]
    for ref in refs:
        put(store, ref, MB)
    go_to(monkeypatch, tmp_path, "other")
    monkeypatch.setenv("LUSSWEEP_CACHE_GB", "0.0035")
    for i, ref in enumerate(refs):
        with store.in_use():
            os.utime(store.open(ref), (i, i))  # in the order of their use, whatever the clock
            os.utime(store.open(refs[0]), (i + 0.5, i + 0.5))
        assert sum(map(size_bytes, ArtifactCache()._entries())) <= 3.5 * MB
    assert copies(store) == {refs[0], refs[4], refs[5]}
    assert (store.open(refs[1]) / "file").stat().st_size == MB, "what went is fetched again"


def test_a_file_that_another_process_renames_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "whole").write_bytes(b"12345")
    (tmp_path / ".begun.partial").write_bytes(b"123")
    is_file = Path.is_file

    def renamed_after_a_look(path):
        found = is_file(path)
        if path.name == ".begun.partial":
            path.rename(tmp_path.with_name("begun"))
        return found

    monkeypatch.setattr(Path, "is_file", renamed_after_a_look)
    assert size_bytes(tmp_path) == 5


HOLD = """
import sys
from lussweep.store.object_store import ObjectStore
print(ObjectStore(sys.argv[1]).open(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def test_what_another_process_uses_stays_until_it_ends(store, monkeypatch, tmp_path):
    refs = [f"synth/{i:016x}" for i in range(4)]
    for ref in refs:
        put(store, ref, MB)
    go_to(monkeypatch, tmp_path, "other")
    monkeypatch.setenv("LUSSWEEP_CACHE_GB", "0.0015")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store.place, refs[0]], env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        held = process.stdout.readline().strip()
        os.utime(held, (0, 0))
        for ref in refs[1:3]:
            with store.in_use():
                store.open(ref)
        assert refs[0] in copies(store)
    finally:
        process.kill()
        process.communicate(timeout=30)
    with store.in_use():
        store.open(refs[3])
    assert refs[0] not in copies(store), "a killed process uses nothing"


def test_many_who_want_one_artifact_fetch_it_once(store, s3, monkeypatch, tmp_path):
    put(store, n_bytes=MB)
    go_to(monkeypatch, tmp_path, "other")
    readers = [pickle.loads(pickle.dumps(store)) for _ in range(4)]
    s3.requests.clear()
    found = []
    threads = [
        threading.Thread(target=lambda r=r: found.append((r.open(REF) / "file").stat().st_size))
        for r in readers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [MB] * 4
    assert sum(r.startswith("GET") and r.endswith("/file") for r in s3.requests) == 1


def test_what_is_here_is_opened_without_a_request(store, s3):
    put(store)
    s3.requests.clear()
    assert (store.open(REF) / "file").exists()
    assert store.has(REF)
    assert store.record(REF) == {}
    assert s3.requests == []


def test_a_survey_of_many_steps_is_one_listing(store, s3):
    put(store)
    s3.requests.clear()
    survey = store.surveyed()
    assert [survey.has(f"trial/{i:016x}") for i in range(2000)] == [False] * 2000
    assert survey.has(REF)
    assert len(s3.requests) == 1


def test_parts_are_fetched_alone(store, s3, monkeypatch, tmp_path):
    with store.commit(REF, {}) as out:
        (out / "table").write_text("small")
        (out / "weights").write_text("large")
    go_to(monkeypatch, tmp_path, "other")
    s3.requests.clear()
    store.open(REF, "table")
    assert not [r for r in s3.requests if r.endswith("/weights")]


@pytest.mark.parametrize("size", ["much", "-1", "nan"])
def test_a_bound_that_is_no_size_is_refused(monkeypatch, size, own_cache):
    monkeypatch.setenv("LUSSWEEP_CACHE_GB", size)
    with pytest.raises(InputError, match=f"LUSSWEEP_CACHE_GB={size}"):
        ArtifactCache()


def test_a_relative_cache_is_refused(monkeypatch):
    monkeypatch.setenv("LUSSWEEP_CACHE", "cache")
    with pytest.raises(InputError, match="LUSSWEEP_CACHE=cache is relative"):
        ArtifactCache()


# --- whole or not at all ------------------------------------------------------------------


def half_upload(store, monkeypatch):
    """The node dies between the files and the record."""

    def die(name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.remote, "create", die)
        with pytest.raises(KeyboardInterrupt):
            put(store)


def test_a_half_uploaded_artifact_is_not_there_and_can_be_made(store, monkeypatch):
    half_upload(store, monkeypatch)
    assert len(store.remote.listing()) == 1
    assert not store.has(REF)
    assert not store.surveyed(0).has(REF)
    with pytest.raises(FileNotFoundError):
        store.open(REF)
    put(store, n_bytes=7)
    assert (store.open(REF) / "file").stat().st_size == 7
    assert store.files(REF) == ["file"]


def test_half_uploads_are_cleaned_once_nobody_can_be_at_them(store, monkeypatch):
    put(store, "gan/done")
    with store.workplace("gan/ffff") as work:
        (work / "state").write_text("so far")
        store.keep_workplace("gan/ffff", work)
    half_upload(store, monkeypatch)
    before = set(store.remote.listing())
    store.clean_scratch()
    assert set(store.remote.listing()) == before, "it may still be under way"
    store.clean_scratch(older_than_s=-60)
    gone = before - set(store.remote.listing())
    assert len(gone) == 1
    assert all(name.startswith(REF) for name in gone)


def test_a_step_whose_upload_fails_is_a_failed_step_and_can_be_tried_again(store, monkeypatch):
    step = Step("table", 1, {"a": 1}, {}, "a table")

    def stage(step, context, out):
        (out / "file").write_text("made")
        return {}

    def refuse(files):
        raise StorageError(f"cannot write {store.place}/x: InternalError: try again")

    monkeypatch.setattr("lussweep.stages.table.STAGES", {"table": stage})
    with monkeypatch.context() as patched:
        patched.setattr(store.remote, "upload", refuse)
        outcome = attempt(step, Context(store, "cpu"))
    assert outcome.error is not None
    assert outcome.error.startswith(f"StorageError: cannot write {store.place}")
    assert not store.has(step.ref)
    assert attempt(step, Context(store, "cpu")).error is None
    assert (store.open(step.ref) / "file").read_text() == "made"


# --- checkpoints for other nodes ----------------------------------------------------------


def checkpoint(work, number, size=1):
    (work / "checkpoints").mkdir(exist_ok=True)
    path = work / "checkpoints" / f"checkpoint_{number:08d}.pt"
    path.write_bytes(b"x" * size)
    return path


def test_another_node_goes_on_from_what_was_kept(store, monkeypatch, tmp_path):
    with store.workplace(REF) as work:
        (work / "snapshots").mkdir()
        (work / "snapshots" / "epoch_0001").write_text("one")
        first = checkpoint(work, 1)
        store.keep_workplace(REF, work)
        checkpoint(work, 2)
        checkpoint(work, 3)
        first.unlink()
        for begun in (".half.partial", "snapshots/.tmpQx7"):
            (work / begun).write_text("no")
        store.keep_workplace(REF, work)
    go_to(monkeypatch, tmp_path, "other")
    with store.workplace(REF) as work:
        names = {p.name for p in work.rglob("*") if p.is_file()} - {"lock"}
        assert names == {"epoch_0001", "checkpoint_00000002.pt", "checkpoint_00000003.pt"}
    put(store)
    assert not [n for n in store.remote.listing() if n.startswith(".work")]


def test_a_checkpoint_comes_after_all_that_it_needs(store, s3):
    with store.workplace(REF) as work:
        checkpoint(work, 1)
        (work / "zzz").write_text("written before the checkpoint")
        s3.requests.clear()
        store.keep_workplace(REF, work)
    puts = [r.rpartition("/")[2] for r in s3.requests if r.startswith("PUT")]
    assert puts == ["zzz", "checkpoint_00000001.pt"]


def test_no_training_ends_because_its_checkpoint_could_not_be_kept(store, monkeypatch, caplog):
    def refuse(files):
        raise StorageError("cannot write")

    with store.workplace(REF) as work, monkeypatch.context() as patched:
        checkpoint(work, 1)
        patched.setattr(store.remote, "upload", refuse)
        store.keep_workplace(REF, work)
    assert "cannot write" in caplog.text


def test_the_history_of_a_training_that_failed_elsewhere_is_found(store, monkeypatch, tmp_path):
    with store.workplace(REF) as work:
        (work / "losses.parquet").write_text("losses")
        store.keep_workplace(REF, work)
    go_to(monkeypatch, tmp_path, "other")
    assert store.left_behind(REF, "losses.parquet").read_text() == "losses"
    assert store.left_behind(REF, "events.parquet") is None
    assert store.left_behind("gan/ffff", "losses.parquet") is None


# --- names and records that lead elsewhere ------------------------------------------------------


def test_names_that_would_lie_outside_are_left_there(store, tmp_path):
    store.remote.write("folder/inside", b"x")
    store.remote.write("folder/deep/../../../evil", b"x")
    assert set(store.remote.listing("folder")) == {"inside"}


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b"{}", b'{"attempt": "../../etc"}', b'{"attempt": "a1", "summary": 3}'],
)
def test_a_record_that_is_none_is_named(store, data):
    store.remote.write(f"{REF}/record.json", data)
    with pytest.raises(InputError, match="cannot be read"):
        store.open(REF)


def test_a_ref_that_leads_out_is_refused(store):
    with pytest.raises(InputError, match="would lie outside"):
        store.has("../other/0123456789abcdef")
