"""Augmentation of training images, with separate draws for each image (paper section 2.4).

The draws of a chunk are made at once, on the CPU. A CPU then takes the images one by one through
OpenCV. A GPU takes them in groups that need the same operation at the same turn. All sums of grey
levels are sums of whole numbers, so a CPU and a GPU give the same levels, with two exceptions:
movement may round a level differently on another device, and noisy pixels are drawn separately.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn.functional import grid_sample

from lussweep.study.spec import AugmentSpec

FLIP, GAMMA, BLUR, NOISE, MOVE = range(5)
OFF = -1
GAUSSIAN_UNITS = 256
"""A Gaussian's weights are whole multiples of 1/256, because 255 * 256**2 is exact in float32."""


class Draws(NamedTuple):
    """All random draws for N images except the noisy pixels. They are made on the CPU."""

    step_NK: torch.Tensor
    """The operation at each of K turns, or OFF."""
    gamma_N: torch.Tensor
    """Index into `spec.gammas`."""
    blur_N: torch.Tensor
    """Index into `spec.blur_sizes`."""
    turn_N: torch.Tensor
    """Inverse of rotation and zoom, as a complex number."""
    shift_N: torch.Tensor
    """Shift to the right (real part) and down (imaginary part), in half sides of the image."""
    noise_seed: int

    def to(self, device: torch.device) -> Draws:
        """Copy everything but the steps to `device`."""
        return self._replace(
            gamma_N=_send(self.gamma_N, device),
            blur_N=_send(self.blur_N, device),
            turn_N=_send(self.turn_N, device),
            shift_N=_send(self.shift_N, device),
        )


def augment(images_NSS: torch.Tensor, spec: AugmentSpec, rng: torch.Generator) -> torch.Tensor:
    """Apply flip, gamma, blur, noise and movement in random order, each with its probability.

    Takes uint8 images (N, S, S) and returns new ones on the same device. They are uint8. If
    `spec.faults` is us_dcgan they are float32: some hold grey levels, and those after gamma lie
    in 0..1. `rng` is a CPU generator. On the CPU the share of noisy pixels is rounded to a
    multiple of 1/65536. Nothing here waits for a GPU.
    """
    draws = draw(len(images_NSS), spec, rng)
    run = one_by_one if images_NSS.device.type == "cpu" else in_groups
    return run(images_NSS, spec, draws)


def draw(n: int, spec: AugmentSpec, rng: torch.Generator) -> Draws:
    """Make all draws for a chunk of n images."""
    n_operations = 5 if spec.moves else 4
    on_NK = torch.rand(n, n_operations, generator=rng) < spec.probability
    order_NK = torch.rand(n, n_operations, generator=rng).argsort(dim=1)
    gamma_N = torch.randint(len(spec.gammas), (n,), generator=rng)
    blur_N = torch.randint(len(spec.blur_sizes), (n,), generator=rng)
    noise_seed = int(torch.randint(2**62, (1,), generator=rng))
    either_way_4N = 2 * torch.rand(4, n, generator=rng) - 1 if spec.moves else torch.zeros(4, n)
    angle_N = math.radians(spec.rotate_degrees) * either_way_4N[0]
    zoom_N = 1 + spec.zoom * either_way_4N[1]
    shift_2N = 2 * spec.shift * either_way_4N[2:]
    return Draws(
        step_NK=order_NK.where(on_NK, OFF),
        gamma_N=gamma_N,
        blur_N=blur_N,
        turn_N=torch.polar(1 / zoom_N, -angle_N),
        shift_N=torch.complex(shift_2N[0], shift_2N[1]),
        noise_seed=noise_seed,
    )


def one_by_one(images_NSS: torch.Tensor, spec: AugmentSpec, draws: Draws) -> torch.Tensor:
    """Augment images one by one. On a CPU this is fastest, because an image stays in the cache."""
    images = images_NSS.contiguous().numpy()
    curves = gamma_curves(spec)
    kernels = [blur_kernel(spec.blur, size) for size in spec.blur_sizes]
    gammas, blurs = draws.gamma_N.tolist(), draws.blur_N.tolist()
    bits = np.random.SFC64(draws.noise_seed)
    out = np.empty(images.shape, curves.dtype)
    for i, steps in enumerate(draws.step_NK.tolist()):
        image = images[i]
        for step in steps:
            if step == FLIP:
                image = cv2.flip(image, 1)
            elif step == GAMMA:
                image = cv2.LUT(image, curves[gammas[i]])
            elif step == BLUR:
                image = _blur_one(image, kernels[blurs[i]])
            elif step == NOISE:
                image = _add_noise_one(image, _noisy_pixels(image.shape, spec, bits), spec)
            elif step == MOVE:
                image_1SS = torch.from_numpy(image)[None]
                turn, shift = draws.turn_N[i : i + 1], draws.shift_N[i : i + 1]
                image = move(image_1SS, turn, shift)[0].numpy()
        out[i] = image
    return torch.from_numpy(out)


