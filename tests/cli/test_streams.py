"""A text can be printed on a stream of any encoding."""

from __future__ import annotations

import io
import sys

import pytest

from lussweep.cli.streams import PLAIN, make_printable


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_written_plainly(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    make_printable()
    print("0.9 ± 0.1 …", "".join(PLAIN), "\u4e2d")
    sys.stdout.flush()
    text = written.getvalue().decode(encoding)
    if encoding == "utf-8":
        assert text.startswith("0.9 ± 0.1 … ")
    else:
        assert text.rstrip().endswith("?")
        assert text.startswith("0.9 +- 0.1 ..." if encoding == "ascii" else "0.9 ± 0.1 ")
