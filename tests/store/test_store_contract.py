"""What every store must do, on a disk and in an object store."""

from __future__ import annotations

import json
import pickle
import shutil
import threading

import pytest

from lussweep.store.artifacts import RECORD
from lussweep.store.object_store import artifact_store

REF = "gan/0123456789abcdef"


@pytest.fixture(params=["disk", "s3", "gcs"])
def store(request, tmp_path, own_cache):
    place = (
        tmp_path / "artifacts"
        if request.param == "disk"
        else request.getfixturevalue(request.param).url()
    )
    return artifact_store(place)


@pytest.fixture
def other_process(store):
    """The same store as another process gets it."""
    return pickle.loads(pickle.dumps(store))


@pytest.fixture
def other_node(other_process, tmp_path, monkeypatch):
    """Call it to go to a node that has copied nothing yet."""

    def go():
        monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "other-node"))
        return other_process

    return go


def put(store, ref=REF, text="data", record=None):
    with store.commit(ref, {} if record is None else record) as out:
        (out / "file.txt").write_text(text)


def text(store, ref=REF):
    return (store.open(ref) / "file.txt").read_text()


# --- whole or not at all ------------------------------------------------------------------


def test_a_committed_artifact_is_found_by_all_and_holds_what_was_written(
    store, other_process, other_node
):
    assert not store.has(REF)
    assert not other_process.has(REF)
    put(store, text="kept", record={"n": 1})
    for reader in (store, other_process, other_node()):
        assert reader.has(REF)
        assert text(reader) == "kept"
        assert reader.record(REF) == {"n": 1}


def test_folders_within_an_artifact_are_kept(store, other_node):
    with store.commit(REF, {}) as out:
        (out / "snapshots").mkdir()
        (out / "snapshots" / "epoch_0001").write_bytes(b"\0" * 10)
        (out / "empty").touch()
    found = other_node().open(REF)
    assert (found / "snapshots" / "epoch_0001").read_bytes() == b"\0" * 10
    assert (found / "empty").read_bytes() == b""


def test_nothing_is_seen_before_the_block_ends(store, other_process):
    with store.commit(REF, {}) as out:
        (out / "file.txt").write_text("half")
        for reader in (store, other_process):
            assert not reader.has(REF)
            with pytest.raises(FileNotFoundError, match=REF):
                reader.open(REF)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_inside_leaves_nothing_behind(store, error):
    def break_off():
        with store.commit(REF, {}) as out:
            (out / "file.txt").write_text("half")
            raise error

    with pytest.raises(error):
        break_off()
    assert not store.has(REF)
    assert store.files(REF) == []
    assert list((store.root / ".tmp").iterdir()) == []


def test_a_record_that_cannot_be_written_leaves_nothing_behind(store):
    with pytest.raises(TypeError), store.commit(REF, {"device": object()}) as out:
        (out / "file.txt").write_text("half")
    assert not store.has(REF)
    assert store.files(REF) == []


def test_after_a_failure_the_same_artifact_can_be_committed(store):
    with pytest.raises(RuntimeError), store.commit(REF, {}):
        raise RuntimeError
    put(store, text="second try")
    assert text(store) == "second try"


def test_a_second_commit_keeps_the_first(store, other_process, other_node):
    put(store, text="first", record={"n": 1})
    for writer in (store, other_process):
        put(writer, text="second", record={"n": 2})
    for reader in (store, other_process, other_node()):
        assert text(reader) == "first"
        assert reader.record(REF) == {"n": 1}


def test_of_two_commits_at_once_the_one_that_ends_first_is_kept(store, other_process, other_node):
    with store.commit(REF, {"who": "slow"}) as slow:
        (slow / "file.txt").write_text("slow")
        put(other_process, text="quick", record={"who": "quick"})
    for reader in (store, other_process, other_node()):
        assert text(reader) == "quick"
        assert reader.record(REF) == {"who": "quick"}


def test_of_many_commits_that_end_together_one_is_kept_whole(store, other_node):
    """Each writes two files; a mixture of two commits would show."""
    together = threading.Barrier(4)

    def write(who):
        with pickle.loads(pickle.dumps(store)).commit(REF, {"who": who}) as out:
            (out / "first").write_text(str(who))
            (out / "second").write_text(str(who))
            together.wait()

    writers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = other_node().open(REF)
    who = str(store.record(REF)["who"])
    assert (found / "first").read_text() == (found / "second").read_text() == who
    assert [n for n in store.files(REF) if n != RECORD] == ["first", "second"]


