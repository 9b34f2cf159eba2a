import pytest

from lussweep.errors import InputError, first_line, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n\t  lines  "), "two lines"),
        (InputError(["one", "other"]), "one other"),
        (MemoryError(), "MemoryError"),
        (OSError(" \n"), "OSError"),
        ("a  text", "a text"),
        ("herz-\udcfc.png is cut", "herz-\\udcfc.png is cut"),
        ("", ""),
    ],
)
def test_an_error_is_told_in_one_line(error, text):
    assert one_line(error) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("CUDA error\nSet an environment variable"), "CUDA error"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("\nno first line"), "RuntimeError"),
    ],
)
def test_the_first_line_of_an_error_without_text_is_its_type(error, text):
    assert first_line(error) == text


def test_long_texts_are_cut():
    assert one_line(ValueError("x" * 300)) == "x" * 200
    assert one_line(ValueError("x" * 300), limit=250) == "x" * 250
    assert one_line(ValueError("x" * 300), limit=None) == "x" * 300
