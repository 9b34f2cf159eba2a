"""Structure of frames: what is left of a frame without its brightness, its contrast and its noise.

Two structures are compared up to a mirror image and a shift. A copy of a frame is thus known again
if somebody has changed its grey levels, blurred it, moved it or mirrored it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from lussweep.metrics.distances import Device, tiles

SIDE = 64
"""Frames are resized to this many pixels a side, so that the other constants hold for all sizes."""
FINE, COARSE = 1.5, 3.0
"""Standard deviations, in pixels, of the two Gaussian blurs whose difference is the structure. The
finer one takes out noise and most of a blur, the coarser one brightness and gain."""
MAX_SHIFT = 4
"""Pixels that one frame may be moved against the other, along either side."""
_COMPARED_SIDE = SIDE // 2
"""The finer blur leaves nothing that half the pixels do not show."""
_NO_STRUCTURE = 1e-3
"""A frame whose structure has a smaller norm, in grey levels, is flat. It is like no other."""


class Nearest(NamedTuple):
    """For each of K frames: likeness and index of the frame of another set that is most like it.

    likeness_K: correlation of the structures, at most 1, float32. -1 if no frame may be compared.
    """

    likeness_K: NDArray[np.float32]
    index_K: NDArray[np.int64]


def structures(frames_NSS: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The structure of N square frames: band-pass images of norm 1 (0 if flat), (N, 64, 64).

    Raises ValueError for frames that are not uint8 (N, S, S).
    """
    square = frames_NSS.ndim == 3 and frames_NSS.shape[1] == frames_NSS.shape[2]
    if not square or frames_NSS.dtype != np.uint8 or 0 in frames_NSS.shape:
        raise ValueError(f"frames are {frames_NSS.dtype} {frames_NSS.shape}, not uint8 (N, S, S)")
    return np.stack([_structure(frame) for frame in frames_NSS])


def nearest_structures(
    query_KSS: NDArray[np.float32],
    reference_NSS: NDArray[np.float32],
    *,
    query_patient_K: NDArray[Any] | None = None,
    reference_patient_N: NDArray[Any] | None = None,
    device: Device = "cpu",
    block_size: int | None = None,
) -> Nearest:
    """Find for each structure the one of another set that is most like it.

    The likeness of two structures is the largest correlation over both mirror images of the
    reference and over shifts up to MAX_SHIFT. Of these shifts every second one is tried, like the
    squares of one colour of a chess board: none is further than 1 pixel from one that is tried.
    Frames of one patient are not compared if the patients of both sets are given.

    query_KSS, reference_NSS: of `structures`. The tiles of `block_size` frames a side are in
    float32 on `device`. No K x N matrix is held. Among equally near frames it is the first.
    """
    query = torch.from_numpy(query_KSS).to(device)
    reference = torch.from_numpy(reference_NSS).to(device)
    code_K, code_N = (
        torch.from_numpy(code).to(device)
        for code in _patient_codes(query_patient_K, reference_patient_N, len(query), len(reference))
    )
    likeness_K = torch.full((len(query),), -1.0, device=device)
    index_K = torch.zeros_like(likeness_K, dtype=torch.int64)
    for rows, columns in tiles(len(query), len(reference), block_size=block_size):
        tile_BB = _likeness(query[rows], reference[columns])
        tile_BB.masked_fill_(code_K[rows, None] == code_N[columns], -1.0)
        best_B, column_B = tile_BB.max(dim=1)
        is_nearer_B = best_B > likeness_K[rows]
        index_K[rows] = torch.where(is_nearer_B, column_B + columns.start, index_K[rows])
        likeness_K[rows] = torch.maximum(likeness_K[rows], best_B)
    return Nearest(likeness_K.clamp_(max=1).cpu().numpy(), index_K.cpu().numpy())


def _structure(frame_SS: NDArray[np.uint8]) -> NDArray[np.float32]:
    shrinks = len(frame_SS) > SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    grey = cv2.resize(frame_SS.astype(np.float32), (SIDE, SIDE), interpolation=how)
    band = cv2.GaussianBlur(grey, (0, 0), FINE) - cv2.GaussianBlur(grey, (0, 0), COARSE)
    norm = float(np.linalg.norm(band))
    flat: NDArray[np.float32] = np.zeros_like(band)
    return band / np.float32(norm) if norm > _NO_STRUCTURE else flat


def _patient_codes(
    patient_K: NDArray[Any] | None, patient_N: NDArray[Any] | None, n_query: int, n_reference: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each patient. Without patients, no two frames have one number."""
    if patient_K is None or patient_N is None:
        return np.zeros(n_query, np.int64), np.ones(n_reference, np.int64)
    assert (len(patient_K), len(patient_N)) == (n_query, n_reference), "one patient a frame"
    codes = np.unique(np.concatenate([patient_K, patient_N]), return_inverse=True)[1]
    return codes[:n_query], codes[n_query:]


def _likeness(query_BSS: Tensor, reference_BSS: Tensor) -> Tensor:
    """The largest correlation of each pair over the mirror images and shifts, (B, B)."""
    query_BD = _halved(query_BSS)
    query_BD = query_BD / _norms(query_BD)
    norm_B = _norms(_halved(reference_BSS)).T
    best_BB = torch.full((len(query_BSS), len(reference_BSS)), -1.0, device=query_BSS.device)
    for moved_BD in _moved(reference_BSS):
        torch.maximum(best_BB, (query_BD @ moved_BD.T).div_(norm_B), out=best_BB)
    return best_BB


def _moved(x_BSS: Tensor) -> Iterator[Tensor]:
    """Every second shift of both mirror images, at half the pixels, (B, D). Zeros move in."""
    offsets = range(2 * MAX_SHIFT + 1)
    for mirrored_BSS in (x_BSS, x_BSS.flip(2)):
        wide = pad(mirrored_BSS, (MAX_SHIFT,) * 4)
        for down in offsets:
            for right in offsets:
                if (down + right) % 2 == 0:
                    yield _halved(wide[:, down : down + SIDE, right : right + SIDE])


def _halved(x_BSS: Tensor) -> Tensor:
    return avg_pool2d(x_BSS[:, None], SIDE // _COMPARED_SIDE).flatten(1)


def _norms(x_BD: Tensor) -> Tensor:
    """The norm of each row, (B, 1). A flat frame has 1, so that it is like no other."""
    norm_B1 = x_BD.norm(dim=1, keepdim=True)
    return torch.where(norm_B1 > 0, norm_B1, 1.0)
