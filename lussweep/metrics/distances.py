"""Squared Euclidean distances in float64, tile by tile, so that no N x M matrix is held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lussweep.metrics.arrays import ArrayLike, as_numbers

Features = NDArray[np.floating[Any]] | NDArray[np.uint8] | Tensor
"""Floating-point features, or uint8 grey levels. Distances of grey levels are exact and cheaper."""
Device = torch.device | str

SAME_POINT = 1e-12
"""A squared distance below this share of |a|^2 + |b|^2 is rounding and counts as 0. Float32
features of one image differ by about that much between two batch sizes."""
TIE = 1e-9
"""Squared distances that differ by at most this share are a tie."""
_ROWS, _FEATURES = 1024, 4096
"""Samples of each set per tile, and features at a time: two float64 blocks of 32 MiB each."""
_MID_GREY = 128
_GREY_FEATURES = 1024
"""Features at a time for grey levels. A product of two levels about mid-grey is at most 2^14. This
many products add up to at most 2^24, and float32 holds every whole number up to 2^24. Products in
float32 take less than half the time of float64."""


@dataclass(frozen=True, eq=False)
class Points:
    """Samples on a device, and what every tile of their distances needs.

    x_ND: the samples in their own type. centre_D: a float64 point among the samples. It is
    subtracted before squaring, which changes no distance and keeps rounding small. Two sets that
    are compared have the same centre. norm_N: squared distance of each sample to the centre,
    float64.
    """

    x_ND: Tensor
    centre_D: Tensor
    norm_N: Tensor

    @staticmethod
    def around(centre_D: Tensor, x_ND: Tensor) -> "Points":
        """Samples N x D about a centre (D,), with their squared distances to it."""
        norms = [(x_BD - centre_D).square_().sum(dim=1) for x_BD in row_blocks(x_ND)]
        return Points(x_ND, centre_D, torch.cat(norms))

    def __len__(self) -> int:
        return len(self.x_ND)

    def is_constant(self) -> bool:
        """Whether all samples are equal."""
        return all(bool((x_BD == self.x_ND[0]).all()) for x_BD in row_blocks(self.x_ND))

    def mean_pair_distance(self) -> float:
        """Mean squared distance over all N x N pairs, without a pass over them.

        It equals twice the mean squared distance to the mean.
        """
        if self.is_constant():  # rounding may move the mean off the sample
            return 0.0
        off_mean = _mean(self.x_ND) - self.centre_D  # 0 unless the samples are grey levels
        return 2 * float(self.norm_N.mean() - off_mean.square().sum())


def check_features(
    real_ND: Features, fake_MD: Features, *, device: Device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Check both sets with `check_samples` and `check_same_width`, and return them on `device`."""
    real_ND = check_samples("real", real_ND, device=device)
    fake_MD = check_samples("fake", fake_MD, device=device)
    check_same_width(real_ND, fake_MD)
    return real_ND, fake_MD


def check_samples(name: str, given: ArrayLike, *, device: Device = "cpu") -> Tensor:
    """Return the samples as a tensor on `device`, sharing memory with the input where possible.

    Rows are taken by position, whatever array-like they come in. Raises ValueError, which calls
    them `name`, unless they are a matrix of finite floats or of uint8 grey levels with at least one
    row and one column.
    """
    x_ND = given if isinstance(given, Tensor) else as_numbers(given, f"{name} features")
    if x_ND.ndim != 2 or 0 in x_ND.shape:
        raise ValueError(f"{name} features have shape {tuple(x_ND.shape)}, not (samples, features)")
    if isinstance(x_ND, np.ndarray):
        if not np.issubdtype(x_ND.dtype, np.floating) and x_ND.dtype != np.uint8:
            raise ValueError(f"{name} features are {x_ND.dtype}, not floating point or uint8")
        # A tensor needs writable memory and strides that are not negative.
        x_ND = torch.from_numpy(np.require(x_ND, requirements=["C", "W"]))
    if not x_ND.is_floating_point() and x_ND.dtype != torch.uint8:
        raise ValueError(f"{name} features are {x_ND.dtype}, not floating point or uint8")
    x_ND = x_ND.detach().to(device)
    if x_ND.dtype == torch.uint8:
        return x_ND
    if not all(bool(x_BD.isfinite().all()) for x_BD in row_blocks(x_ND)):
        raise ValueError(f"{name} features hold a value that is not finite")
    return x_ND


