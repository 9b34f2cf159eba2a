"""Principal components of features, with a weight for each sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]


class Plane(NamedTuple):
    """The plane of the first two principal components of some samples."""

    mean_D: Float64s
    axes_2D: Float64s
    """Unit vectors. The largest entry of each, by its size, is positive."""
    scale: float
    """Standard deviation of the samples along the first component."""
    shares: tuple[float, float]
    """Share of the variance of the samples along each component."""

    def place(self, x_ND: NDArray[Any]) -> Float64s:
        """Coordinates (N, 2) of N samples, in standard deviations along the first component."""
        placed: Float64s = (x_ND.astype(np.float64) - self.mean_D) @ self.axes_2D.T / self.scale
        return placed


def plane(x_ND: NDArray[Any], weight_N: NDArray[Any]) -> Plane | None:
    """Fit the plane to N samples (N, D) with weights (N,). None if they do not span a plane.

    It is the plane of the first two eigenvectors of the weighted covariance (Jolliffe 2002,
    Principal Component Analysis, section 14.2). Raises ValueError for other shapes.
    """
    if x_ND.ndim != 2 or weight_N.shape != (len(x_ND),):
        raise ValueError(f"samples of shape {x_ND.shape}, weights of shape {weight_N.shape}")
    x_ND = x_ND.astype(np.float64)
    share_N = weight_N / weight_N.sum()
    mean_D = share_N @ x_ND
    values, axes_KD = np.linalg.svd(
        np.sqrt(share_N)[:, None] * (x_ND - mean_D), full_matrices=False
    )[1:]
    if len(values) < 2 or values[1] <= 1e-9 * max(values[0], 1.0):
        return None
    axes_2D = axes_KD[:2]
    largest_2 = axes_2D[np.arange(2), np.abs(axes_2D).argmax(axis=1)]
    variance_K = values**2 / (values**2).sum()
    return Plane(
        mean_D,
        axes_2D * np.sign(largest_2)[:, None],
        float(values[0]),
        (float(variance_K[0]), float(variance_K[1])),
    )
