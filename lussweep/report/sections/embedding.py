"""Embeds frames while a report is written, by an embedder that is at hand without a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.report.sections.seam import Collected
from lussweep.study.spec import EMBEDDERS, NO_EMBEDDER, PIXEL

SIDE = 32
"""Frames are shrunk to this many pixels a side where no embedder is at hand."""
Features = NDArray[np.floating[Any]]


class AtHand(NamedTuple):
    """An embedder that a report can use."""

    embedder: str
    """Its name in EMBEDDERS, or NO_EMBEDDER."""
    space: str
    has_seen: bool
    """Whether it was trained on every training patient."""
    features: Callable[[NDArray[np.uint8]], Features]
    """The features (N, D) of uint8 frames (N, S, S) in the space."""


def embedder_at_hand(collected: Collected) -> AtHand:
    """The first embedder of the study's scores that needs no weights, in its first space.

    Without one, the features are the grey levels of frames that are shrunk to SIDE pixels a side.
    """
    study, store = collected.study, collected.reported.store
    steps = collected.reported.plan.steps.values()
    detectors = dict.fromkeys(s.inputs["detector"] for s in steps if "detector" in s.inputs)
    for name in study.score.embedders if study.score.embedders != "auto" else ():
        needs = EMBEDDERS[name].needs
        detector = next(iter(detectors), None) if needs == "detector" else None
        if needs is None or (detector is not None and store.has(detector)):
            return AtHand(
                name,
                EMBEDDERS[name].spaces[0],
                EMBEDDERS[name].has_seen,
                partial(_embedded, collected, name, detector),
            )
    return AtHand(NO_EMBEDDER, PIXEL, False, _shrunk)


def _embedded(
    collected: Collected, name: str, detector: str | None, frames: NDArray[np.uint8]
) -> Features:
    """The features on the CPU, with as many threads as a step has."""
    import torch
    from threadpoolctl import threadpool_limits

    from lussweep.metrics.features import features_by_space
    from lussweep.stages.context import Context, load_classifier

    entry, function = EMBEDDERS[name], EMBEDDERS[name].function
    n_threads, before = collected.study.compute.n_threads, torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            if detector is not None:
                context = Context(collected.reported.store, "cpu")
                function = function(load_classifier(detector, context))
            found = features_by_space(
                name,
                entry.spaces,
                partial(function, device=torch.device("cpu")),
                frames,
                batch_size=collected.study.score.batch_size,
            )
    finally:
        torch.set_num_threads(before)
    return found[entry.spaces[0]]


def _shrunk(frames_NSS: NDArray[np.uint8]) -> Features:
    """Grey levels of frames (N, S, S), shrunk by averaging, float32 (N, D)."""
    import cv2

    side = min(SIDE, frames_NSS.shape[1])
    small = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames_NSS]
    return np.stack(small).reshape(len(frames_NSS), -1).astype(np.float32)
