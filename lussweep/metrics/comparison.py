"""All distance metrics of a synthetic set in one pass. The real set is prepared once."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from lussweep.metrics.discrepancy import real_bandwidth, root_discrepancy
from lussweep.metrics.distances import (
    TIE,
    Device,
    Features,
    Points,
    centre,
    check_same_width,
    check_samples,
)
from lussweep.metrics.nearest import accuracies, check_equal_counts
from lussweep.metrics.passes import across, within


class Comparison(NamedTuple):
    """Scores of one synthetic set; see `compare`."""

    kmmd: float
    one_nn: float
    one_nn_real: float
    one_nn_fake: float
    density: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Reference:
    """A real set of N samples, and what can be computed before any synthetic set is known.

    bandwidth: the bandwidth of the kMMD kernel. mean_kernel: its mean over real x real pairs.
    nearest_N and kth_N: squared distance of each sample to its nearest and to its k-th nearest
    other sample, float64.
    """

    real: Points
    k: int
    bandwidth: float
    mean_kernel: float
    nearest_N: Tensor
    kth_N: Tensor

    @staticmethod
    def of(
        real_ND: Features,
        *,
        k: int = 5,
        device: Device = "cpu",
        block_size: int | None = None,
    ) -> "Reference":
        """Prepare N x D floats in one pass over their pairs, for any number of `compare` calls.

        k: neighbours for density and coverage; more than N - 1 are cut to N - 1. The samples
        stay on `device`, in their own float type. A CPU array is not copied, so do not write to
        it afterwards. Raises ValueError for a bad shape, values that are not finite, k < 1, or
        samples that are all the same.
        """
        if k < 1:
            raise ValueError(f"k is {k}, not 1 or more")
        real_ND = check_samples("real", real_ND, device=device)
        real = Points.around(centre(real_ND), real_ND)
        bandwidth, k = real_bandwidth(real), min(k, len(real) - 1)
        within_real = within(real, bandwidth=bandwidth, k=k, block_size=block_size)
        nearest_NK = within_real.nearest_NK
        nearest_N, kth_N = nearest_NK[:, 0].clone(), nearest_NK[:, -1].clone()
        return Reference(real, k, bandwidth, within_real.mean_kernel, nearest_N, kth_N)


def compare(
    reference: Reference, fake_ND: Features, *, block_size: int | None = None
) -> Comparison:
    """kMMD, 1-NN accuracy, density and coverage of N synthetic samples against N real ones.

    The modules `discrepancy` and `nearest` define the first two. Density and coverage follow Naeem
    et al. 2020 (arXiv 2002.09797, section 3). A ball around each real sample reaches to its k-th
    nearest real neighbour.

    - Density is the number of (ball, synthetic sample) pairs with the sample inside the ball,
      per k synthetic samples. It is 1 in expectation if both sets have one distribution. It is
      above 1 if synthetic samples crowd where real samples are dense.
    - Coverage is the share of balls with a synthetic sample inside. It is near 1 - 2^-k if both
      sets have one distribution.

    A sample on a ball's surface counts as inside. The authors' code counts it as outside, and so
    misses a copy of a real sample that has k duplicates.

    It takes one pass over fake x fake, each pair once, and one over real x fake. fake_ND: N x D
    floats. `block_size` bounds memory and changes no result. Raises ValueError for a bad shape,
    values that are not finite, or another N than the reference's.
    """
    real = reference.real
    fake_ND = check_samples("fake", fake_ND, device=real.x_ND.device)
    check_same_width(real.x_ND, fake_ND)
    check_equal_counts(len(real), len(fake_ND))
    fake = Points.around(real.centre_D, fake_ND)
    within_fake = within(fake, bandwidth=reference.bandwidth, k=1, block_size=block_size)
    cross = across(
        real,
        fake,
        bandwidth=reference.bandwidth,
        radius_N=reference.kth_N,
        block_size=block_size,
    )
    nearest = accuracies(reference.nearest_N, within_fake.nearest_NK[:, 0], cross)
    covered_N = cross.nearest_N <= reference.kth_N * (1 + TIE)
    return Comparison(
        kmmd=root_discrepancy(reference.mean_kernel, within_fake.mean_kernel, cross.mean_kernel),
        one_nn=nearest.accuracy,
        one_nn_real=nearest.real_accuracy,
        one_nn_fake=nearest.fake_accuracy,
        density=cross.n_within_radius / (reference.k * len(fake)),
        coverage=float(covered_N.double().mean()),
    )
