"""Replaces objects that have not changed since they were read: S3 by ETag, GCS by generation."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from lussweep.errors import InputError
from lussweep.store.remote import EXTRAS, file_system, storage_errors


def can_replace_conditionally(url: str) -> bool:
    """Whether the object store of a URL can replace an object of a given version only."""
    return EXTRAS.get(url.partition("://")[0]) in _VERSIONED


def read_with_version(url: str) -> tuple[bytes, str] | None:
    """An object's bytes and the name of their version, or None if there is no object."""
    fs, path, store = _versioned(url)
    with storage_errors("read", url):
        try:
            data, version = fs.cat_file(path), store.version(fs, path)
            while fs.cat_file(path) != data:  # replaced in between, so read both again
                data, version = fs.cat_file(path), store.version(fs, path)
        except FileNotFoundError:
            return None
    return data, version


def replace_if_unchanged(url: str, data: bytes, version: str) -> bool:
    """Writes an object if it still has this version. Returns whether it now holds these bytes.

    If several callers have the same version and different bytes, exactly one succeeds.
    """
    fs, path, store = _versioned(url)
    with storage_errors("write", url):
        try:
            store.replace(fs, path, data, version)
        except FileNotFoundError:
            return False
        except OSError as error:
            is_refused = isinstance(error, FileExistsError) or _code(error) in _REFUSALS
            if not is_refused:
                raise
            try:
                return bool(fs.cat_file(path) == data)
            except FileNotFoundError:
                return False
        return True


def _code(error: BaseException) -> str:
    """S3's code of an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class _S3:
    """Versions are ETags. A write carries If-Match."""

    @staticmethod
    def version(fs: Any, path: str) -> str:
        bucket, key, _ = fs.split_path(path)
        return str(fs.call_s3("head_object", Bucket=bucket, Key=key)["ETag"])

    @staticmethod
    def replace(fs: Any, path: str, data: bytes, version: str) -> None:
        bucket, key, _ = fs.split_path(path)
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, IfMatch=version)


class _Gcs:
    """Versions are generations. gcsfs has no condition for replacing, so this sends the request."""

    @staticmethod
    def version(fs: Any, path: str) -> str:
        return str(fs.info(path)["generation"])

    @staticmethod
    def replace(fs: Any, path: str, data: bytes, version: str) -> None:
        bucket, key, _ = fs.split_path(path)
        fs.call(
            "POST",
            f"{fs._location}/upload/storage/v1/b/{quote(bucket)}/o",
            uploadType="media",
            name=key,
            ifGenerationMatch=version,
            headers={"Content-Type": "application/octet-stream"},
            data=data,
        )


_VERSIONED: dict[str, type[_S3] | type[_Gcs]] = {"s3": _S3, "gcs": _Gcs}
_REFUSALS = ("PreconditionFailed", "ConditionalRequestConflict")


def _versioned(url: str) -> tuple[Any, str, type[_S3] | type[_Gcs]]:
    if not can_replace_conditionally(url):
        raise InputError(f"{url} cannot be replaced conditionally: only s3:// and gs:// can")
    return *file_system(url), _VERSIONED[EXTRAS[url.partition("://")[0]]]
