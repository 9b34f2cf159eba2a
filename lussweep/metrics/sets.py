"""Scores of a user's own synthetic set against a real set, for notebooks.

Each function takes two sets of samples as array-likes (N, D): an array, a list of rows, a tensor,
or a data frame of pandas or polars whose columns are features. Rows are taken by position. Whole
numbers become floats, except uint8, which are grey levels of pixels and stay exact. Each function
raises ValueError with one line for another shape, text, missing or infinite values, or sets with
different numbers of features.

These scores describe frames as if all were independent. Frames of one patient are not, so compare
values of equal N and of equally many patients only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics import frechet, inception
from lussweep.metrics.arrays import ArrayLike, as_numbers, check_one_order
from lussweep.metrics.discrepancy import real_bandwidth, root_discrepancy
from lussweep.metrics.distances import Device, Points, centre, check_features
from lussweep.metrics.inception import Kid
from lussweep.metrics.nearest import OneNN, accuracies, check_equal_counts
from lussweep.metrics.passes import across, within


def kmmd(real: ArrayLike, synthetic: ArrayLike, *, device: Device = "cpu") -> float:
    """Kernel maximum mean discrepancy, 0 to about 1.4; near 0 is good.

    The kernel is Gaussian, with twice the mean squared distance of the real set as its bandwidth
    (Yu et al. 2023, arXiv 2310.03608; `lussweep/metrics/discrepancy.py` has the formula). The
    estimate is biased: two samples of one distribution give about sqrt(0.79 / N).

    real: (N, D), N of 2 or more. synthetic: (M, D). The value has no unit. `device` is PyTorch's
    name of the device that computes distances, in float64. Raises ValueError for bad input (see
    this module), or if all real samples are the same.

    >>> import lussweep
    >>> real = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> lussweep.kmmd(real, real)
    0.0
    >>> round(lussweep.kmmd(real, [[5.0, 5.0], [6.0, 5.0], [5.0, 6.0], [6.0, 6.0]]), 3)
    1.136
    """
    real_ND, fake_MD = check_features(*_both(real, synthetic), device=device)
    x = Points.around(centre(real_ND), real_ND)
    bandwidth = real_bandwidth(x)
    y = Points.around(x.centre_D, fake_MD)
    own_x, own_y = (within(of, bandwidth=bandwidth).mean_kernel for of in (x, y))
    return root_discrepancy(own_x, own_y, across(x, y, bandwidth=bandwidth).mean_kernel)


def one_nn(real: ArrayLike, synthetic: ArrayLike, *, device: Device = "cpu") -> OneNN:
    """Leave-one-out accuracy of 1-NN that tells real from synthetic samples; near 0.5 is good.

    At 1 the sets are separable; at 0 each sample has its nearest neighbour in the other set, as
    copies have. A tie counts as wrong (Yu et al. 2023, arXiv 2310.03608, after Xu et al. 2018,
    arXiv 1806.07755). The result has the fields `accuracy`, `real_accuracy` and `fake_accuracy`,
    shares in [0, 1] of all samples, of the real and of the synthetic ones.

    real: (N, D), synthetic: (N, D), N of 2 or more. Raises ValueError for bad input (see this
    module), or for sets of different sizes.

    >>> import lussweep
    >>> real = [[0.0], [1.0], [2.0], [3.0]]
    >>> lussweep.one_nn(real, [[10.0], [11.0], [12.0], [13.0]]).accuracy
    1.0
    >>> lussweep.one_nn(real, real).accuracy
    0.0
    """
    real_ND, fake_ND = check_features(*_both(real, synthetic), device=device)
    check_equal_counts(len(real_ND), len(fake_ND))
    x = Points.around(centre(real_ND), real_ND)
    y = Points.around(x.centre_D, fake_ND)
    own_x, own_y = (within(of, k=1).nearest_NK[:, 0] for of in (x, y))
    return accuracies(own_x, own_y, across(x, y))


def kid(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    seed: int = 0,
    n_subsets: int = 100,
    subset_size: int | None = None,
    device: Device = "cpu",
) -> Kid:
    """Kernel inception distance: an unbiased squared MMD with a cubic kernel; near 0 is good.

    The source is Binkowski et al. 2018 (arXiv 1801.01401). The result has the fields `mean`, `low`
    and `high`: the mean over subsets, and 1.96 standard deviations of subsets around it. That is
    the spread of single subsets, not an interval over patients. The mean may be negative.

    real: (N, D), synthetic: (M, D), 2 samples or more of each. The value has no unit and depends
    on the scale of the features. `seed` draws `n_subsets` subsets of `subset_size` samples of each
    set; by default they hold half of the smaller set, and 1,000 samples at most. Raises
    ValueError for bad input (see this module), or for subsets that do not fit.

    >>> import lussweep
    >>> real = [[0.0], [1.0], [2.0], [3.0]]
    >>> lussweep.kid(real, [[10.0], [11.0], [12.0], [13.0]], subset_size=4).mean > 0
    True
    """
    return inception.kid(
        *_both(real, synthetic),
        seed=seed,
        n_subsets=n_subsets,
        subset_size=subset_size,
        device=device,
    )


def fid(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Frechet inception distance: squared distance of two fitted Gaussians; near 0 is good.

    The source is Heusel et al. 2017 (arXiv 1706.08500). Compare it with published values only for
    features of the same network. It is biased upwards, strongly unless N is well above D.

    real: (N, D), synthetic: (M, D), 2 samples or more of each, D at most 8,192. Its unit is that of
    the features, squared. It is computed in float64 on the CPU, in D x D memory. Raises ValueError
    for bad input (see this module), fewer samples or more features.

    >>> import lussweep
    >>> real = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]
    >>> moved = [[3.0, 0.0], [5.0, 0.0], [3.0, 2.0], [5.0, 2.0]]
    >>> round(lussweep.fid(real, moved), 6)
    9.0
    """
    return frechet.fid(*_both(real, synthetic))


