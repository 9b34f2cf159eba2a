"""A seeded simulator of convex-probe lung ultrasound, for demonstration and tests.

A frame is drawn in probe coordinates (row: depth below the probe, column: beam angle) as
log-compressed brightness, and scan-converted to the sector that a scanner shows. Each patient has
a style (probe, depth, gain, speckle grain, chest wall), each video a place on the chest, each
frame a phase of breathing and its own speckle. Positive videos carry a sub-pleural consolidation:
tissue-like and hypoechoic, with hyperechoic splotches and a ragged "shred line" at its deep border.

Every draw belongs to (seed, role, patient, video), so one video never depends on how many others
there are, and frame t never depends on how many frames follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lussweep.study.keys import derive_seed, digest
from lussweep.study.spec import CLASSES, SPLITS, Manifest, PhantomSpec, Video

# --- difficulty: everything that is tuned -------------------------------------------------

STYLE_SPREAD = 0.85
"""Share of each range of STYLE that patients are drawn from, around its middle. Levels are in
shares of full brightness."""

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

LESION_VISIBILITY = (0.8, 1.0)
"""From the subtlest patient to the most obvious, as are width and height below."""
LESION_WIDTH_CM = (2.0, 3.8)
LESION_HEIGHT_CM = (1.1, 2.7)
LESION_DARKENING = 0.16
LESION_SPLOTCHES = 0.5
SPLOTCH_CM = 0.24
"""Spacing of the splotches; the LESION_ levels are shares of full brightness."""
LESION_SHRED = 0.4
DECOY_DARKENING = (0.08, 0.26)
POOR_CONTACT = 0.35
"""Probability that part of the probe has lost contact with the skin, in either class."""
MIXED_SHARE = 0.25
"""Share of positive patients whose second video shows a healthy zone."""

# --- what cases there are -----------------------------------------------------------------

Grey = npt.NDArray[np.float32]
MARGIN = 1.03


def phantom_manifest(spec: PhantomSpec, seed: int) -> Manifest:
    """Every simulated video: `spec.<split>_patients` patients a class in each split.

    A video's sha256 is a digest of all that determines its frames but for their size.
    """
    videos = []
    for split in SPLITS:
        for group in CLASSES:
            for patient in range(1, getattr(spec, f"{split}_patients") + 1):
                for video in range(1, spec.videos_per_patient + 1):
                    videos.append(_manifest_row(spec, seed, split, group, patient, video))
    return Manifest(videos=tuple(videos))


def _manifest_row(
    spec: PhantomSpec, seed: int, split: str, group: str, patient: int, video: int
) -> Video:
    patient_id = f"phantom-{split}-{group}-{patient:03d}"
    # The first video of a positive patient is always positive; the second is a healthy zone in
    # some, whatever the number of videos.
    healthy_zone = video == 2 and _rng(seed, "mixed", patient_id).random() < MIXED_SHARE
    label = int(group == "pos" and not healthy_zone)
    # How many others there are is no part of what this video is.
    counts = {f"{name}_patients" for name in SPLITS} | {"videos_per_patient"}
    identity = [spec.version, spec.model_dump(exclude=counts), seed, patient_id, video, label]
    return Video.model_validate(
        {
            "patient_id": patient_id,
            "video_id": f"{patient_id}-{video:02d}",
            "label": label,
            "split": split,
            "sha256": digest(identity),
        }
    )


# --- what a case looks like ---------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Probe coordinates and the way to the screen, all for one patient and image size S."""

    depth_cm: Grey  # (S, 1)
    angle: Grey  # (1, S), -1 at the left edge of the sector, 1 at the right
    column: Grey  # (S, S) where a screen pixel lies in probe coordinates
    row: Grey  # (S, S)
    sector: npt.NDArray[np.bool_]  # (S, S)
    cm_per_angle: float
    """Width of one unit of angle at the depth of the pleura."""


@dataclass(frozen=True)
class _Scene:
    """One video at rest, as (S, S) grey levels in probe coordinates."""

    static: Grey
    """Everything but the lung: chest wall, time-gain, attenuation, shadows."""
    pleura: Grey
    lung: Grey
    below: Grey
    """1 below the pleura, 0 above it."""
    sliding: Grey
    """(S, S, 3): weight of B-lines, weight of the lesion, level of the lesion."""


