"""Augmentation of training images, each with its own draws (paper section 2.4).

A chunk's draws are made at once, on the CPU. Then the images go one by one through OpenCV, or, on a
GPU, in groups that do the same thing at the same point of their order. All sums of grey levels are
of whole numbers, so both ways give the same levels, but where an image is moved, which may round a
level differently on another device; and the noisy pixels are drawn apart.
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
"""Weights of a Gaussian are whole multiples of one 256th: 255 * 256**2 is exact in float32."""


class Draws(NamedTuple):
    """What is random about N images, but for the noisy pixels; on the CPU."""

    step_NK: torch.Tensor
    """The operation of each of K turns, or OFF."""
    gamma_N: torch.Tensor
    """Positions in `spec.gammas`."""
    blur_N: torch.Tensor
    """Positions in `spec.blur_sizes`."""
    turn_N: torch.Tensor
    """Inverse of rotation and zoom, as a complex number."""
    shift_N: torch.Tensor
    """To the right, and down as the imaginary part, in half sides of the image."""
    noise_seed: int

    def to(self, device: torch.device) -> Draws:
        """With a copy there of what is looked up there; the steps stay."""
        return self._replace(
            gamma_N=_send(self.gamma_N, device),
            blur_N=_send(self.blur_N, device),
            turn_N=_send(self.turn_N, device),
            shift_N=_send(self.shift_N, device),
        )


def augment(images_NSS: torch.Tensor, spec: AugmentSpec, rng: torch.Generator) -> torch.Tensor:
    """Flip, gamma, blur, noise and movement, each on with its probability, in random order.

    uint8 images (N, S, S) to new ones on the same device: uint8 or, where `spec.faults` is
    us_dcgan, float32, of which some are grey levels and some, after gamma, are in 0..1. `rng` is a
    CPU generator. On the CPU the share of noisy pixels is rounded to a 65536th. Nothing here waits
    for a GPU.
    """
    draws = draw(len(images_NSS), spec, rng)
    run = one_by_one if images_NSS.device.type == "cpu" else in_groups
    return run(images_NSS, spec, draws)


def draw(n: int, spec: AugmentSpec, rng: torch.Generator) -> Draws:
    """All draws for a chunk of n images."""
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
    """On a CPU, where an image that stays in the cache through its operations is fastest."""
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
                alone = torch.from_numpy(image)[None]
                turn, shift = draws.turn_N[i : i + 1], draws.shift_N[i : i + 1]
                image = move(alone, turn, shift)[0].numpy()
        out[i] = image
    return torch.from_numpy(out)


def in_groups(images_NSS: torch.Tensor, spec: AugmentSpec, draws: Draws) -> torch.Tensor:
    """On a GPU: one group of images for each operation at each turn."""
    device = images_NSS.device
    curves_GL = torch.from_numpy(gamma_curves(spec))
    images = images_NSS.to(curves_GL.dtype, copy=True)
    groups = list(_groups(draws.step_NK, spec))
    if not groups:
        return images
    # All the rows in one copy.
    sizes = [len(group.rows) for group in groups]
    rows_of = torch.split(_send(torch.cat([group.rows for group in groups]), device), sizes)
    curves_GL, kernels_BK = _send(curves_GL, device), _send(_kernel_table(spec), device)
    there = draws.to(device)
    noise_rng = torch.Generator(device).manual_seed(draws.noise_seed)
    for (step, dtype, _), rows in zip(groups, rows_of, strict=True):
        batch = images.index_select(0, rows).to(dtype)
        if step == FLIP:
            batch = batch.flip(-1)
        elif step == GAMMA:
            batch = look_up(batch, curves_GL, there.gamma_N[rows])
        elif step == BLUR:
            batch = blur(batch, kernels_BK[there.blur_N[rows]])
        elif step == NOISE:
            noisy = torch.empty(batch.shape, dtype=torch.bool, device=device)
            noisy.bernoulli_(spec.noise_share, generator=noise_rng)
            batch = add_noise(batch, noisy, spec)
        else:
            batch = move(batch, there.turn_N[rows], there.shift_N[rows])
        images.index_copy_(0, rows, batch.to(images.dtype))
    return images


class _Group(NamedTuple):
    step: int
    dtype: torch.dtype
    rows: torch.Tensor


def _groups(step_NK: torch.Tensor, spec: AugmentSpec) -> Iterator[_Group]:
    """Images that do the same at the same turn; with us_dcgan, those in 0..1 are apart."""
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
    """From pinned memory, without which a copy to a GPU may wait for what the GPU has to do."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


