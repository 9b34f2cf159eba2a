"""Embedders by name: networks whose features the scores of generators compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lussweep.study.plugins import Registry
from lussweep.study.spec.imports import imported

PIXEL = "pixel"
"""The space of the frames themselves, which needs no embedder."""
NO_EMBEDDER = "none"
"""What tables call the embedder of the space `pixel`."""
NETWORK_SPACES = ("conv", "logit", "softmax")
"""The spaces of a network that classifies (Yu et al. 2023, arXiv 2310.03608)."""
WIDE_SPACES = ("conv", "features")
"""The spaces of FID, KID and the kernel test: wide features, as the literature takes them."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """One embedder. Its name is its key in EMBEDDERS."""

    function: Callable[..., Any]
    """`function(frames_NSS, device=..., batch_size=...)` maps uint8 frames (N, S, S) to features:
    floats (N, D) by space, or one array where there is one space. It is called for the real frames
    and for every snapshot. If the embedder needs something, `function(needed)` returns it."""
    digest: str | None = None
    """Identifies the embedder in keys: another digest means other features. None for an embedder
    that needs something, because the digest of what it needs is in the keys then."""
    spaces: tuple[str, ...] = ("features",)
    """The spaces of its features. Results and figures show the last one."""
    needs: Literal["weights", "detector"] | None = None
    """What lussweep hands to it: the file of `--weights`, or the detector's network."""
    has_seen: bool = False
    """Whether it was trained on every training patient. Its scores are marked, and a selection by
    them needs `allow_detector`."""

    def __post_init__(self) -> None:
        if not self.spaces or PIXEL in self.spaces:
            raise ValueError(f"an embedder needs one or more spaces, none of them {PIXEL}")
        if (self.digest is None) != (self.needs is not None):
            raise ValueError("an embedder needs either a digest or `needs`, not both")
        if self.needs == "detector" and not self.has_seen:
            raise ValueError(
                "an embedder of the detector has seen all training patients: set has_seen=True"
            )


IMAGENET, DETECTOR = "imagenet", "detector"
EMBEDDERS: Registry[Embedder] = Registry(
    "embedder",
    {
        IMAGENET: Embedder(
            function=imported("lussweep.models.resnet:embedder"),
            spaces=NETWORK_SPACES,
            needs="weights",
        ),
        DETECTOR: Embedder(
            function=imported("lussweep.metrics.features:embedder"),
            spaces=NETWORK_SPACES,
            needs="detector",
            has_seen=True,
        ),
    },
)
"""Every embedder by the name that `score.embedders` gives it."""
