"""Squared Euclidean distances, tile by tile, so that no N x M matrix is ever held."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]

SAME_POINT = 1e-12
"""Below this share of |a|^2 + |b|^2 a squared distance is rounding: float32 features of one
image differ by about that much between two batch sizes."""
_TILE_ELEMENTS = 2**23
_MAX_ROWS = 1024


def check_features(real_ND: Floats, fake_MD: Floats) -> None:
    """Raise ValueError unless both are finite float matrices with rows and one feature count."""
    for name, x_ND in (("real", real_ND), ("fake", fake_MD)):
        if x_ND.ndim != 2 or 0 in x_ND.shape:
            raise ValueError(f"{name} features have shape {x_ND.shape}, not (samples, features)")
        if not np.issubdtype(x_ND.dtype, np.floating):
            raise ValueError(f"{name} features are {x_ND.dtype}, not floating point")
        if not np.isfinite(x_ND).all():
            raise ValueError(f"{name} features hold a value that is not finite")
    if real_ND.shape[1] != fake_MD.shape[1]:
        raise ValueError(
            f"real samples have {real_ND.shape[1]} features, fake ones {fake_MD.shape[1]}"
        )


def centre(real_ND: Floats) -> Float64s:
    """The mean sample, shape (D,), in float64."""
    return np.asarray(real_ND.mean(axis=0, dtype=np.float64))


def distance_tiles(
    a_ND: Floats, b_MD: Floats, centre_D: Float64s, *, block_size: int | None = None
) -> Iterator[tuple[slice, slice, Float64s]]:
    """Yield (rows of a, rows of b, their squared distances in float64), covering N x M once.

    |a|^2 + |b|^2 - 2ab is taken after subtracting `centre_D`, which changes no distance and
    keeps the three terms near the size of the result. Never negative, and exactly 0 for
    equal rows (see SAME_POINT). `block_size`: rows per tile, by default as many as keep a tile
    of samples within 64 MiB.
    """
    size = block_size or max(1, min(_MAX_ROWS, _TILE_ELEMENTS // a_ND.shape[1]))
    for rows in _slices(len(a_ND), size):
        a_BD = a_ND[rows] - centre_D
        a_sq_B = np.einsum("bd,bd->b", a_BD, a_BD)
        for columns in _slices(len(b_MD), size):
            b_BD = b_MD[columns] - centre_D
            b_sq_B = np.einsum("bd,bd->b", b_BD, b_BD)
            norms_BB = a_sq_B[:, None] + b_sq_B[None, :]
            squared_BB = norms_BB - 2 * (a_BD @ b_BD.T)
            squared_BB[squared_BB < SAME_POINT * norms_BB] = 0.0
            yield rows, columns, squared_BB


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
