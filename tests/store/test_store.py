import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import pytest

from lussweep.errors import InputError
from lussweep.store.artifacts import RECORD, ArtifactStore
from support.commands import environment

REF = "gan/0123456789abcdef"


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def put(store, ref=REF, text="data", record=None):
    with store.commit(ref, {} if record is None else record) as out:
        (out / "file.txt").write_text(text)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- whole or not at all ------------------------------------------------------------------


def test_a_committed_artifact_is_found_and_holds_what_was_written(store):
    assert not store.has(REF)
    put(store, text="kept")
    assert store.has(REF)
    assert store.open(REF) == store.root / REF
    assert (store.open(REF) / "file.txt").read_text() == "kept"


def test_nothing_is_seen_before_the_block_ends(store):
    with store.commit(REF, {}) as out:
        (out / "file.txt").write_text("half")
        assert not store.has(REF)
        assert not (store.root / REF).exists()
        with pytest.raises(FileNotFoundError):
            store.open(REF)


def test_a_record_that_cannot_be_written_leaves_nothing_behind(store):
    with pytest.raises(TypeError), store.commit(REF, {"device": object()}):
        pass
    assert not store.has(REF)
    assert files(store.root) == []


def test_no_scratch_is_left_after_a_commit(store):
    put(store)
    assert list((store.root / ".tmp").iterdir()) == []
    assert files(store.root) == [f"{REF}/file.txt", f"{REF}/{RECORD}"]


def test_a_second_commit_keeps_the_first(store):
    put(store, text="first", record={"n": 1})
    put(store, text="second", record={"n": 2})
    assert (store.open(REF) / "file.txt").read_text() == "first"
    assert store.record(REF) == {"n": 1}
    assert files(store.root) == [f"{REF}/file.txt", f"{REF}/{RECORD}"]


def test_a_folder_without_a_record_is_no_artifact(store):
    (store.root / REF).mkdir(parents=True)
    (store.root / REF / "file.txt").write_text("stray")
    assert not store.has(REF)
    assert not store.surveyed().has(REF)
    with pytest.raises(InputError, match=r"no record\.json.*: delete it"), store.commit(REF, {}):
        pytest.fail("what the step makes would be lost")
    assert not store.has(REF)
    assert (store.root / REF / "file.txt").exists()


# --- records ------------------------------------------------------------------------------


# --- further stores -----------------------------------------------------------------------


def test_artifacts_of_further_stores_are_read_and_never_written(tmp_path):
    other = ArtifactStore(tmp_path / "other")
    put(other, text="theirs", record={"n": 1})
    before = files(other.root)
    store = ArtifactStore(tmp_path / "own", [ArtifactStore(tmp_path / "nowhere"), other])
    assert store.has(REF)
    assert store.open(REF) == other.root / REF
    assert store.record(REF) == {"n": 1}
    put(store, "gan/ffff", text="own")
    assert files(other.root) == before
    assert not other.has("gan/ffff")


def test_the_own_artifact_comes_before_that_of_another_store(tmp_path):
    other = ArtifactStore(tmp_path / "other")
    put(other, text="theirs")
    store = ArtifactStore(tmp_path / "own", [other])
    put(store, text="own")
    assert (store.open(REF) / "file.txt").read_text() == "own"


# --- can it be written --------------------------------------------------------------------


def test_a_new_folder_is_made_and_left_empty_by_the_check(store):
    store.check_writable()
    assert list(store.root.iterdir()) == []


