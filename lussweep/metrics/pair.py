"""Real and synthetic features in one space, with the values that scores of generators read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lussweep.metrics.comparison import Comparison, Reference, compare
from lussweep.metrics.frechet import fid
from lussweep.metrics.inception import Kid, kid
from lussweep.metrics.permutation import KernelTest, kmmd_test
from lussweep.metrics.spectral_gap import RealPattern
from lussweep.study.spec import ScoreSpec


@dataclass(frozen=True, eq=False)
class RealSet:
    """The real features of one space, which many synthetic sets are compared with."""

    x_ND: NDArray[Any]
    settings: ScoreSpec
    seed: int
    device: torch.device
    mask_NSS: NDArray[np.bool_] | None = None
    """The sector mask of each real frame. Only the space `pixel` has them."""

    @cached_property
    def pattern(self) -> RealPattern:
        """The spectra of real frames. They exist only in the space `pixel`."""
        assert self.mask_NSS is not None, "the spectral gap needs sector masks"
        return RealPattern.of(self.x_ND.reshape(self.mask_NSS.shape), self.mask_NSS, self.seed)

    @cached_property
    def reference(self) -> Reference:
        """The parts of the comparison that need no synthetic set."""
        return Reference.of(self.x_ND, k=self.settings.n_neighbours, device=self.device)


@dataclass(frozen=True, eq=False)
class Pair:
    """Real features (N, D) and synthetic features (M, D) in one space.

    The space `pixel` has uint8 grey levels, the other spaces have floats. What several scores need
    is computed once, when the first one asks for it.
    """

    real: RealSet
    fake_ND: NDArray[Any]

    @property
    def real_ND(self) -> NDArray[Any]:
        return self.real.x_ND

    @property
    def settings(self) -> ScoreSpec:
        """The experiment's section `score`."""
        return self.real.settings

    @property
    def seed(self) -> int:
        """The seed of a score's random draws. It is the same for all snapshots of a generator."""
        return self.real.seed

    @cached_property
    def comparison(self) -> Comparison:
        return compare(self.real.reference, self.fake_ND)

    @cached_property
    def spectral_gap(self) -> float:
        pattern = self.real.pattern
        return pattern.gap(self.fake_ND.reshape(-1, *pattern.mask_NSS.shape[1:]))

    @cached_property
    def fid(self) -> float:
        return fid(self.real_ND, self.fake_ND)

    @cached_property
    def kid(self) -> Kid:
        return kid(
            self.real_ND,
            self.fake_ND,
            seed=self.seed,
            n_subsets=self.settings.n_kid_subsets,
            device=self.real.device,
        )

    @cached_property
    def kernel_test(self) -> KernelTest:
        return kmmd_test(
            self.real_ND,
            self.fake_ND,
            n_permutations=self.settings.n_permutations,
            seed=self.seed,
            device=self.real.device,
        )
