"""Conditional writes, patience with a server in trouble, and errors that name the remedy."""

from __future__ import annotations

import threading

import fsspec
import pytest

from lussweep.errors import InputError
from lussweep.store import remote as storage
from lussweep.store.conditional import read_with_version, replace_if_unchanged
from lussweep.store.folders import check_usable
from lussweep.store.remote import (
    RemoteFolder,
    StorageError,
    create_if_absent,
)
from support.bucket import BUCKET, CREDENTIALS
from support.commands import refusal


@pytest.fixture
def fresh(s3, monkeypatch):
    """Clients are made anew within the test, and again after it."""

    def forget():
        storage.file_system.cache_clear()
        fsspec.get_filesystem_class("s3").clear_instance_cache()

    forget()
    yield s3
    forget()


@pytest.fixture
def impatient(fresh, monkeypatch):
    patience = {"read_timeout": 0.3, "retries": {"mode": "standard", "max_attempts": 2}}
    monkeypatch.setattr(storage, "S3_PATIENCE", patience)
    return fresh


def at_once(n, function):
    """The results of n threads that start together."""
    together, results = threading.Barrier(n), [None] * n

    def run(i):
        together.wait()
        results[i] = function(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- conditional writes -------------------------------------------------------------------


def test_of_many_creations_one_wins_and_its_bytes_stay(bucket):
    url = f"{bucket.url()}/lease"
    won = at_once(8, lambda i: create_if_absent(url, f"{i}".encode()))
    assert sum(won) == 1
    data, _ = read_with_version(url)
    assert data == f"{won.index(True)}".encode()


def test_a_creation_that_was_sent_twice_counts_as_done(bucket):
    url = f"{bucket.url()}/lease"
    assert create_if_absent(url, b"mine")
    assert create_if_absent(url, b"mine")
    assert not create_if_absent(url, b"theirs")


def test_of_many_replacements_of_one_version_one_wins(bucket):
    url = f"{bucket.url()}/lease"
    assert create_if_absent(url, b"first")
    _, version = read_with_version(url)
    won = at_once(8, lambda i: replace_if_unchanged(url, f"{i}".encode(), version))
    assert sum(won) == 1
    data, now = read_with_version(url)
    assert data == f"{won.index(True)}".encode()
    assert now != version
    assert not replace_if_unchanged(url, b"late", version)
    assert replace_if_unchanged(url, b"next", now)


@pytest.mark.parametrize("version", ['"0123456789abcdef0123456789abcdef"', "17"])
def test_what_is_not_there_is_not_replaced(bucket, version):
    url = f"{bucket.url()}/lease"
    assert read_with_version(url) is None
    assert not replace_if_unchanged(url, b"mine", version)
    assert read_with_version(url) is None


def test_a_key_that_leads_out_of_the_folder_is_not_listed(s3):
    """Others may write into a bucket: such a name must not become a path of ours."""
    folder = RemoteFolder(f"{s3.url()}/run")
    folder.write("run.json", b"{}")
    path = folder._path("x").removesuffix("/x")
    for name in ("../evil.json", "a/../../evil.json"):
        folder._fs.pipe_file(f"{path}/{name}", b"evil")
    assert list(folder.listing()) == ["run.json"]
    assert list(folder.listing(without=["artifacts"])) == ["run.json"]


# --- a server in trouble ------------------------------------------------------------------


def test_a_server_that_fails_for_a_while_is_waited_for(s3, tmp_path):
    folder = RemoteFolder(s3.url())
    (tmp_path / "file").write_bytes(b"data")
    for _ in range(2):
        with s3.failing(1):
            folder.upload({"a/file": tmp_path / "file"})
            assert s3.n_failing == 0
        with s3.failing(1):
            assert folder.read("a/file") == b"data"
        with s3.failing(1):
            assert list(folder.listing("a")) == ["file"]
        with s3.failing(1):
            folder.download({"a/file": tmp_path / "copy"})
        assert (tmp_path / "copy").read_bytes() == b"data"


def test_a_server_that_goes_on_failing_is_one_clear_error_and_leaves_no_part(impatient, tmp_path):
    folder = RemoteFolder(impatient.url())
    folder.write("file", b"data")
    with impatient.failing(1000):
        with pytest.raises(StorageError, match=rf"cannot read {folder.url}/file: .*try again"):
            folder.read("file")
        with pytest.raises(StorageError, match=rf"cannot read {folder.url}/file"):
            folder.download({"file": tmp_path / "copy"})
        assert impatient.n_failing > 900, "the attempts are bounded"
    assert list(tmp_path.iterdir()) == []
    assert folder.read("file") == b"data"


def test_an_answer_that_does_not_come_is_an_error_and_not_an_absence(impatient):
    folder = RemoteFolder(impatient.url())
    folder.write("file", b"data")
    with impatient.slow(0.6), pytest.raises(StorageError, match="imeout"):
        folder.read("file")
    with impatient.slow(0.05):
        assert folder.read("file") == b"data"


# --- what the user must mend --------------------------------------------------------------


def test_an_unknown_scheme_is_refused(tiny_yaml, own_cache):
    assert "s3://BUCKET" in refusal("grid", tiny_yaml, "--out", "nowhere://bucket/run")


def test_a_bucket_that_is_not_there_is_to_be_made(s3, tiny_yaml, own_cache, tmp_path):
    line = refusal("grid", tiny_yaml, "--out", "s3://no-such-bucket/run", "--backend", "inline")
    assert "s3://no-such-bucket" in line
    assert "make the bucket first" in line
    line = refusal(
        "grid", tiny_yaml, "--out", tmp_path / "run", "--store", "s3://no-such-bucket/store",
        "--backend", "inline",
    )  # fmt: skip
    assert "make the bucket first" in line


def test_a_url_without_a_bucket_is_refused(s3, tiny_yaml, own_cache):
    assert "names no bucket" in refusal("grid", tiny_yaml, "--out", "s3://")


@pytest.mark.parametrize("name", ["run?", "run*", "run[1]"])
def test_a_name_that_stands_for_other_runs_is_refused(name):
    other = RemoteFolder("memory://bucket/run1")
    other.write("results.parquet", b"theirs")
    with pytest.raises(InputError, match=r"has one of \* \? \["):
        RemoteFolder(f"memory://bucket/{name}").delete(["results.parquet"])
    assert other.read("results.parquet") == b"theirs"


def test_without_credentials_the_variables_are_named(
    fresh, tiny_yaml, own_cache, monkeypatch, tmp_path
):
    for name in CREDENTIALS:
        if "METADATA" not in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    line = refusal("grid", tiny_yaml, "--out", f"s3://{BUCKET}/run", "--backend", "inline")
    assert "AWS_ACCESS_KEY_ID" in line


def test_where_nobody_answers_the_endpoint_is_named(impatient, tiny_yaml, own_cache, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    line = refusal("grid", tiny_yaml, "--out", f"s3://{BUCKET}/run", "--backend", "inline")
    assert "check the network and AWS_ENDPOINT_URL" in line


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    def missing(name, *arguments, **options):
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "get_filesystem_class", missing)
    with pytest.raises(InputError, match=r"pip install 'lussweep\[gcs\]'"):
        check_usable(RemoteFolder("gs://bucket/run"))


def test_conditions_say_what_they_do_not_take():
    with pytest.raises(InputError, match="only s3:// and gs://"):
        replace_if_unchanged("memory://bucket/lease", b"", "1")
