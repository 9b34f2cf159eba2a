"""Memorisation: how near synthetic frames lie to training frames and to unseen patients' frames."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lussweep.metrics.arrays import ArrayLike, as_ids
from lussweep.metrics.distances import (
    TIE,
    Device,
    Features,
    Points,
    centre,
    check_samples,
    distance_tiles,
    own_distance_tiles,
)


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Memorisation of N training frames in K synthetic frames; see `memorisation`.

    Shares are in [0, 1].
    """

    n_compared: int
    ratio_median: float
    nearer_train_share: float
    authenticity: float
    authenticity_across_patients: float


def memorisation(
    train_ND: Features,
    train_patient_N: NDArray[Any],
    holdout_MD: Features,
    holdout_patient_M: NDArray[Any],
    synthetic_KD: Features,
    *,
    seed: int,
    device: Device = "cpu",
    block_size: int | None = None,
) -> Memorisation:
    """Measure whether synthetic frames lie nearer to training frames than unseen patients' do.

    Comparison with the holdout. Both sides have equally many patients, and then `n_compared`
    frames: the larger side is cut by a seeded draw, because the nearest of more frames or of more
    patients is nearer.
    - ratio_median: median over synthetic frames of (distance to the nearest training frame) /
      (distance to the nearest holdout frame). It is about 1 without memorisation and well below 1
      with it. 0 / 0 counts as 1.
    - nearer_train_share: share of synthetic frames that are nearer to training frames than to
      holdout frames. It is about 0.5 without memorisation. Ties count half.

    Authenticity (Alaa et al. 2022, arXiv 2102.08921, section on authenticity). It is the share of
    synthetic frames that are further from their nearest training frame than that frame is from
    its own nearest other training frame. A tie counts as inauthentic, and so does a copy of a
    duplicated frame. `authenticity_across_patients` takes the other training frame from other
    patients only, because near-duplicates within a patient can hide a synthetic frame that
    follows a training frame closely. It is NaN if all training frames come from one patient.

    train_ND: N x D, holdout_MD: M x D, synthetic_KD: K x D floats of one feature space.
    train_patient_N, holdout_patient_M: one patient id per frame. Distances are float64, on
    `device`; no K x N matrix is held. `block_size` bounds memory and changes results by rounding
    only. Raises ValueError for bad shapes or values that are not finite.
    """
    train, holdout, synthetic = _points(train_ND, holdout_MD, synthetic_KD, device)
    code_N = _patient_codes("train", train_patient_N, len(train))
    holdout_code_M = _patient_codes("holdout", holdout_patient_M, len(holdout))
    train_drawn_N, holdout_drawn_M = _drawn(code_N, holdout_code_M, np.random.default_rng(seed))
    to_train = _nearest(synthetic, train, train_drawn_N, block_size)
    to_holdout = _nearest(synthetic, holdout, holdout_drawn_M, block_size)
    near = _neighbours(train, torch.from_numpy(code_N).to(train.norm_N.device), block_size)
    return Memorisation(
        n_compared=int(train_drawn_N.sum()),
        ratio_median=_median_ratio(to_train.drawn_squared_K, to_holdout.drawn_squared_K),
        nearer_train_share=_nearer_share(to_train.drawn_squared_K, to_holdout.drawn_squared_K),
        authenticity=_authentic_share(to_train, near.any_N),
        authenticity_across_patients=(
            _authentic_share(to_train, near.other_patient_N) if code_N.max() > 0 else math.nan
        ),
    )


class _Nearest(NamedTuple):
    """For each of K frames: squared distance and index of the nearest frame of another set.

    drawn_squared_K: squared distance to the nearest of the frames drawn from that set.
    """

    squared_K: Tensor
    index_K: Tensor
    drawn_squared_K: Tensor


class _Neighbours(NamedTuple):
    """Squared distance of each frame to the nearest other frame: any, and of another patient."""

    any_N: Tensor
    other_patient_N: Tensor


def _points(
    train_ND: Features, holdout_MD: Features, synthetic_KD: Features, device: Device
) -> tuple[Points, Points, Points]:
    sets = {"train": train_ND, "holdout": holdout_MD, "synthetic": synthetic_KD}
    checked = {name: check_samples(name, x_ND, device=device) for name, x_ND in sets.items()}
    widths = {name: x_ND.shape[1] for name, x_ND in checked.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"the sets differ in their number of features: {widths}")
    centre_D = centre(checked["train"])
    train, holdout, synthetic = (Points.around(centre_D, x_ND) for x_ND in checked.values())
    return train, holdout, synthetic