def in_groups(images_NSS: torch.Tensor, spec: AugmentSpec, draws: Draws) -> torch.Tensor:
    """Augment images in groups, one for each operation at each turn. This is for a GPU."""
    device = images_NSS.device
    curves_GL = torch.from_numpy(gamma_curves(spec))
    images = images_NSS.to(curves_GL.dtype, copy=True)
    groups = list(_groups(draws.step_NK, spec))
    if not groups:
        return images
    # One copy sends the rows of all groups.
    sizes = [len(group.rows) for group in groups]
    rows_of = torch.split(_send(torch.cat([group.rows for group in groups]), device), sizes)
    curves_GL, kernels_BK = _send(curves_GL, device), _send(_kernel_table(spec), device)
    sent = draws.to(device)
    noise_rng = torch.Generator(device).manual_seed(draws.noise_seed)
    for (step, dtype, _), rows in zip(groups, rows_of, strict=True):
        batch = images.index_select(0, rows).to(dtype)
        if step == FLIP:
            batch = batch.flip(-1)
        elif step == GAMMA:
            batch = look_up(batch, curves_GL, sent.gamma_N[rows])
        elif step == BLUR:
            batch = blur(batch, kernels_BK[sent.blur_N[rows]])
        elif step == NOISE:
            noisy = torch.empty(batch.shape, dtype=torch.bool, device=device)
            noisy.bernoulli_(spec.noise_share, generator=noise_rng)
            batch = add_noise(batch, noisy, spec)
        else:
            batch = move(batch, sent.turn_N[rows], sent.shift_N[rows])
        images.index_copy_(0, rows, batch.to(images.dtype))
    return images


class _Group(NamedTuple):
    step: int
    dtype: torch.dtype
    rows: torch.Tensor


def _groups(step_NK: torch.Tensor, spec: AugmentSpec) -> Iterator[_Group]:
    """Yield the images that need the same operation at the same turn.

    With us_dcgan, images in 0..1 form groups of their own.
    """
    mapped_N = torch.zeros(len(step_NK), dtype=torch.bool)
    for step_N in step_NK.T:
        for step in range(step_NK.shape[1]):
            for dtype, state_N in ((torch.uint8, ~mapped_N), (torch.float32, mapped_N)):
                rows = ((step_N == step) & state_N).nonzero()[:, 0]
                if len(rows):
                    yield _Group(step, dtype, rows)
        if spec.faults == "us_dcgan":
            mapped_N |= step_N == GAMMA


def _send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to `device`, through pinned memory: other copies to a GPU may wait for its queue."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


# --- gamma --------------------------------------------------------------------------------


def gamma_curves(spec: AugmentSpec) -> np.ndarray:
    """The result of gamma for each of 256 levels, (gammas, 256).

    It is uint8, or float32 in 0..1 with us_dcgan.
    """
    curves: np.ndarray = (np.arange(256) / 255) ** np.array(spec.gammas)[:, None]
    if spec.faults == "us_dcgan":
        return curves.astype(np.float32)
    return np.asarray(np.rint(curves * 255), np.uint8)


def look_up(
    images_NSS: torch.Tensor, curves_GL: torch.Tensor, curve_N: torch.Tensor
) -> torch.Tensor:
    """Map uint8 images (N, S, S) by their own curves; curve_N: index into curves_GL."""
    return curves_GL.take(images_NSS.long() + 256 * curve_N[:, None, None])


# --- blur ---------------------------------------------------------------------------------


@functools.cache
def blur_kernel(kind: str, size: int) -> np.ndarray:
    """Whole-number weights along one axis, float32, with as many before the pixel as after it.

    A box of even size reaches one pixel further right and down. The Gaussian has the standard
    deviation of the box and is cut at three standard deviations. The sums of its tail are
    rounded, not its weights. The weights therefore have the right sum, and the blur of a step of
    255 levels is right to half a level.
    """
    if kind == "box":
        return np.array([0] * (size % 2 == 0) + [1] * size, np.float32)
    sigma = math.sqrt((size**2 - 1) / 12)
    half = np.exp(-(np.arange(math.ceil(3 * sigma) + 1) ** 2) / (2 * sigma**2))
    tail = half[::-1].cumsum()[::-1][1:] / (2 * half.sum() - half[0])
    tail = np.trim_zeros(np.rint(GAUSSIAN_UNITS * tail), "b")
    side = -np.diff(tail, append=0)
    centre = GAUSSIAN_UNITS - 2 * side.sum()
    return np.array([*side[::-1], centre, *side], np.float32)


