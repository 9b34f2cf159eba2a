"""A message names what is wrong, and the remedy."""

from __future__ import annotations

import fsspec.core
import pytest

from support.commands import refusal


@pytest.mark.parametrize("command", ["status", "cancel", "logs"])
def test_a_url_without_its_extra_names_the_extra(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    url = f"s3://bucket/of-{command}"
    cell = ["variant=baseline"] if command == "logs" else []
    assert refusal(command, url, *cell) == (
        f"error: {url} needs the extra s3: pip install 'lussweep[s3]'"
    )
