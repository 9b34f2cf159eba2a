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
_ROWS, _FEATURES = 1024, 4096
"""Samples of each set per tile, and features taken at a time: two float64 pieces of 32 MiB."""


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

    Never negative, and exactly 0 for equal rows (see SAME_POINT). `centre_D`, a point amid the
    samples, is subtracted first: it changes no distance and keeps rounding small.
    `block_size`: rows per tile, 1,024 by default.
    """
    for rows in _slices(len(a_ND), block_size or _ROWS):
        for columns in _slices(len(b_MD), block_size or _ROWS):
            yield rows, columns, _squared(a_ND[rows], b_MD[columns], centre_D)


def _squared(a_ND: Floats, b_MD: Floats, centre_D: Float64s) -> Float64s:
    """|a|^2 + |b|^2 - 2ab, summed over pieces of the features, shape (N, M)."""
    norms_NM = np.zeros((len(a_ND), len(b_MD)))
    products_NM = np.zeros_like(norms_NM)
    for part in _slices(len(centre_D), _FEATURES):
        x_ND, y_MD = a_ND[:, part] - centre_D[part], b_MD[:, part] - centre_D[part]
        norms_NM += np.einsum("nd,nd->n", x_ND, x_ND)[:, None]
        norms_NM += np.einsum("md,md->m", y_MD, y_MD)
        products_NM += x_ND @ y_MD.T
    squared_NM = norms_NM - 2 * products_NM
    squared_NM[squared_NM < SAME_POINT * norms_NM] = 0.0
    return squared_NM


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