def check_same_width(real_ND: Tensor, fake_MD: Tensor) -> None:
    """Raise ValueError unless both sets have the same number of features and kind of values."""
    if (real_ND.dtype == torch.uint8) != (fake_MD.dtype == torch.uint8):
        raise ValueError(f"real features are {real_ND.dtype}, fake ones {fake_MD.dtype}")
    if real_ND.shape[1] != fake_MD.shape[1]:
        raise ValueError(
            f"real samples have {real_ND.shape[1]} features, fake ones {fake_MD.shape[1]}"
        )


def centre(x_ND: Tensor) -> Tensor:
    """The point to subtract, shape (D,), float64: the mean, or mid-grey for grey levels."""
    if x_ND.dtype == torch.uint8:
        grey = torch.full((x_ND.shape[1],), _MID_GREY, dtype=torch.float64)
        return grey.to(x_ND.device)
    return _mean(x_ND)


def _mean(x_ND: Tensor) -> Tensor:
    total_D = torch.zeros(x_ND.shape[1], dtype=torch.float64, device=x_ND.device)
    for x_BD in row_blocks(x_ND):
        total_D += x_BD.double().sum(dim=0)
    return total_D / len(x_ND)


def distance_tiles(
    a: Points, b: Points, *, block_size: int | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows of a, rows of b, their squared distances in float64), covering N x M once.

    Distances are never negative, and exactly 0 for equal rows (see SAME_POINT). The caller may
    write into a tile. `block_size`: rows per tile, 1,024 by default.
    """
    for rows, columns in tiles(len(a), len(b), block_size=block_size):
        yield rows, columns, _squared(a, rows, b, columns)


def own_distance_tiles(
    x: Points, *, block_size: int | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The tiles of `distance_tiles(x, x)` on and above the diagonal; see `own_tiles`."""
    for rows, columns in own_tiles(len(x), block_size=block_size):
        yield rows, columns, _squared(x, rows, x, columns)


def tiles(n: int, m: int, *, block_size: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Yield (rows, columns) of tiles that cover N x M once."""
    for rows in _slices(n, block_size or _ROWS):
        for columns in _slices(m, block_size or _ROWS):
            yield rows, columns


def own_tiles(n: int, *, block_size: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Yield (rows, columns) of the tiles of N x N on and above the diagonal.

    A tile off the diagonal (rows != columns) stands for its mirror image as well.
    """
    for rows in _slices(n, block_size or _ROWS):
        for columns in _slices(n, block_size or _ROWS, start=rows.start):
            yield rows, columns


def add_products(
    into_BB: Tensor, a: Points, rows: slice, b: Points, columns: slice, *, scale: float = 1
) -> Tensor:
    """Add `scale` times the inner products of two blocks, about the centre, and return the sum.

    Features are taken in pieces, so that no whole block is held in float64.
    """
    if a.x_ND.dtype == torch.uint8:
        for part in _slices(len(a.centre_D), _GREY_FEATURES):
            x_BD = a.x_ND[rows, part].float().sub_(_MID_GREY)
            y_BD = b.x_ND[columns, part].float().sub_(_MID_GREY)
            into_BB.add_(x_BD @ y_BD.T, alpha=scale)
        return into_BB
    for part in _slices(len(a.centre_D), _FEATURES):
        x_BD = a.x_ND[rows, part] - a.centre_D[part]
        y_BD = b.x_ND[columns, part] - b.centre_D[part]
        into_BB.addmm_(x_BD, y_BD.T, alpha=scale)
    return into_BB


def row_blocks(x_ND: Tensor) -> Iterator[Tensor]:
    """Yield blocks of consecutive rows. A float64 copy of a block takes at most 32 MiB."""
    size = max(1, _ROWS * _FEATURES // x_ND.shape[1])
    return (x_ND[rows] for rows in _slices(len(x_ND), size))


def _squared(a: Points, rows: slice, b: Points, columns: slice) -> Tensor:
    """|a|^2 + |b|^2 - 2ab, shape (B, B)."""
    norms_BB = a.norm_N[rows, None] + b.norm_N[columns]
    squared_BB = add_products(norms_BB.clone(), a, rows, b, columns, scale=-2)
    return squared_BB.masked_fill_(squared_BB < norms_BB.mul_(SAME_POINT), 0.0)


def _slices(n: int, size: int, *, start: int = 0) -> Iterator[slice]:
    return (slice(begin, min(begin + size, n)) for begin in range(start, n, size))
