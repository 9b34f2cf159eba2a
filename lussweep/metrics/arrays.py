"""Converts array-likes to NumPy arrays by position, or says in one line what is wrong with them.

An array-like is a NumPy array, a list, a PyTorch tensor, or a column of pandas, polars or Arrow. A
pandas column looks a number up in its index, so `column[order]` gives other values than
`array[order]` if rows were shuffled or filtered. Statistics must therefore see arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


class SupportsArray(Protocol):
    """What NumPy turns into an array: arrays, tensors, columns and data frames."""

    def __array__(self, *args: Any, **others: Any) -> Any: ...


ArrayLike: TypeAlias = Sequence[Any] | SupportsArray
"""An array, a list, a tensor, or a column of pandas, polars or Arrow."""

TEXT_KINDS, NUMBER_KINDS = "SU", "biuf"
"""The kinds of dtypes whose values are texts or real numbers."""


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """The values as an array in the order of their rows. An array is returned as it is.

    Raises ValueError, which calls them `name`, for what is no array-like, or for masked values.
    """
    if isinstance(values, np.ma.MaskedArray):
        _refuse_missing(np.ma.getmaskarray(values), name)
        return np.asarray(values.data)
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):  # a tensor of PyTorch, perhaps on a GPU or with gradients
        tensor: Any = values.detach().cpu()
        is_bfloat16 = str(tensor.dtype) == "torch.bfloat16"  # NumPy has no such type
        return np.asarray(tensor.float() if is_bfloat16 else tensor)
    is_text = isinstance(values, str | bytes)
    is_listed = isinstance(values, Sequence) and not is_text
    if not is_listed and (not hasattr(values, "__array__") or isinstance(values, Mapping | Set)):
        found = type(values).__name__
        raise ValueError(f"{name} are of type {found}: give an array, a list or a column")
    if hasattr(values, "__array__"):
        return np.asarray(values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} have rows of different lengths") from None
    if array.dtype.kind in TEXT_KINDS and array.ndim == 1:
        return np.asarray(values, dtype=object)  # keeps 1 and "1" apart
    return array


def as_numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    """The values as an array of real numbers. Whole numbers stay whole.

    Raises ValueError, which calls them `name`, for missing values or for what is no number.
    """
    array = as_array(values, name)
    if array.dtype.kind == "O":
        _refuse_missing(_is_missing(array), name)
        if any(isinstance(value, str | bytes) for value in array.ravel()):
            raise ValueError(f"{name} hold texts, such as {_first_text(array)!r}: give numbers")
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            found = type(array.ravel()[0]).__name__
            raise ValueError(f"{name} hold values of type {found}: give numbers") from None
    if array.dtype.kind not in NUMBER_KINDS:
        raise ValueError(f"{name} are of type {array.dtype}: give numbers")
    return array


def as_ids(values: ArrayLike, name: str) -> NDArray[Any]:
    """Ids as an array that can be sorted: texts or whole numbers, and no others.

    Raises ValueError, which calls them `name`, for a missing id, or for ids of several types, of
    which 1 and "1" may be one patient or two.
    """
    array = as_array(values, name)
    if isinstance(values, Sequence) and array.ndim == 1:  # a list may mix True and 1
        array = np.asarray(values, dtype=object)
    if array.dtype.kind == "O":
        _refuse_missing(_is_missing(array), name)
        kinds = {_kind(value) for value in array.ravel()}
        if len(kinds) > 1:
            raise ValueError(
                f"{name} are of several types ({', '.join(sorted(kinds))}): give all ids as texts, "
                "or all as whole numbers"
            )
        array = np.asarray(array.tolist())
    if array.dtype.kind == "f":
        _refuse_missing(np.isnan(array), name)
        if not (array == np.floor(array)).all():
            raise ValueError(f"{name} are numbers with fractions: give whole numbers or texts")
    return array


def check_one_table(columns: Mapping[str, ArrayLike]) -> None:
    """Raise ValueError if pandas columns, by name, have different indexes.

    Rows are paired by position. Columns with different indexes come from different tables, or from
    one table in two orders, and paired by position they would mix up rows without a word.
    """
    indexed: dict[str, Any] = {
        name: getattr(values, "index")  # noqa: B009  # a list has a method of this name
        for name, values in columns.items()
        if hasattr(values, "iloc")
    }
    first = next(iter(indexed), "")
    for name, index in indexed.items():
        if not index.equals(indexed[first]):
            raise ValueError(
                f"{first} and {name} are pandas columns with different indexes: take both from one "
                "table, or pass .to_numpy() of both if their rows are in one order"
            )


def check_one_order(tables: Mapping[str, ArrayLike]) -> None:
    """Raise ValueError if two data frames, by name, have the same columns in another order.

    Columns are paired by position, as rows are.
    """
    found = {
        name: getattr(values, "column_names", getattr(values, "columns", None))  # Arrow, others
        for name, values in tables.items()
    }
    named = {name: list(columns) for name, columns in found.items() if columns is not None}
    first = next(iter(named), "")
    for name, columns in named.items():
        if columns != named[first] and sorted(map(str, columns)) == sorted(map(str, named[first])):
            raise ValueError(
                f"{first} and {name} are data frames with the same columns in another order: put "
                "them in one order"
            )


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "truth value"
    if isinstance(value, int | np.integer):
        return "whole number"
    return type(value).__name__


def _is_missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """A mask of the values that are None, NaN, NaT or pandas' NA, in the shape of `array`."""
    flat = (value is None or type(value).__name__ == "NAType" or bool(value != value)
            for value in array.ravel())  # fmt: skip
    return np.fromiter(flat, dtype=np.bool_, count=array.size).reshape(array.shape)


def _refuse_missing(is_missing: NDArray[np.bool_], name: str) -> None:
    if is_missing.any():
        n, row = int(is_missing.sum()), int(np.argwhere(is_missing)[0][0])
        raise ValueError(
            f"{name} hold {n} missing value{'s' * (n != 1)}, the first in row {row} (from 0): drop "
            "such rows from all columns"
        )


def _first_text(array: NDArray[Any]) -> str:
    return next(str(value) for value in array.ravel() if isinstance(value, str | bytes))
