"""Object stores by URL, through fsspec: whole files in and out, listings, conditional writes.

The client of each file system retries transient errors (HTTP 500, slow answers, cut connections) a
bounded number of times, at growing intervals. An error that remains becomes a StorageError of one
line.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lussweep.errors import InputError, one_line
from lussweep.store.files import whole_file

S3_PATIENCE: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    "retries": {"mode": "standard", "max_attempts": 6},
}
"""Settings of botocore: it retries server errors for up to half a minute, and treats 30 s without
an answer as an error. `config_kwargs` in FSSPEC_S3 (fsspec's own variable) override them."""
WILDCARDS = set("*?[")
"""Characters by which fsspec finds, and deletes, whatever matches."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class StorageError(RuntimeError):
    """An operation on an object store failed, after every attempt."""


def is_url(place: object) -> bool:
    """Whether a place is a URL, not a path."""
    return "://" in str(place)


class RemoteFolder:
    """A folder in an object store. Names are relative to it, with forward slashes."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme}://{rest.rstrip('/')}"

    def __str__(self) -> str:
        return self.url

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None if there is no such file."""
        with self._errors_at("read", name):
            try:
                data: bytes = self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of the files that exist, fetched with many requests at a time."""
        paths = {self._path(name): name for name in names}
        with self._errors_at("read", ""):
            answers = self._fs.cat(list(paths), on_error="return") if paths else {}
            for answer in answers.values():
                if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                    raise answer
        return {paths[p]: data for p, data in answers.items() if isinstance(data, bytes)}

    def write(self, name: str, data: bytes) -> None:
        with self._errors_at("write", name):
            self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file unless there is one. Returns whether this call wrote it."""
        return create_if_absent(f"{self.url}/{name}", data)

    def listing(
        self, below: str = "", *, without: Collection[str] = ()
    ) -> dict[str, dict[str, Any]]:
        """What the file system knows of each file, by name relative to `below`.

        Files and folders named in `without` are left out and not listed. A name such as `../x`,
        which would leave the folder that it is copied to, is left out too.
        """
        if without:
            return self._listing_without(below, without)
        base = self._path(below).rstrip("/")
        with self._errors_at("list", below):
            try:
                info_of = self._fs.find(base, detail=True)
            except FileNotFoundError:
                return {}
        names = {path[len(base) + 1 :]: info for path, info in info_of.items() if path != base}
        return {name: info for name, info in names.items() if _stays_inside(name)}

    def _listing_without(self, below: str, without: Collection[str]) -> dict[str, dict[str, Any]]:
        with self._errors_at("list", below):
            try:
                entries = self._fs.ls(self._path(below), detail=True)
            except FileNotFoundError:
                return {}
        info_of: dict[str, dict[str, Any]] = {}
        for entry in entries:
            name = entry["name"].rstrip("/").rpartition("/")[2]
            if name in without:
                continue
            if entry["type"] != "directory":
                info_of[name] = entry
            else:
                inside = self.listing(f"{below}/{name}".lstrip("/"))
                info_of |= {f"{name}/{n}": info for n, info in inside.items()}
        return {name: info for name, info in info_of.items() if _stays_inside(name)}

    def upload(self, files: Mapping[str, Path]) -> None:
        if files:
            with self._errors_at("write", next(iter(files))):
                self._fs.put([str(p) for p in files.values()], [self._path(n) for n in files])

    def download(self, files: Mapping[str, Path]) -> None:
        """Copies files to local paths. Each file appears whole or not at all."""
        if not files:
            return
        with ExitStack() as stack:
            scratch = {
                name: stack.enter_context(whole_file(path, shared=True))
                for name, path in files.items()
            }
            with self._errors_at("read", next(iter(files))):
                self._fs.get([self._path(n) for n in scratch], [str(p) for p in scratch.values()])

    def download_if_there(self, name: str, path: Path) -> None:
        """Copies one file, whole or not at all. Does nothing if there is no such file."""
        with (
            self._errors_at("read", name),
            _absence_is_fine(),
            whole_file(path, shared=True) as scratch,
        ):
            self._fs.get_file(self._path(name), str(scratch))

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files. Ignores those that do not exist."""
        paths = [self._path(name) for name in names]
        if paths:
            with self._errors_at("delete", ""):
                try:
                    self._fs.rm(paths)
                except FileNotFoundError:
                    for path in paths:
                        with _absence_is_fine():
                            self._fs.rm_file(path)

    @property
    def _fs(self) -> Any:
        return file_system(self.url)[0]

    def _path(self, name: str) -> str:
        base = file_system(self.url)[1]
        return f"{base}/{name}" if name else base

    @contextmanager
    def _errors_at(self, doing: str, name: str) -> Iterator[None]:
        with storage_errors(doing, f"{self.url}/{name}".rstrip("/")):
            yield


def _stays_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def create_if_absent(url: str, data: bytes) -> bool:
    """Writes an object unless there is one. Returns whether it now holds this call's bytes.

    If several callers write different bytes at once, exactly one succeeds. A request that is sent
    again because its answer came too late counts as done.
    """
    fs, path = file_system(url)
    with storage_errors("write", url):
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            fs.invalidate_cache()
            return bool(fs.cat_file(path) == data)
        return True


def _remedy(error: BaseException, url: str) -> str:
    """What was wrong, and what to do about it, in one line."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(f"{type(e).__name__} {e}" for e in causes)
    is_s3 = EXTRAS.get(url.partition("://")[0]) == "s3"

    def says(*words: str) -> bool:
        return any(word in text for word in words)

    if says("bucket does not exist", "NoSuchBucket", "bucket is not valid"):
        remedy = "make the bucket first, or mend its name"
    elif says("Credential", "InvalidAccessKeyId", "Signature", "ExpiredToken", "auth"):
        how = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        remedy = how if is_s3 else "log in on this machine"
    elif says("PermissionError", "AccessDenied", "Forbidden"):
        remedy = "give these credentials the right to read, write and delete there"
    elif says("EndpointConnection", "ConnectTimeout", "gaierror", "ClientConnector"):
        remedy = "check the network" + (" and AWS_ENDPOINT_URL" if is_s3 else "")
    else:
        remedy = "try again, or choose another --out or --store"
    return f"{one_line(error, limit=None)}: {remedy}"


@contextmanager
def storage_errors(doing: str, url: str) -> Iterator[None]:
    """Turns any error of a client into a StorageError of one line that names the URL.

    Each client has errors of its own.
    """
    try:
        yield
    except (InputError, StorageError):
        raise
    except Exception as error:
        raise StorageError(f"cannot {doing} {url}: {_remedy(error, url)}") from error


@contextmanager
def _absence_is_fine() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return


@functools.cache
def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path within it. Raises InputError if there is none."""
    import fsspec

    scheme = url.partition("://")[0]
    options: dict[str, Any] = {"use_listings_cache": False}
    if EXTRAS.get(scheme) == "s3":
        user_config = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
        options["config_kwargs"] = {**S3_PATIENCE, **user_config}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        lacking = f"the extra {extra}: pip install 'lussweep[{extra}]'" if extra else str(error)
        raise InputError(f"{url} needs {lacking}") from None
    except ValueError as error:
        raise InputError(f"{url}: {error}: give a folder, s3://BUCKET/... or gs://...") from None
    if not path.strip("/"):
        raise InputError(f"{url} names no bucket: give {scheme}://BUCKET/PREFIX")
    if WILDCARDS & set(path):
        raise InputError(
            f"{url} has one of * ? [, which would stand for other names in the bucket too: give "
            "another name"
        )
    if EXTRAS.get(scheme) == "s3":
        fs.retries = 2  # s3fs's own attempts; botocore retries within each
    return fs, path.rstrip("/")
