"""A seeded simulator of convex-probe lung ultrasound, for demonstration and tests.

A frame is drawn in probe coordinates (row: depth below the probe, column: beam angle) as
log-compressed brightness, and scan-converted to the sector that a scanner shows. Patients differ
in style (probe, depth, gain, speckle grain, chest wall), videos in the place on the chest, frames
in the phase of breathing and in speckle. Positive videos show a sub-pleural consolidation: it is
tissue-like and hypoechoic, with hyperechoic splotches and a ragged "shred line" at its deep border.

Random numbers are drawn for each (seed, role, patient, video). A video therefore does not depend on
the number of other videos, and frame t does not depend on the number of frames after it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lussweep.data.phantom_anatomy import Grey, Grid, Scene, draw_scene, rng_of
from lussweep.study.keys import digest
from lussweep.study.spec import CLASSES, SPLITS, Manifest, PhantomSpec, Video

# --- difficulty, which the lesion of `phantom_anatomy` determines too -----------------------

STYLE_SPREAD = 0.85
"""Share of each range in STYLE, around its middle, that patients are drawn from.

Levels in STYLE are shares of full brightness.
"""

STYLE: dict[str, tuple[float, float]] = {
    "depth_cm": (4.5, 7.0),
    "half_angle_deg": (27.0, 38.0),
    "probe_radius_cm": (2.0, 4.5),
    "gain": (-0.06, 0.12),
    "contrast": (0.75, 1.2),
    "gamma": (0.75, 1.35),
    "attenuation": (0.0, 0.22),  # grey lost from the skin to the bottom
    "tgc_ripple": (0.0, 0.10),
    "grain_axial": (0.003, 0.010),  # share of the imaging depth
    "grain_lateral": (0.006, 0.026),  # share of the opening angle
    "speckle": (0.05, 0.13),
    "pleura_cm": (0.9, 1.8),
    "pleura_thickness_cm": (0.05, 0.14),
    "pleura_level": (0.35, 0.75),
    "pleura_bump_cm": (0.0, 0.07),
    "wall_level": (0.28, 0.52),
    "wall_texture": (0.05, 0.16),
    "haze_level": (0.28, 0.50),
    "haze_texture": (0.02, 0.08),
    "a_lines": (0.0, 0.45),
    "b_lines": (0.0, 2.2),  # expected number in a video
    "sparkle": (0.0, 0.25),
    "decoy": (0.0, 0.6),  # probability of a smooth dark patch below the pleura
}

MIXED_SHARE = 0.25
"""Share of positive patients whose second video shows a healthy zone."""

# --- videos -------------------------------------------------------------------------------

MARGIN = 1.03
"""Side of a frame, as a multiple of the larger extent of the sector."""


def phantom_manifest(spec: PhantomSpec, seed: int) -> Manifest:
    """Every simulated video: `spec.<split>_patients` patients a class in each split.

    A video's sha256 is a digest of everything that determines its frames, except their size.
    """
    videos = []
    for split in SPLITS:
        for group in CLASSES:
            for patient in range(1, getattr(spec, f"{split}_patients") + 1):
                for video in range(1, spec.videos_per_patient + 1):
                    videos.append(_manifest_row(spec, seed, split, group, patient, video))
    return Manifest(videos=tuple(videos))


def fresh_videos(
    n_patients: int, replicate: int, group: str, n_videos: int, seed: int
) -> list[Video]:
    """The videos of class `group` of n new patients, whom no split holds.

    The ids of the patients hold n and the replicate, so that no two cohorts share a patient. Videos
    of a positive patient that show a healthy zone are left out.
    """
    label = int(group == "pos")
    ids = [f"phantom-fresh-{n_patients}-{replicate}-{group}-{i + 1:03d}" for i in range(n_patients)]
    return [
        Video(
            patient_id=patient_id,
            video_id=_video_id(patient_id, video),
            label=label,
            split="train",  # a video has a split; nothing reads that of a video outside a manifest
            sha256=digest([seed, patient_id, video]),
        )
        for patient_id in ids
        for video in range(1, n_videos + 1)
        if _label(patient_id, group, video, seed) == label
    ]


def _label(patient_id: str, group: str, video: int, seed: int) -> int:
    # The first video of a positive patient is always positive. The second shows a healthy zone in
    # some patients, whatever the number of videos.
    healthy_zone = video == 2 and rng_of(seed, "mixed", patient_id).random() < MIXED_SHARE
    return int(group == "pos" and not healthy_zone)


def _video_id(patient_id: str, video: int) -> str:
    return f"{patient_id}-{video:02d}"


def _manifest_row(
    spec: PhantomSpec, seed: int, split: str, group: str, patient: int, video: int
) -> Video:
    patient_id = f"phantom-{split}-{group}-{patient:03d}"
    label = _label(patient_id, group, video, seed)
    # The numbers of other patients and videos do not change this video.
    counts = {f"{name}_patients" for name in SPLITS} | {"videos_per_patient"}
    identity = [spec.version, spec.model_dump(exclude=counts), seed, patient_id, video, label]
    return Video.model_validate(
        {
            "patient_id": patient_id,
            "video_id": _video_id(patient_id, video),
            "label": label,
            "split": split,
            "sha256": digest(identity),
        }
    )


# --- frames -------------------------------------------------------------------------------


def render_video(video: Video, n_frames: int, image_size: int, seed: int) -> npt.NDArray[np.uint8]:
    """The cine loop of `video`: uint8 (n_frames, image_size, image_size), 0 outside the sector.

    The frames depend on the video's patient, id and label and on `seed`. Frame t is the same for
    every `n_frames`, and the anatomy is the same for every `image_size`.
    """
    style = _style(video.patient_id, seed)
    grid = _grid(style, image_size)
    scene = draw_scene(video, style, grid, seed)
    rng = rng_of(seed, "frames", video.patient_id, video.video_id)
    period, phase, slide, lift, memory = rng.uniform(
        (5, 0, 0.01, 0.003, 0.3), (12, 6.28, 0.05, 0.012, 0.9)
    )
    frames = np.zeros((n_frames, image_size, image_size), np.uint8)
    kernels = _speckle_kernels(style, image_size)
    field = _speckle_field(rng, kernels, image_size)
    for t in range(n_frames):
        breath = np.sin(2 * np.pi * t / period + phase)
        level = _lung_at(scene, slide * breath * image_size)
        level += style["speckle"] * (np.log(cv2.magnitude(*cv2.split(field)) + 0.05) - 0.06)
        grey = np.clip(style["gain"] + style["contrast"] * level, 0, 1) ** style["gamma"]
        row = grid.row + np.float32(lift * breath * image_size)
        frame = cv2.remap(grey, grid.column, row, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        frames[t] = (frame * np.float32(255) + np.float32(0.5)) * grid.sector
        fresh = _speckle_field(rng, kernels, image_size)
        field = np.float32(memory) * field + np.float32(np.sqrt(1 - memory**2)) * fresh
    return frames


def sector_mask(patient_id: str, image_size: int, seed: int) -> npt.NDArray[np.bool_]:
    """True where this patient's frames show the sector: (image_size, image_size)."""
    return _grid(_style(patient_id, seed), image_size).sector


