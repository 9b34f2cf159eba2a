import pytest

from lussweep.errors import InputError, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n\t  lines  "), "two lines"),
        (InputError(["one", "other"]), "one other"),
        (MemoryError(), "MemoryError"),
        (OSError(" \n"), "OSError"),
        ("a  text", "a text"),
        ("", ""),
    ],
)
def test_an_error_is_told_in_one_line(error, text):
    assert one_line(error) == text


def test_long_texts_are_cut():
    assert one_line(ValueError("x" * 300)) == "x" * 200
    assert one_line(ValueError("x" * 300), limit=250) == "x" * 250
    assert one_line(ValueError("x" * 300), limit=None) == "x" * 300