# --- records ------------------------------------------------------------------------------


def test_a_record_may_be_filled_inside_the_block(store, other_node):
    record = {"stage": "gan", "spec": {"n_epochs": 3, "name": "é"}}
    with store.commit(REF, record):
        record["summary"] = {"n_frames": 12, "share": 0.5, "none": None}
    reader = other_node()
    assert reader.record(REF) == record
    assert json.loads((reader.open(REF) / RECORD).read_text()) == record


def test_what_has_not_been_made_is_named_when_it_is_opened(store):
    with pytest.raises(FileNotFoundError, match=REF):
        store.open(REF)
    with pytest.raises(FileNotFoundError, match=REF):
        store.record(REF)


def test_artifacts_of_a_further_store_are_read_after_the_own_ones(store, tmp_path, s3):
    for further in (artifact_store(tmp_path / "further"), artifact_store(s3.url())):
        put(further, text="theirs", record={"n": 1})
        place = f"{store.place}/{'url' if '://' in further.place else 'path'}"
        both = artifact_store(place, [artifact_store(tmp_path / "nowhere"), further])
        for reader in (both, both.surveyed(0), pickle.loads(pickle.dumps(both))):
            assert reader.has(REF)
            assert text(reader) == "theirs"
            assert reader.record(REF) == {"n": 1}
            assert reader.where(REF) == f"{further.place}/{REF}"
        put(artifact_store(place), text="own")
        assert text(artifact_store(place, [further])) == "own"


def test_a_survey_knows_what_is_there_and_what_is_not(store, other_process):
    refs = [f"trial/{i:016x}" for i in range(5)]
    for ref in refs[:3]:
        put(other_process, ref, record={"ref": ref})
    with store.workplace("gan/ffff") as work:
        (work / RECORD).write_text("{}")
    survey = store.surveyed(0)
    survey.read_records(refs)
    assert [survey.has(ref) for ref in refs] == [True, True, True, False, False]
    assert [survey.record(ref) for ref in refs[:3]] == [{"ref": ref} for ref in refs[:3]]
    assert not survey.has("gan/ffff")


# --- parts of an artifact -----------------------------------------------------------------


def test_a_discarded_file_is_gone_and_its_artifact_still_done(store, other_node):
    with store.commit(REF, {}) as out:
        for name in ("kept", "dropped"):
            (out / name).write_text(name)
    assert {"kept", "dropped"} <= set(store.files(REF))
    store.discard(REF, "dropped")
    store.discard(REF, "dropped")
    for reader in (store, other_node()):
        assert reader.has(REF)
        assert (reader.open(REF) / "kept").read_text() == "kept"
        assert not (reader.open(REF) / "dropped").exists()
    assert "dropped" not in store.files(REF)


def test_the_files_that_are_asked_for_are_there_and_later_all(store, other_node):
    with store.commit(REF, {}) as out:
        for name in ("table", "weights"):
            (out / name).write_text(name)
    reader = other_node()
    assert (reader.open(REF, "table") / "table").read_text() == "table"
    assert not (reader.open(REF, "nothing") / "nothing").exists()
    assert (reader.open(REF) / "weights").read_text() == "weights"


# --- workplaces ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_workplace_is_found_again_after_an_exception(store, other_process, error):
    def break_off():
        with store.workplace(REF) as work:
            (work / "half").write_text("so far")
            raise error

    with pytest.raises(error):
        break_off()
    with other_process.workplace(REF) as work:
        assert (work / "half").read_text() == "so far"


def test_a_workplace_goes_when_the_artifact_is_committed_and_not_before(store):
    with store.workplace(REF) as work:
        (work / "half").write_text("so far")
    with pytest.raises(RuntimeError), store.commit(REF, {}):
        raise RuntimeError
    assert (work / "half").exists()
    with store.workplace("gan/ffff") as other:
        pass
    with store.commit(REF, {}) as out:
        with store.workplace(REF) as work:
            shutil.copy(work / "half", out / "file.txt")
        assert work.exists()
    assert not work.exists()
    assert other.exists(), "that of another step stays"
    assert text(store) == "so far"


def test_a_workplace_is_no_artifact(store):
    with store.workplace(REF) as work:
        (work / RECORD).write_text("{}")
        store.keep_workplace(REF, work)
        assert not store.has(REF)
        assert not store.surveyed(0).has(REF)


def test_the_check_leaves_nothing_behind(store):
    store.check_writable()
    assert store.surveyed(0).files(REF) == []
    assert not [p for p in store.root.rglob("*") if p.is_file()]
