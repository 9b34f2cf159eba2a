"""Arguments as people type them."""

from __future__ import annotations

import pytest

from lussweep.errors import InputError
from lussweep.run.arguments import parse_coordinates


def test_a_value_alone_belongs_to_the_axis_before_it() -> None:
    assert parse_coordinates(["n_patients=6, 15", "variant=a=b"]) == {
        "n_patients": ["6", "15"], "variant": ["a=b"],
    }  # fmt: skip
    assert parse_coordinates(["n_patients=6", "n_patients=15,"]) == {"n_patients": ["6", "15"]}


@pytest.mark.parametrize("text", ["6", "=6", "n_patients=", "variant=a,=6"])
def test_a_value_without_an_axis_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not of the form axis=value"):
        parse_coordinates(["variant=baseline", text])