def render_video(video: Video, n_frames: int, image_size: int, seed: int) -> npt.NDArray[np.uint8]:
    """The cine loop of `video`: uint8 (n_frames, image_size, image_size), 0 outside the sector.

    Deterministic in the video's patient, id and label and in `seed`; frame t is the same for
    every `n_frames`, and anatomy the same for every `image_size`.
    """
    style = _style(video.patient_id, seed)
    grid = _grid(style, image_size)
    scene = _scene(video, style, grid, seed)
    rng = _rng(seed, "frames", video.patient_id, video.video_id)
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
    """(image_size, image_size): where this patient's frames show anything at all."""
    return _grid(_style(patient_id, seed), image_size).sector


def _rng(seed: int, role: str, *names: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "phantom", role, *names)))


def _style(patient_id: str, seed: int) -> dict[str, float]:
    low, high = np.array(list(STYLE.values())).T
    share = 0.5 + STYLE_SPREAD * (_rng(seed, "style", patient_id).random(len(STYLE)) - 0.5)
    return dict(zip(STYLE, (low + share * (high - low)).tolist(), strict=True))


def _grid(style: dict[str, float], size: int) -> _Grid:
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
    return _Grid(
        depth_cm=(steps * np.float32(depth))[:, None],
        angle=(2 * steps - 1)[None, :],
        column=(across + 1) * np.float32(size / 2) - np.float32(0.5),
        row=along * np.float32(size) - np.float32(0.5),
        sector=(along >= 0) & (along <= 1) & (abs(across) <= 1),
        cm_per_angle=float((radius + style["pleura_cm"]) * half),
    )


def _scene(video: Video, style: dict[str, float], grid: _Grid, seed: int) -> _Scene:
    names = (video.patient_id, video.video_id)
    rng = _rng(seed, "scene", *names)
    size = grid.angle.size
    pleura_cm, open_share, ribs = _pleura_and_ribs(rng, style, grid)
    under = grid.depth_cm - pleura_cm
    below = (under > 0).astype(np.float32)
    wall = _chest_wall(rng, style, grid, pleura_cm)
    lung = _healthy_lung(rng, style, grid, pleura_cm, under)
    thick = style["pleura_thickness_cm"] * (1 + 0.25 * _noise(rng, 1, 7, size))
    pleura = style["pleura_level"] * np.exp(-((under / thick) ** 2))
    shade = (1 - open_share) * _step(under + 0.35, 0.06)
    static = wall * (1 - below) + ribs - 0.55 * shade + _gain_field(rng, style, grid)
    sliding = np.zeros((size, size, 3), np.float32)
    sliding[:, :, 0] = _b_lines(rng, style, grid)
    if video.label:
        weight, level = _consolidation(
            _rng(seed, "severity", video.patient_id).random(),
            _rng(seed, "lesion", *names),
            style,
            grid,
            under,
            open_share,
        )
        sliding[:, :, 1], sliding[:, :, 2] = weight, level
    return _Scene(
        static=static.astype(np.float32),
        pleura=(pleura * open_share).astype(np.float32),
        lung=lung.astype(np.float32),
        below=below,
        sliding=sliding,
    )