# --- gamma --------------------------------------------------------------------------------


def gamma_curves(spec: AugmentSpec) -> np.ndarray:
    """What each of 256 levels becomes, (gammas, 256): uint8, or float32 in 0..1 with us_dcgan."""
    curves: np.ndarray = (np.arange(256) / 255) ** np.array(spec.gammas)[:, None]
    if spec.faults == "us_dcgan":
        return curves.astype(np.float32)
    return np.asarray(np.rint(curves * 255), np.uint8)


def look_up(
    images_NSS: torch.Tensor, curves_GL: torch.Tensor, curve_N: torch.Tensor
) -> torch.Tensor:
    """uint8 images through the curve of each."""
    return curves_GL.take(images_NSS.long() + 256 * curve_N[:, None, None])


# --- blur ---------------------------------------------------------------------------------


@functools.cache
def blur_kernel(kind: str, size: int) -> np.ndarray:
    """Whole weights along one axis, float32, as many before the pixel as after it.

    A box of even size reaches one pixel further right and down. The Gaussian has the box's standard
    deviation and is cut at three of them. It is its tail sums that are rounded, so that it adds up,
    and a step of 255 levels ends within half a level of where it should.
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
    """Each image by its own kernel along both axes; borders are continued; uint8 rounds half up."""
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
    # Not cv2.blur: it rounds halves up, down or to even as it comes to its vector and scalar code.
    area = float(kernel_K.sum()) ** 2
    half = area / 2 if image_SS.dtype == np.uint8 else 0.0
    sums: np.ndarray = cv2.sepFilter2D(
        image_SS, cv2.CV_32F, kernel_K, kernel_K, delta=half, borderType=cv2.BORDER_REPLICATE
    )
    sums /= area
    return sums.astype(image_SS.dtype, copy=False)


def _kernel_table(spec: AugmentSpec) -> torch.Tensor:
    """Kernels of every size, (sizes, K), as wide as the widest."""
    kernels = [blur_kernel(spec.blur, size) for size in spec.blur_sizes]
    widest = max(map(len, kernels))
    return torch.from_numpy(np.stack([np.pad(k, (widest - len(k)) // 2) for k in kernels]))


# --- noise --------------------------------------------------------------------------------


def add_noise(images_NSS: torch.Tensor, noisy_NSS: torch.Tensor, spec: AugmentSpec) -> torch.Tensor:
    """Levels added where noisy; uint8 stops at 255, or wraps with us_dcgan."""
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
    # Raw 16-bit words, which are cheaper than uniform numbers.
    n = math.prod(shape)
    words = bits.random_raw(math.ceil(n / 4)).view(np.uint16)[:n].reshape(shape)
    noisy: np.ndarray = words < round(spec.noise_share * 2**16)
    return noisy


# --- movement -----------------------------------------------------------------------------


def move(images_NSS: torch.Tensor, turn_N: torch.Tensor, shift_N: torch.Tensor) -> torch.Tensor:
    """Rotation and zoom about the centre, then a shift: one bilinear resampling, black around."""
    size = images_NSS.shape[-1]
    # Where each pixel comes from, x + iy. A sum over an axis each, far cheaper than affine_grid.
    x_S = (2 * torch.arange(size, device=images_NSS.device) + 1) / size - 1
    turn_N11 = turn_N[:, None, None]
    across_N1S = x_S * turn_N11
    down_NS1 = (1j * x_S[:, None] - shift_N[:, None, None]) * turn_N11
    grid_NSS2 = torch.view_as_real(across_N1S + down_NS1)
    pixels_N1SS = images_NSS.to(torch.float32)[:, None]
    moved = grid_sample(pixels_N1SS, grid_NSS2, align_corners=False)[:, 0]
    return (moved + 0.5).to(torch.uint8) if images_NSS.dtype == torch.uint8 else moved