def blur(images_NSS: torch.Tensor, kernel_NK: torch.Tensor) -> torch.Tensor:
    """Blur each image (N, S, S) with its own kernel along both axes.

    Border pixels are repeated outwards. uint8 results round half up.
    """
    reach, size = kernel_NK.shape[1] // 2, images_NSS.shape[-1]
    nearest = torch.arange(-reach, size + reach, device=images_NSS.device).clamp(0, size - 1)
    sums = images_NSS.to(torch.float32)
    for axis in (1, 2):
        continued = sums.index_select(axis, nearest)
        sums = torch.zeros_like(sums)
        for i, weight_N in enumerate(kernel_NK.T):
            sums.addcmul_(continued.narrow(axis, i, size), weight_N[:, None, None])
    area_N11 = kernel_NK.sum(dim=1)[:, None, None] ** 2
    if images_NSS.dtype == torch.uint8:
        sums += area_N11 / 2
    return (sums / area_N11).to(images_NSS.dtype)


def _blur_one(image_SS: np.ndarray, kernel_K: np.ndarray) -> np.ndarray:
    # cv2.blur will not do: its vector code and its scalar code round halves differently.
    area = float(kernel_K.sum()) ** 2
    half = area / 2 if image_SS.dtype == np.uint8 else 0.0
    sums: np.ndarray = cv2.sepFilter2D(
        image_SS, cv2.CV_32F, kernel_K, kernel_K, delta=half, borderType=cv2.BORDER_REPLICATE
    )
    sums /= area
    return sums.astype(image_SS.dtype, copy=False)


def _kernel_table(spec: AugmentSpec) -> torch.Tensor:
    """Kernels of every size, (sizes, K), padded to the width of the widest."""
    kernels = [blur_kernel(spec.blur, size) for size in spec.blur_sizes]
    widest = max(map(len, kernels))
    return torch.from_numpy(np.stack([np.pad(k, (widest - len(k)) // 2) for k in kernels]))


# --- noise --------------------------------------------------------------------------------


def add_noise(images_NSS: torch.Tensor, noisy_NSS: torch.Tensor, spec: AugmentSpec) -> torch.Tensor:
    """Add grey levels to the noisy pixels; uint8 stops at 255, or wraps with us_dcgan."""
    room = (
        images_NSS if spec.faults == "us_dcgan" else images_NSS.clamp_max(255 - spec.noise_levels)
    )
    return torch.where(noisy_NSS, room + spec.noise_levels, images_NSS)


def _add_noise_one(image_SS: np.ndarray, noisy_SS: np.ndarray, spec: AugmentSpec) -> np.ndarray:
    levels = noisy_SS.view(np.uint8) * np.uint8(spec.noise_levels)
    noised: np.ndarray = (
        image_SS + levels if spec.faults == "us_dcgan" else cv2.add(image_SS, levels)
    )
    return noised


def _noisy_pixels(
    shape: tuple[int, ...], spec: AugmentSpec, bits: np.random.BitGenerator
) -> np.ndarray:
    # Raw 16-bit words are cheaper than uniform numbers.
    n = math.prod(shape)
    words = bits.random_raw(math.ceil(n / 4)).view(np.uint16)[:n].reshape(shape)
    noisy: np.ndarray = words < round(spec.noise_share * 2**16)
    return noisy


# --- movement -----------------------------------------------------------------------------


def move(images_NSS: torch.Tensor, turn_N: torch.Tensor, shift_N: torch.Tensor) -> torch.Tensor:
    """Rotate and zoom images (N, S, S) about the centre, then shift them; black comes in.

    It is one bilinear resampling.
    """
    size = images_NSS.shape[-1]
    # The source x + iy of each pixel. A sum of one term per axis is far cheaper than affine_grid.
    x_S = (2 * torch.arange(size, device=images_NSS.device) + 1) / size - 1
    turn_N11 = turn_N[:, None, None]
    across_N1S = x_S * turn_N11
    down_NS1 = (1j * x_S[:, None] - shift_N[:, None, None]) * turn_N11
    grid_NSS2 = torch.view_as_real(across_N1S + down_NS1)
    pixels_N1SS = images_NSS.to(torch.float32)[:, None]
    moved = grid_sample(pixels_N1SS, grid_NSS2, align_corners=False)[:, 0]
    return (moved + 0.5).to(torch.uint8) if images_NSS.dtype == torch.uint8 else moved