def _lung_at(scene: _Scene, shift_px: float) -> Grey:
    """Levels of one frame, the lung slid sideways under a chest wall that stays."""
    size = scene.below.shape[0]
    move = np.array([[1, 0, shift_px], [0, 1, 0]], np.float32)
    slid = cv2.warpAffine(
        scene.sliding, move, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    b_lines, lesion = slid[:, :, 0], slid[:, :, 1] * scene.below
    lung = scene.lung * (1 - np.float32(0.6) * b_lines) + np.float32(0.5) * b_lines
    lung += lesion * (slid[:, :, 2] - lung)
    return scene.static + scene.below * lung + scene.pleura * (1 - np.float32(0.5) * lesion)


def _pleura_and_ribs(
    rng: np.random.Generator, style: dict[str, float], grid: _Grid
) -> tuple[Grey, Grey, Grey]:
    """Depth of the pleura in cm (1, S); share of each beam that no rib stops (1, S); rib caps."""
    tilt, bend, offset = rng.uniform((-0.15, 0.0, -0.15), (0.15, 0.25, 0.15))
    a = grid.angle
    pleura_cm = style["pleura_cm"] + offset + tilt * a + bend * a**2
    pleura_cm = pleura_cm + style["pleura_bump_cm"] * _noise(rng, 1, 9, a.size)
    first, spacing, half_width = rng.uniform((-1.3, 1.25, 0.10), (-0.45, 1.9, 0.24))
    beams, caps = np.ones_like(a), np.zeros((a.size, a.size), np.float32)
    for centre in (first, first + spacing):
        off = (a - centre) / half_width
        bone = np.exp(-(off**4))
        surface = pleura_cm - 0.55 + 0.18 * off**2
        caps += 0.4 * bone * np.exp(-(((grid.depth_cm - surface) / 0.09) ** 2))
        beams = beams * (1 - bone)
    return pleura_cm, beams, caps


def _chest_wall(
    rng: np.random.Generator, style: dict[str, float], grid: _Grid, pleura_cm: Grey
) -> Grey:
    """Skin, fat and muscle: bands that follow the pleura, with bright fasciae between them."""
    size = grid.angle.size
    layers = _noise(rng, 16, 2, size) + 0.5 * _noise(rng, 24, 7, size)
    skin = 0.35 * np.exp(-grid.depth_cm / 0.12)
    wall = style["wall_level"] + style["wall_texture"] * layers + skin
    for share, level in rng.uniform((0.2, 0.0), (0.9, 0.35), size=(3, 2)):
        fascia = (grid.depth_cm - share * pleura_cm) / 0.05
        wall = wall + level * np.exp(-(fascia**2))
    muscle, dark = rng.uniform((0.45, -0.18), (0.85, 0.10))
    return wall + dark * np.exp(-(((grid.depth_cm / pleura_cm - muscle) / 0.18) ** 2))


def _healthy_lung(
    rng: np.random.Generator, style: dict[str, float], grid: _Grid, pleura_cm: Grey, under: Grey
) -> Grey:
    """Haze that fades with depth, A-lines at multiples of the pleura, specks and dark patches."""
    size = grid.angle.size
    lung = style["haze_level"] * np.exp(-np.maximum(under, 0) / rng.uniform(2.5, 6.0))
    lung = lung + style["haze_texture"] * _noise(rng, 14, 10, size)
    for order in (2, 3, 4):
        a_line = (grid.depth_cm - order * pleura_cm) / (0.8 * order**0.3 * 0.11)
        patchy = np.clip(0.8 + 0.35 * _noise(rng, 1, 5, size), 0, 1)
        lung = lung + style["a_lines"] * 0.62 ** (order - 2) * patchy * np.exp(-(a_line**2))
    specks = np.maximum(_noise(rng, 40, 30, size) - 1.3, 0) * np.exp(-np.maximum(under, 0) / 1.5)
    lung = lung + style["sparkle"] * specks
    present, centre, half_width, height = rng.uniform((0, -0.7, 0.15, 0.5), (1, 0.7, 0.5, 2.2))
    patch = np.exp(-(((grid.angle - centre) / half_width) ** 2) - (under / height) ** 2)
    darker = rng.uniform(*DECOY_DARKENING) * (present < style["decoy"])
    return lung - darker * patch


def _gain_field(rng: np.random.Generator, style: dict[str, float], grid: _Grid) -> Grey:
    """Attenuation, the operator's time-gain sliders, and beams without contact to the skin."""
    size = grid.angle.size
    share = grid.depth_cm / np.float32(style["depth_cm"])
    field = style["tgc_ripple"] * _noise(rng, 6, 1, size) - style["attenuation"] * share
    lost, centre, half_width, dark = rng.uniform((0, -1.1, 0.08, 0.1), (1, 1.1, 0.3, 0.4))
    if lost < POOR_CONTACT:
        field = field - dark * np.exp(-(((grid.angle - centre) / half_width) ** 2))
    return field


def _b_lines(rng: np.random.Generator, style: dict[str, float], grid: _Grid) -> Grey:
    """Laser-like vertical artefacts from the pleura to the bottom: weights in [0, 1]."""
    count = min(int(rng.poisson(style["b_lines"])), 6)
    lines = rng.uniform((-0.9, 0.02, 0.2), (0.9, 0.09, 0.8), size=(6, 3))[:count]
    weight = np.zeros((grid.depth_cm.size, grid.angle.size), np.float32)
    for centre, half_width, strength in lines:
        weight += strength * np.exp(-(((grid.angle - centre) / half_width) ** 2))
    return np.clip(weight, 0, 1)


def _consolidation(
    severity: float,
    rng: np.random.Generator,
    style: dict[str, float],
    grid: _Grid,
    under: Grey,
    beams: Grey,
) -> tuple[Grey, Grey]:
    """Weight in [0, 1] and level of a consolidation, both (S, S), and of the lung behind it.

    `severity` in [0, 1] is the patient's; the video adds its own. `under` is the depth below the
    pleura in cm, `beams` the share of each beam that no rib stops.
    """
    size = grid.angle.size
    grade = float(np.clip(severity + rng.normal(0, 0.15), 0, 1))
    visibility, width_cm, height_cm = (
        low + grade * (high - low)
        for low, high in (LESION_VISIBILITY, LESION_WIDTH_CM, LESION_HEIGHT_CM)
    )
    stretch, squeeze = rng.uniform(0.75, 1.25, 2)
    places = rng.uniform(-0.6, 0.6, 8)
    between_ribs = np.round(np.interp(places, grid.angle[0], beams[0]), 1)
    off = grid.angle - places[int(np.argmax(between_ribs))]
    off = off * (2 * grid.cm_per_angle / (stretch * width_cm))
    ragged = 1 + 0.18 * _noise(rng, 1, 14, size) + 0.09 * _noise(rng, 1, 30, size)
    profile = np.sqrt(np.maximum(1 - off**2, 0)) * np.clip(ragged, 0.3, 1.8)
    border = squeeze * height_cm * profile
    inside = _step(border - under, 0.05) * (border > 0.05)
    # Behind it no A-lines: the echo of the pleura is lost in the tissue.
    behind = 0.5 * np.exp(-(off**4) - np.maximum(under - border, 0) / 2.5)
    shred = np.exp(-(((under - border) / 0.12) ** 2)) * (border > 0.05)
    shred = shred * np.clip(0.75 + 0.5 * _noise(rng, 1, 24, size), 0, 1.3)
    haze = 1.1 * style["haze_level"] + 0.12 * _noise(rng, 3, 34, size)
    tissue = _hepatised(rng, style, grid, under)
    level = inside * tissue + (1 - inside) * haze + LESION_SHRED * shred
    weight = visibility * np.maximum(np.maximum(inside, behind), shred)
    return np.clip(weight, 0, 1), level


def _hepatised(rng: np.random.Generator, style: dict[str, float], grid: _Grid, under: Grey) -> Grey:
    """Lung that looks like liver, with the hyperechoic splotches of air left in its bronchi."""
    rows = round(style["depth_cm"] / SPLOTCH_CM)
    columns = round(2 * grid.cm_per_angle / SPLOTCH_CM)
    air = np.clip(_noise(rng, rows, columns, grid.angle.size) - 0.45, 0, 1.4) * (under > 0.12)
    return 0.06 + 0.6 * style["haze_level"] - LESION_DARKENING + LESION_SPLOTCHES * air


# --- fields -------------------------------------------------------------------------------


def _step(x: Grey, width: float) -> Grey:
    """0 far below zero, 1 far above, over about `width` on either side."""
    return np.clip(0.5 + x / (2 * width), 0, 1)


def _noise(rng: np.random.Generator, rows: int, columns: int, size: int) -> Grey:
    """Smooth unit-variance noise from a rows x columns grid, the same shape at every size.

    One row gives (1, size), one column (size, 1), otherwise (size, size).
    """
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    shape = (1 if columns == 1 else size, 1 if rows == 1 else size)
    return cv2.resize(knots, shape, interpolation=cv2.INTER_CUBIC).reshape(shape[::-1])


def _speckle_kernels(style: dict[str, float], size: int) -> tuple[Grey, Grey]:
    """Lateral and axial blur, of unit energy so that speckle keeps its variance at any grain."""
    kernels = []
    for name in ("grain_lateral", "grain_axial"):
        sigma = style[name] * size
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(2 * sigma)) + 1, sigma, cv2.CV_32F)
        kernels.append(kernel / np.linalg.norm(kernel))
    return kernels[0], kernels[1]


def _speckle_field(rng: np.random.Generator, kernels: tuple[Grey, Grey], size: int) -> Grey:
    """(S, S, 2): real and imaginary part of a complex Gaussian echo; its modulus is Rayleigh."""
    echo = rng.standard_normal((size, size, 2), dtype=np.float32)
    return cv2.sepFilter2D(echo, -1, kernels[0], kernels[1])