def _both(real: ArrayLike, synthetic: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    sets = {"real samples": real, "synthetic samples": synthetic}
    check_one_order(sets)
    real_ND, fake_MD = (as_samples(x, name) for name, x in sets.items())
    if real_ND.dtype != np.uint8 or fake_MD.dtype != np.uint8:
        # Grey levels are compared with grey levels only.
        real_ND, fake_MD = (as_floats(x_ND) for x_ND in (real_ND, fake_MD))
    if real_ND.shape[1] != fake_MD.shape[1]:
        raise ValueError(
            f"real samples have {real_ND.shape[1]} features, synthetic ones {fake_MD.shape[1]}"
        )
    return real_ND, fake_MD


def as_samples(values: ArrayLike, name: str) -> NDArray[Any]:
    """Samples as an array (N, D) of grey levels (uint8) or of finite floats.

    Raises ValueError, which calls them `name`, for other input.
    """
    x_ND = as_numbers(values, name)
    if x_ND.ndim != 2 or 0 in x_ND.shape:
        raise ValueError(
            f"{name} have shape {x_ND.shape}, not (samples, features): "
            + ("reshape images (N, H, W) to (N, H x W)" if x_ND.ndim > 2 else "give one row each")
        )
    if x_ND.dtype == np.uint8:
        return x_ND
    x_ND = as_floats(x_ND)
    bad_N = ~np.isfinite(x_ND).all(axis=1)
    if bad_N.any():
        raise ValueError(
            f"{name} hold a value that is missing or not finite in {bad_N.sum()} of {len(x_ND)} "
            f"rows, the first in row {np.argmax(bad_N)} (from 0): drop these rows"
        )
    return x_ND


def as_floats(x_ND: NDArray[Any]) -> NDArray[Any]:
    """Floats as they are, other numbers as float64."""
    return x_ND if x_ND.dtype.kind == "f" else x_ND.astype(np.float64)
