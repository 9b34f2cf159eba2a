"""The spectral gap: how far synthetic frames are from real ones, in spectra of local contrast.

Noise and smoke have no lines and no shadows, so their local contrast is spread evenly over the
sector. In ultrasound frames, local contrast has a pattern of its own: bright at the pleural line,
dark in shadows. This pattern survives a blur, which changes the grey levels' own spectrum more than
smoke does.

All lengths are shares of the side S of a frame. Frames larger than 64 x 64 are shrunk to that size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Floats = NDArray[np.float64]

N_BANDS = 16
HIGHEST_FREQUENCY = 11.0
"""Upper end of the bands, in cycles per side of a frame. The bands begin at 0 and have one width. A
box blur of 5 x 5 pixels at 64 x 64 takes away what lies above."""
CONTRAST_SCALES = (1 / 64, 1 / 32, 1 / 16)
"""Standard deviations of the Gaussian filters, as shares of the side. Local contrast is the
absolute difference between a frame filtered at one scale and at twice that scale."""
EDGE = 1 / 8
"""Width of the cosine window at the border of the sector, as a share of the side."""
SIDE = 64
N_COMPARED = 128
"""Most frames that are compared. The gap of unseen patients hardly falls with more of them."""
LEAST_PATTERN = 0.2
"""Mean absolute log ratio of the spectra of real and shuffled frames below which real frames have
no pattern that a generator could learn."""
_QUANTISATION = 1 / 12
"""Power that is added to each band: the variance of rounding to whole grey levels."""


@dataclass(frozen=True, eq=False)
class RealPattern:
    """The spectra of real frames, which the images of many snapshots are compared with."""

    mask_NSS: Masks
    """The sector masks of the real frames. Synthetic frames get them in this order."""
    log_power_KB: Floats
    """The spectrum of the real frames, by scale and band."""
    distance_to_shuffled: float
    """D(permuted, real)."""

    @staticmethod
    def of(frames_NSS: Frames, mask_NSS: Masks, seed: int) -> RealPattern:
        """The spectra of uint8 frames (N, S, S), with the mask of each frame's sector (N, S, S).

        At most N_COMPARED frames are taken, in a seeded order. The same seed shuffles the pixels
        inside each frame's sector. Raises ValueError for shapes that differ, and without frames.
        """
        if not len(frames_NSS) or frames_NSS.shape != mask_NSS.shape:
            raise ValueError(
                f"frames {frames_NSS.shape} need masks of their shape, got {mask_NSS.shape}"
            )
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(frames_NSS))[:N_COMPARED]
        frames, masks = frames_NSS[chosen], mask_NSS[chosen]
        real_KB = contrast_spectrum(frames, masks)
        shuffled_KB = contrast_spectrum(shuffled_inside(frames, masks, rng), masks)
        return RealPattern(masks, real_KB, _distance(shuffled_KB, real_KB))

    def gap(self, synthetic_MSS: Frames) -> float:
        """D(synthetic, real) / D(permuted, real) of uint8 images (M, S, S).

        D is the mean absolute difference of log power over all scales and bands. The gap is 0 for
        the real frames themselves, and about 1 for noise. It is NaN if D(permuted, real) is below
        LEAST_PATTERN. The first N_COMPARED images are taken, and cut to the masks of real frames.
        """
        if self.distance_to_shuffled < LEAST_PATTERN:
            return float("nan")
        images = synthetic_MSS[:N_COMPARED]
        masks = self.mask_NSS[np.arange(len(images)) % len(self.mask_NSS)]
        synthetic_KB = contrast_spectrum(images * masks, masks)
        return _distance(synthetic_KB, self.log_power_KB) / self.distance_to_shuffled


def contrast_spectrum(frames_NSS: Frames, mask_NSS: Masks) -> Floats:
    """Mean log power of local contrast by scale and radial frequency band: (K, N_BANDS).

    The power is a mean over frames, in squared grey levels. The mean over the bands of each scale
    is subtracted, so a factor on all grey levels changes nothing but the rounding.
    """
    band_FF = _bands(2 * min(SIDE, frames_NSS.shape[1]))
    power_KB = np.zeros((len(CONTRAST_SCALES), N_BANDS))
    for frame, mask in _shrunk(frames_NSS, mask_NSS):
        window = _window(mask)
        for power_B, scale in zip(power_KB, CONTRAST_SCALES, strict=True):
            power_B += _band_power(_local_contrast(frame, scale), window, band_FF)
    log_power_KB = np.log(power_KB / len(frames_NSS) + _QUANTISATION)
    spectrum_KB: Floats = log_power_KB - log_power_KB.mean(axis=1, keepdims=True)
    return spectrum_KB


def shuffled_inside(frames_NSS: Frames, mask_NSS: Masks, rng: np.random.Generator) -> Frames:
    """The frames with the pixels of each sector in random order, and 0 outside."""
    shuffled = np.zeros_like(frames_NSS)
    for new, frame, mask in zip(shuffled, frames_NSS, mask_NSS, strict=True):
        new[mask] = rng.permutation(frame[mask])
    return shuffled


def _distance(a_KB: Floats, b_KB: Floats) -> float:
    return float(np.abs(a_KB - b_KB).mean())


def _shrunk(frames_NSS: Frames, mask_NSS: Masks) -> Iterator[tuple[Floats, Masks]]:
    """The frames and their masks at SIDE x SIDE or, if they are smaller, as they are."""
    side = min(SIDE, frames_NSS.shape[1])
    for frame, mask in zip(frames_NSS, mask_NSS, strict=True):
        shares = cv2.resize(mask.astype(np.float64), (side, side), interpolation=cv2.INTER_AREA)
        small = cv2.resize(frame.astype(np.float64), (side, side), interpolation=cv2.INTER_AREA)
        yield small, shares >= 0.5


def _window(mask: Masks) -> Floats:
    """0 outside the sector, and from its border up to 1 as a cosine: (S, S)."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rise = np.clip(depth / (EDGE * len(mask)), 0, 1)
    window: Floats = 0.5 - 0.5 * np.cos(np.pi * rise.astype(np.float64))
    return window


