import json
import math
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussweep.study.keys import KEY_LENGTH, Section, canonical, derive_seed, digest, hashed_id

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
plain = st.recursive(
    leaves | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value):
    """The same value with the keys of every dict in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def with_tuples(value):
    if isinstance(value, dict):
        return {key: with_tuples(item) for key, item in value.items()}
    return tuple(with_tuples(item) for item in value) if isinstance(value, list) else value


def with_sections(value):
    if isinstance(value, dict):
        return Section({key: with_sections(item) for key, item in value.items()})
    return [with_sections(item) for item in value] if isinstance(value, list) else value


# --- canonical form -----------------------------------------------------------------------


@given(plain)
def test_the_order_of_keys_does_not_matter_at_any_depth(value):
    assert canonical(shuffled(value)) == canonical(value)


@given(plain)
def test_the_text_is_that_of_the_json_encoder_of_the_standard_library(value):
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))


@given(plain)
def test_a_section_stands_for_the_same_as_its_dict_at_any_depth(value):
    assert canonical(with_sections(value)) == canonical(value)


def test_a_section_is_a_dict_to_everybody_else():
    section = Section({"b": [1, None], "a": {"c": 0.5}})
    text = canonical(section)
    for copy in (pickle.loads(pickle.dumps(section)), json.loads(json.dumps(section))):
        assert copy == section == {"b": [1, None], "a": {"c": 0.5}}
        assert canonical(copy) == text


@given(plain)
def test_a_tuple_stands_for_the_same_as_a_list(value):
    assert canonical(with_tuples(value)) == canonical(value)


@given(plain)
def test_the_text_reads_back_to_the_value(value):
    assert json.loads(canonical(value)) == value


@given(plain, plain)
def test_only_equal_json_has_equal_text(first, second):
    equal = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (canonical(first) == canonical(second)) == equal


def test_a_boolean_an_integer_a_float_and_a_text_are_four_things():
    values = [1, True, 1.0, "1", [1], None, "None", "null", 0, False, 0.0, ""]
    assert len({canonical(value) for value in values}) == len(values)
    assert len({canonical({"a": value}) for value in values}) == len(values)


def test_the_order_of_a_list_matters():
    assert canonical([1, 2]) != canonical([2, 1])


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset(),
        Path("here"),
        np.int64(3),
        np.float64(0.5),
        np.bool_(True),
        np.zeros(2),
        b"bytes",
        Decimal("0.1"),
        1j,
        object(),
        range(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_canonical_form_is_refused_by_its_place(value):
    with pytest.raises(TypeError, match=rf"value\.gan\.sizes\[1\] is a {type(value).__name__}"):
        canonical({"gan": {"sizes": [1, value]}})
    with pytest.raises(TypeError, match=rf"value\.gan\.sizes\[1\] is a {type(value).__name__}"):
        canonical({"gan": Section({"sizes": [1, value]})})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_by_its_place(number):
    with pytest.raises(ValueError, match=r"value\.lr\[0\] is (nan|inf|-inf)"):
        canonical({"lr": [number]})


@pytest.mark.parametrize("key", [1, None, ("a",), 2.5])
def test_a_key_that_is_no_text_is_refused(key):
    with pytest.raises(TypeError, match=r"value\.sizes has the key"):
        canonical({"sizes": {key: 1}})


# --- digests ------------------------------------------------------------------------------


@given(plain)
def test_a_digest_is_sixteen_hex_digits(value):
    assert len(digest(value)) == KEY_LENGTH == 16
    assert set(digest(value)) <= set("0123456789abcdef")


def test_a_digest_follows_the_canonical_text():
    assert digest({"a": 1, "b": (2,)}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.0})


def test_digests_and_seeds_do_not_depend_on_the_process():
    code = (
        "from lussweep.study.keys import derive_seed, digest, hashed_id\n"
        "print(digest({'b': [1, 2.5, None], 'a': 'é'}), derive_seed(2023, 'gan', 'pos', 6, 1),"
        " hashed_id('p1'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "4242")
    }
    here = digest({"b": [1, 2.5, None], "a": "é"})
    assert printed == {f"{here} {derive_seed(2023, 'gan', 'pos', 6, 1)} {hashed_id('p1')}"}


# --- seeds --------------------------------------------------------------------------------

coordinates = st.lists(st.integers() | st.text(max_size=8), max_size=5)


@given(coordinates)
def test_a_seed_is_a_number_from_zero_to_two_to_the_63(names):
    assert 0 <= derive_seed(*names) < 2**63


@given(coordinates, coordinates)
def test_different_coordinates_give_different_seeds(first, second):
    assert (derive_seed(*first) == derive_seed(*second)) == (first == second)


def test_coordinates_do_not_run_together():
    seeds = {derive_seed(1, "a", 23), derive_seed(12, "a", 3), derive_seed(1, "a2", 3)}
    seeds |= {derive_seed("1", "a", 23), derive_seed(1, 23, "a"), derive_seed(1, "a", 2, 3)}
    assert len(seeds) == 6


def test_a_seed_does_not_depend_on_what_was_asked_before():
    in_order = [derive_seed(7, 1), derive_seed(7, True)]
    derive_seed.cache_clear()
    assert [derive_seed(7, True), derive_seed(7, 1)] == in_order[::-1]
    assert len(set(in_order)) == 2


def test_seeds_fill_their_range_evenly():
    seeds = [derive_seed(2023, "trial", i) for i in range(4000)]
    counts = np.bincount([seed >> 60 for seed in seeds], minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 500).max() < 100  # 4.8 standard deviations
    assert 1800 < sum(seed & 1 for seed in seeds) < 2200


# --- hashed ids ---------------------------------------------------------------------------


def test_a_hashed_id_tells_patients_apart_and_shows_none():
    ids = {hashed_id(f"patient-{i}") for i in range(500)}
    assert len(ids) == 500
    assert not any("patient" in hashed for hashed in ids)