def _style(patient_id: str, seed: int) -> dict[str, float]:
    low, high = np.array(list(STYLE.values())).T
    share = 0.5 + STYLE_SPREAD * (rng_of(seed, "style", patient_id).random(len(STYLE)) - 0.5)
    return dict(zip(STYLE, (low + share * (high - low)).tolist(), strict=True))


def _grid(style: dict[str, float], size: int) -> Grid:
    depth, radius = style["depth_cm"], style["probe_radius_cm"]
    half = np.deg2rad(style["half_angle_deg"])
    top = radius * np.cos(half)
    height, width = radius + depth - top, 2 * (radius + depth) * np.sin(half)
    side = MARGIN * max(height, width)
    centred = (((np.arange(size) + 0.5) / size - 0.5) * side).astype(np.float32)
    x, y = centred[None, :], centred[:, None] + np.float32(top + height / 2)
    along = (np.hypot(x, y) - np.float32(radius)) / np.float32(depth)
    across = np.arctan2(x, y) / np.float32(half)
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    return Grid(
        depth_cm=(steps * np.float32(depth))[:, None],
        angle=(2 * steps - 1)[None, :],
        column=(across + 1) * np.float32(size / 2) - np.float32(0.5),
        row=along * np.float32(size) - np.float32(0.5),
        sector=(along >= 0) & (along <= 1) & (abs(across) <= 1),
        cm_per_angle=float((radius + style["pleura_cm"]) * half),
    )


def _lung_at(scene: Scene, shift_px: float) -> Grey:
    """Levels (S, S) of one frame: the lung slides sideways under a chest wall that stays."""
    size = scene.below.shape[0]
    move = np.array([[1, 0, shift_px], [0, 1, 0]], np.float32)
    slid = cv2.warpAffine(
        scene.sliding, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    b_lines, lesion = slid[:, :, 0], slid[:, :, 1] * scene.below
    lung = scene.lung * (1 - np.float32(0.6) * b_lines) + np.float32(0.5) * b_lines
    lung += lesion * (slid[:, :, 2] - lung)
    level: Grey = scene.static + scene.below * lung + scene.pleura * (1 - np.float32(0.5) * lesion)
    return level


# --- speckle ------------------------------------------------------------------------------


def _speckle_kernels(style: dict[str, float], size: int) -> tuple[Grey, Grey]:
    """Kernels of lateral and axial blur. Their energy is 1, so the grain changes no variance."""
    kernels = []
    for name in ("grain_lateral", "grain_axial"):
        sigma = style[name] * size
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(2 * sigma)) + 1, sigma, cv2.CV_32F)
        kernels.append(kernel / np.linalg.norm(kernel))
    return kernels[0], kernels[1]


def _speckle_field(rng: np.random.Generator, kernels: tuple[Grey, Grey], size: int) -> Grey:
    """Real and imaginary part of a complex Gaussian echo: (S, S, 2). Its modulus is Rayleigh."""
    echo = rng.standard_normal((size, size, 2), dtype=np.float32)
    return cv2.sepFilter2D(echo, -1, kernels[0], kernels[1])