def _local_contrast(frame: Floats, scale: float) -> Floats:
    """|G(s) * frame - G(2 s) * frame| with Gaussian filters of s = `scale` x S pixels: (S, S)."""
    fine, coarse = (cv2.GaussianBlur(frame, (0, 0), k * scale * len(frame)) for k in (1, 2))
    contrast: Floats = np.abs(fine - coarse)
    return contrast


def _bands(side: int) -> NDArray[np.int64]:
    """The band of each frequency of a real FFT of frames padded to twice their side; else N_BANDS.

    The frequency 0 is in no band.
    """
    cycles_per_pixel = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    band = np.ceil(cycles_per_pixel * side / 2 * N_BANDS / HIGHEST_FREQUENCY).astype(np.int64) - 1
    return np.where((band < 0) | (band >= N_BANDS), N_BANDS, band)


def _band_power(contrast: Floats, window: Floats, band_FF: NDArray[np.int64]) -> Floats:
    """Mean power in each band of a windowed map, whose mean under the window is subtracted."""
    area = (window**2).sum()
    if not area:  # there is no sector
        return np.zeros(N_BANDS)
    centred = (contrast - (contrast * window).sum() / window.sum()) * window
    spectrum = np.fft.rfft2(centred, s=(len(band_FF), len(band_FF)))
    power = np.bincount(band_FF.ravel(), (np.abs(spectrum) ** 2).ravel(), N_BANDS + 1)
    count = np.bincount(band_FF.ravel(), minlength=N_BANDS + 1)
    mean: Floats = power[:N_BANDS] / count[:N_BANDS] / area
    return mean
