"""Object stores by URL, through fsspec: whole files in and out, listings, conditional writes.

Transient errors (HTTP 500, slow answers, cut connections) are tried again by the file system's own
client, a bounded number of times and further apart each time; what is still wrong then is a
StorageError of one line.
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
"""botocore's settings: up to half a minute of server errors is sat out, 30 s of silence are an
error. `config_kwargs` in FSSPEC_S3 (fsspec's own variable) go before them."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class StorageError(RuntimeError):
    """An object store did not do as it was asked, after every attempt."""


def is_url(place: object) -> bool:
    return "://" in str(place)


class RemoteFolder:
    """A folder in an object store. Names are relative to it, with forward slashes."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme}://{rest.rstrip('/')}"

    def __str__(self) -> str:
        return self.url

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None where there is no such file."""
        with self._told("read", name):
            try:
                data: bytes = self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of those files that are there, many requests at a time."""
        paths = {self._path(name): name for name in names}
        with self._told("read", ""):
            found = self._fs.cat(list(paths), on_error="return") if paths else {}
            for told in found.values():
                if isinstance(told, Exception) and not isinstance(told, FileNotFoundError):
                    raise told
        return {paths[p]: data for p, data in found.items() if isinstance(data, bytes)}

    def write(self, name: str, data: bytes) -> None:
        with self._told("write", name):
            self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; whether this call wrote it."""
        return create_if_absent(f"{self.url}/{name}", data)

    def listing(
        self, below: str = "", *, without: Collection[str] = ()
    ) -> dict[str, dict[str, Any]]:
        """What the file system knows of each file, by name relative to `below`.

        Files and folders named in `without` are left out, however much is in them, and so is what
        would lie outside a folder that it is copied to.
        """
        if without:
            return self._listing_without(below, without)
        base = self._path(below).rstrip("/")
        with self._told("list", below):
            try:
                found = self._fs.find(base, detail=True)
            except FileNotFoundError:
                return {}
        names = {path[len(base) + 1 :]: info for path, info in found.items() if path != base}
        return {name: info for name, info in names.items() if _stays_inside(name)}

    def _listing_without(self, below: str, without: Collection[str]) -> dict[str, dict[str, Any]]:
        with self._told("list", below):
            try:
                entries = self._fs.ls(self._path(below), detail=True)
            except FileNotFoundError:
                return {}
        found: dict[str, dict[str, Any]] = {}
        for entry in entries:
            name = entry["name"].rstrip("/").rpartition("/")[2]
            if name in without:
                continue
            if entry["type"] != "directory":
                found[name] = entry
            else:
                inside = self.listing(f"{below}/{name}".lstrip("/"))
                found |= {f"{name}/{n}": info for n, info in inside.items()}
        return {name: info for name, info in found.items() if _stays_inside(name)}

    def upload(self, files: Mapping[str, Path]) -> None:
        if files:
            with self._told("write", next(iter(files))):
                self._fs.put([str(p) for p in files.values()], [self._path(n) for n in files])

    def download(self, files: Mapping[str, Path]) -> None:
        """Copy files to local paths, each of which appears whole or not at all."""
        if not files:
            return
        with ExitStack() as stack:
            scratch = {
                name: stack.enter_context(whole_file(path, shared=True))
                for name, path in files.items()
            }
            with self._told("read", next(iter(files))):
                self._fs.get([self._path(n) for n in scratch], [str(p) for p in scratch.values()])

    def download_if_there(self, name: str, path: Path) -> None:
        """Copy one file, whole or not at all; nothing if there is none."""
        with self._told("read", name), _absence_is_fine(), whole_file(path, shared=True) as scratch:
            self._fs.get_file(self._path(name), str(scratch))

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are gone already."""
        paths = [self._path(name) for name in names]
        if paths:
            with self._told("delete", ""):
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
    def _told(self, doing: str, name: str) -> Iterator[None]:
        with told(doing, f"{self.url}/{name}".rstrip("/")):
            yield


def _stays_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def create_if_absent(url: str, data: bytes) -> bool:
    """Write an object unless there is one; whether it now holds this call's bytes.

    Of several callers at once exactly one wins, if their bytes differ. A request that was
    answered too late, and was therefore sent again, counts as done.
    """
    fs, path = file_system(url)
    with told("write", url):
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            fs.invalidate_cache()
            return bool(fs.cat_file(path) == data)
        return True


def _remedy(error: BaseException, url: str) -> str:
    """What was wrong, in one line that ends with what to do about it."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    told = " ".join(f"{type(e).__name__} {e}" for e in causes)
    is_s3 = EXTRAS.get(url.partition("://")[0]) == "s3"

    def says(*words: str) -> bool:
        return any(word in told for word in words)

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
def told(doing: str, url: str) -> Iterator[None]:
    """Whatever a client raises (each has errors of its own) becomes one line that names the URL."""
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
        own = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
        options["config_kwargs"] = {**S3_PATIENCE, **own}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        package = f"pip install 'lussweep[{extra}]'" if extra else str(error)
        raise InputError(f"{url} needs a further package: {package}") from None
    except ValueError as error:
        raise InputError(f"{url}: {error}: give a folder, s3://BUCKET/... or gs://...") from None
    if not path.strip("/"):
        raise InputError(f"{url} names no bucket: give {scheme}://BUCKET/PREFIX")
    if EXTRAS.get(scheme) == "s3":
        fs.retries = 2  # s3fs's own attempts, each of which has botocore's
    return fs, path.rstrip("/")