def _patient_codes(name: str, patient_N: ArrayLike, n_frames: int) -> NDArray[np.int64]:
    """Return each frame's index into the sorted patient ids."""
    patient_N = as_ids(patient_N, f"{name} patients")
    if np.shape(patient_N) != (n_frames,):
        raise ValueError(f"{n_frames} {name} frames, patient ids of shape {np.shape(patient_N)}")
    return np.unique(patient_N, return_inverse=True)[1].astype(np.int64)


def _drawn(
    code_N: NDArray[np.int64], code_M: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw masks of both sets with equally many patients, and then equally many frames."""
    n_chosen = min(code_N.max(), code_M.max()) + 1
    masks = []
    for code in (code_N, code_M):
        chosen = rng.choice(code.max() + 1, size=n_chosen, replace=False)
        masks.append(np.isin(code, chosen))
    n_frames = min(int(mask.sum()) for mask in masks)
    for mask in masks:
        inside = np.flatnonzero(mask)
        mask[rng.choice(inside, size=len(inside) - n_frames, replace=False)] = False
    return masks[0], masks[1]


def _nearest(a: Points, b: Points, drawn_M: NDArray[np.bool_], block_size: int | None) -> _Nearest:
    """Find each frame's nearest frame in one pass; among equally near frames it is the first."""
    left_out_M = torch.from_numpy(~drawn_M).to(a.norm_N.device)
    squared_K = a.norm_N.new_full((len(a),), torch.inf)
    drawn_squared_K = squared_K.clone()
    index_K = torch.zeros_like(squared_K, dtype=torch.int64)
    for rows, columns, squared_BB in distance_tiles(a, b, block_size=block_size):
        nearest_B, column_B = squared_BB.min(dim=1)
        is_nearer_B = nearest_B < squared_K[rows]
        index_K[rows] = torch.where(is_nearer_B, column_B + columns.start, index_K[rows])
        squared_K[rows] = torch.minimum(squared_K[rows], nearest_B)
        squared_BB.masked_fill_(left_out_M[columns], torch.inf)
        drawn_squared_K[rows] = torch.minimum(drawn_squared_K[rows], squared_BB.amin(dim=1))
    return _Nearest(squared_K, index_K, drawn_squared_K)


def _neighbours(x: Points, code_N: Tensor, block_size: int | None) -> _Neighbours:
    """Find each frame's nearest other frames in one pass, each pair once."""
    any_N = x.norm_N.new_full((len(x),), torch.inf)
    other_N = any_N.clone()
    for rows, columns, squared_BB in own_distance_tiles(x, block_size=block_size):
        if rows == columns:
            squared_BB.fill_diagonal_(torch.inf)
        _lower(any_N, rows, columns, squared_BB)
        squared_BB.masked_fill_(code_N[rows, None] == code_N[columns], torch.inf)
        _lower(other_N, rows, columns, squared_BB)
    return _Neighbours(any_N, other_N)


def _lower(nearest_N: Tensor, rows: slice, columns: slice, squared_BB: Tensor) -> None:
    """Lower the nearest distances so far by those of a tile and its mirror image, in place."""
    nearest_N[rows] = torch.minimum(nearest_N[rows], squared_BB.amin(dim=1))
    nearest_N[columns] = torch.minimum(nearest_N[columns], squared_BB.amin(dim=0))


def _median_ratio(train_K: Tensor, holdout_K: Tensor) -> float:
    """Median ratio of two distances, from their squares; 0 / 0 counts as 1."""
    ratio_K = (train_K / holdout_K).sqrt()
    ratio_K[(train_K == 0) & (holdout_K == 0)] = 1
    return float(np.median(ratio_K.cpu().numpy()))


def _nearer_share(train_K: Tensor, holdout_K: Tensor) -> float:
    wins = (train_K < holdout_K * (1 - TIE)).sum()
    losses = (holdout_K < train_K * (1 - TIE)).sum()
    return 0.5 + float(wins - losses) / (2 * len(train_K))


def _authentic_share(to_train: _Nearest, neighbour_N: Tensor) -> float:
    """Share of frames further from their nearest training frame than it is from its neighbour."""
    own_K = neighbour_N[to_train.index_K]
    return float((to_train.squared_K > own_K * (1 + TIE)).double().mean())
