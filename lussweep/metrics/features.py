"""The feature spaces in which synthetic frames are compared with real ones."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Embed = Callable[..., Any]
"""`function(frames_NSS, device=..., batch_size=...)` of an `Embedder` (study/spec/embedders.py)."""


class EmbeddingNetwork(Protocol):
    """A network whose features are compared: ImageNet's ResNet-34 or the detector.

    It scales its input itself.
    """

    training: bool

    def to(self, device: torch.device) -> Any: ...

    def embed(self, image_NHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 frames on the network's device -> (conv_ND, logit_NK)."""
        ...


def embed(
    image_NHW: NDArray[np.uint8],
    embedder: EmbeddingNetwork,
    *,
    batch_size: int,
    device: torch.device | str,
) -> dict[str, NDArray[np.float32]]:
    """Features of N frames in the spaces conv, logit and softmax; `pixels` gives the space pixel.

    conv is the global average pool, N x D. logit and softmax are N x K. All are float32. The
    spaces are those of Yu et al. 2023 (arXiv 2310.03608), after Xu et al. 2018 (arXiv
    1806.07755). The embedder is moved to `device`. `batch_size` bounds memory and changes results
    by rounding only.

    Raises ValueError for frames that are not uint8 N x H x W. Raises it for an embedder in
    training mode, too, because BatchNorm then makes a frame's features depend on its batch.
    """
    _check_frames(image_NHW)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}")
    if embedder.training:
        raise ValueError("the embedder is in training mode: call its eval() first")
    device = torch.device(device)
    embedder.to(device)
    conv, logit = [], []
    with torch.inference_mode():
        for start in range(0, len(image_NHW), batch_size):
            batch_NHW = torch.from_numpy(image_NHW[start : start + batch_size].copy())
            conv_ND, logit_NK = embedder.embed(batch_NHW.to(device))
            conv.append(conv_ND.float().cpu())
            logit.append(logit_NK.float().cpu())
    logit_NK = torch.cat(logit)
    return {
        "conv": torch.cat(conv).numpy(),
        "logit": logit_NK.numpy(),
        "softmax": logit_NK.softmax(dim=1).numpy(),
    }


def embedder(network: EmbeddingNetwork) -> Embed:
    """The embedder whose features are those of a network."""
    return partial(embed, embedder=network)


def features_by_space(
    name: str,
    spaces: Sequence[str],
    embed_frames: Embed,
    image_NHW: NDArray[np.uint8],
    *,
    batch_size: int,
) -> dict[str, NDArray[np.floating[Any]]]:
    """The features (N, D) of N frames by space, from the embedder `name` on its device.

    Raises ValueError if it does not return floats (N, D) for each of its `spaces` and no other.
    """
    _check_frames(image_NHW)
    returned = embed_frames(image_NHW, batch_size=batch_size)
    by_space = returned if isinstance(returned, dict) else dict.fromkeys(spaces[:1], returned)
    if set(by_space) != set(spaces):
        raise ValueError(
            f"the embedder {name} returned the spaces {', '.join(by_space)}, but declares "
            f"{', '.join(spaces)}: let it return those"
        )
    features = {space: np.ascontiguousarray(values) for space, values in by_space.items()}
    for space, x_ND in features.items():
        if x_ND.ndim != 2 or len(x_ND) != len(image_NHW) or x_ND.dtype.kind != "f":
            raise ValueError(
                f"the embedder {name} returned {x_ND.dtype} {x_ND.shape} in the space {space}: "
                f"let it return floats ({len(image_NHW)}, D), a row for each frame"
            )
    return features


def pixels(image_NHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The space `pixel`: flattened frames, uint8 grey levels N x HW. Its distances are exact."""
    _check_frames(image_NHW)
    return image_NHW.reshape(len(image_NHW), -1)


def _check_frames(image_NHW: NDArray[np.uint8]) -> None:
    if image_NHW.ndim != 3 or 0 in image_NHW.shape or image_NHW.dtype != np.uint8:
        raise ValueError(f"frames are {image_NHW.dtype} {image_NHW.shape}, not uint8 (N, H, W)")