def test_a_file_in_the_way_is_an_input_error_that_names_it(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write to .*taken.*choose another --out"):
        ArtifactStore(tmp_path / "taken").check_writable()


def test_a_folder_below_a_file_is_an_input_error(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write to .*deeper"):
        ArtifactStore(tmp_path / "taken" / "deeper").check_writable()
    assert (tmp_path / "taken").read_text() == "not a folder"


def test_a_full_disk_is_an_input_error_that_says_how_much_is_needed(store, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 5e6, 5e6))
    with pytest.raises(InputError, match=r"has 5 MB left, at least 100 MB are needed"):
        store.check_writable()
    store.check_writable(needed_bytes=5_000_000)


# --- where an unfinished step works -------------------------------------------------------


def test_steps_have_workplaces_of_their_own(store):
    with store.workplace(REF) as mine, store.workplace("gan/ffff") as other:
        assert mine != other
        (mine / "half").write_text("mine")
        assert files(other) == ["lock"]


HOLD = """
import sys
from pathlib import Path
from lussweep.store.artifacts import ArtifactStore
with ArtifactStore(Path(sys.argv[1])).workplace(sys.argv[2]) as work:
    (work / "half").write_text("theirs")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(store):
    """Another process in the workplace, until its input ends."""
    command = [sys.executable, "-c", HOLD, str(store.root), REF]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment(), text=True, **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate(timeout=30)


def test_while_another_process_works_there_a_workplace_is_private_and_then_goes(store, holder):
    with store.workplace(REF) as work:
        assert work != store.workplace_of(REF)
        assert list(work.iterdir()) == []
        (work / "half").write_text("mine")
        with store.workplace(REF) as third:
            assert third not in (work, store.workplace_of(REF))
    assert not work.exists()
    assert (store.workplace_of(REF) / "half").read_text() == "theirs"
    holder.communicate("", timeout=30)
    assert holder.returncode == 0
    with store.workplace(REF) as work:
        assert work == store.workplace_of(REF), "free again"


def test_a_killed_process_leaves_its_workplace_free_and_what_it_had(store, holder):
    holder.kill()
    holder.wait(30)
    with store.workplace(REF) as work:
        assert work == store.workplace_of(REF)
        assert (work / "half").read_text() == "theirs"


def test_a_commit_leaves_the_workplace_that_another_process_has(store, holder):
    """Two processes may make one artifact; the slower one loses nothing that it works on."""
    put(store)
    assert (store.workplace_of(REF) / "half").read_text() == "theirs"
    assert store.has(REF)
    holder.communicate("", timeout=30)
    put(store)  # as the slower one does when it is done
    assert not store.workplace_of(REF).exists()


def test_a_commit_after_a_killed_process_clears_its_workplace(store, holder):
    holder.kill()
    holder.wait(30)
    put(store)
    assert not store.workplace_of(REF).exists()


@pytest.mark.parametrize(("days", "is_kept"), [(6, True), (8, False)])
def test_cleaning_spares_the_folder_of_a_step_that_takes_days(tmp_path, days, is_kept):
    store, of_another_run = ArtifactStore(tmp_path), ArtifactStore(tmp_path)
    with store.commit(REF, {}) as out:
        started = time.time() - days * 86_400
        os.utime(out, (started, started))
        of_another_run.clean_scratch()
        assert out.exists() == is_kept
        out.mkdir(exist_ok=True)


def test_cleaning_keeps_a_workplace_for_a_month_unless_its_artifact_is_there(tmp_path):
    store = ArtifactStore(tmp_path)
    for ref in ("gan/aaaa", "gan/bbbb", "gan/cccc"):
        with store.workplace(ref) as work:
            (work / "checkpoint").write_text("state")
    with store.commit("gan/bbbb", {}) as out:
        (out / "data").write_text("done")
    with store.workplace("gan/bbbb") as work:  # another attempt that came too late
        (work / "checkpoint").write_text("state")
    old = time.time() - 31 * 86_400
    for path in (store.workplace_of("gan/cccc"), *store.workplace_of("gan/cccc").iterdir()):
        os.utime(path, (old, old))
    store.clean_scratch()
    left = {ref for ref in ("gan/aaaa", "gan/bbbb", "gan/cccc") if store.workplace_of(ref).exists()}
    assert left == {"gan/aaaa"}


@pytest.mark.parametrize("ref", ["../gan/1a", "gan/../../x", "/etc"])
def test_a_ref_that_leads_out_of_the_store_is_refused(store, ref):
    with pytest.raises(InputError, match="is not an artifact: it would lie outside"):
        store.open(ref)
