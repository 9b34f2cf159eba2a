"""Draws what a phantom's probe sees at rest: chest wall, ribs, pleura, lung and consolidation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lussweep.study.keys import derive_seed
from lussweep.study.spec import Video

# --- difficulty, which the styles of `phantom` determine too -------------------------------

LESION_VISIBILITY = (0.8, 1.0)
"""From the subtlest patient to the most obvious one, like the ranges of width and height."""
LESION_WIDTH_CM = (2.0, 3.8)
LESION_HEIGHT_CM = (1.1, 2.7)
LESION_DARKENING = 0.16
LESION_SPLOTCHES = 0.5
SPLOTCH_CM = 0.24
"""Spacing of the splotches. Levels are shares of full brightness."""
LESION_SHRED = 0.4
DECOY_DARKENING = (0.08, 0.26)
POOR_CONTACT = 0.35
"""Probability that part of the probe has lost contact with the skin, in either class."""

# --- the scene ----------------------------------------------------------------------------

Grey = npt.NDArray[Any]
"""Levels in np.float32. numpy and OpenCV do not promise this type for all they return."""


@dataclass(frozen=True)
class Grid:
    """Probe coordinates and their places on the screen, for one patient and image size S."""

    depth_cm: Grey  # (S, 1)
    angle: Grey  # (1, S), -1 at the left edge of the sector, 1 at the right
    column: Grey  # (S, S) where a screen pixel lies in probe coordinates
    row: Grey  # (S, S)
    sector: npt.NDArray[np.bool_]  # (S, S)
    cm_per_angle: float
    """Width of one unit of angle at the depth of the pleura."""


@dataclass(frozen=True)
class Scene:
    """One video at rest, as (S, S) grey levels in probe coordinates."""

    static: Grey
    """Everything but the lung: chest wall, time-gain, attenuation, shadows."""
    pleura: Grey
    lung: Grey
    below: Grey
    """1 below the pleura, 0 above it."""
    sliding: Grey
    """(S, S, 3): weight of B-lines, weight of the lesion, level of the lesion."""


def rng_of(seed: int, role: str, *names: str) -> np.random.Generator:
    """Random numbers of one role for the patient or video in `names`. No other role shares them."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "phantom", role, *names)))


def draw_scene(video: Video, style: dict[str, float], grid: Grid, seed: int) -> Scene:
    """Draws what the probe sees in a video: a chest and, if the video is positive, a lesion."""
    names = (video.patient_id, video.video_id)
    rng = rng_of(seed, "scene", *names)
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
            rng_of(seed, "severity", video.patient_id).random(),
            rng_of(seed, "lesion", *names),
            style,
            grid,
            under,
            open_share,
        )
        sliding[:, :, 1], sliding[:, :, 2] = weight, level
    return Scene(
        static=static.astype(np.float32),
        pleura=(pleura * open_share).astype(np.float32),
        lung=lung.astype(np.float32),
        below=below,
        sliding=sliding,
    )


def _pleura_and_ribs(
    rng: np.random.Generator, style: dict[str, float], grid: Grid
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
    rng: np.random.Generator, style: dict[str, float], grid: Grid, pleura_cm: Grey
) -> Grey:
    """Skin, fat and muscle: bands that follow the pleura, with bright fasciae between them."""
    size = grid.angle.size
    layers = _noise(rng, 16, 2, size) + 0.5 * _noise(rng, 24, 7, size)
    skin = 0.35 * np.exp(-grid.depth_cm / 0.12)
    wall: Grey = style["wall_level"] + style["wall_texture"] * layers + skin
    for share, level in rng.uniform((0.2, 0.0), (0.9, 0.35), size=(3, 2)):
        fascia = (grid.depth_cm - share * pleura_cm) / 0.05
        wall = wall + level * np.exp(-(fascia**2))
    muscle, dark = rng.uniform((0.45, -0.18), (0.85, 0.10))
    wall = wall + dark * np.exp(-(((grid.depth_cm / pleura_cm - muscle) / 0.18) ** 2))
    return wall


def _healthy_lung(
    rng: np.random.Generator, style: dict[str, float], grid: Grid, pleura_cm: Grey, under: Grey
) -> Grey:
    """Haze that fades with depth, A-lines at multiples of the pleura, specks and dark patches."""
    size = grid.angle.size
    lung: Grey = style["haze_level"] * np.exp(-np.maximum(under, 0) / rng.uniform(2.5, 6.0))
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
    lung = lung - darker * patch
    return lung


def _gain_field(rng: np.random.Generator, style: dict[str, float], grid: Grid) -> Grey:
    """Attenuation, the operator's time-gain sliders, and beams without contact to the skin."""
    size = grid.angle.size
    share = grid.depth_cm / np.float32(style["depth_cm"])
    field = style["tgc_ripple"] * _noise(rng, 6, 1, size) - style["attenuation"] * share
    lost, centre, half_width, dark = rng.uniform((0, -1.1, 0.08, 0.1), (1, 1.1, 0.3, 0.4))
    if lost < POOR_CONTACT:
        field = field - dark * np.exp(-(((grid.angle - centre) / half_width) ** 2))
    return field


def _b_lines(rng: np.random.Generator, style: dict[str, float], grid: Grid) -> Grey:
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
    grid: Grid,
    under: Grey,
    beams: Grey,
) -> tuple[Grey, Grey]:
    """Weight in [0, 1] and level of a consolidation and of the lung behind it, both (S, S).

    `severity` in [0, 1] is the patient's. The video varies it. `under` is the depth below the
    pleura in cm, and `beams` is the share of each beam that no rib stops.
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
    # There are no A-lines behind it: the echo of the pleura is lost in the tissue.
    behind = 0.5 * np.exp(-(off**4) - np.maximum(under - border, 0) / 2.5)
    shred = np.exp(-(((under - border) / 0.12) ** 2)) * (border > 0.05)
    shred = shred * np.clip(0.75 + 0.5 * _noise(rng, 1, 24, size), 0, 1.3)
    haze = 1.1 * style["haze_level"] + 0.12 * _noise(rng, 3, 34, size)
    tissue = _hepatised(rng, style, grid, under)
    level = inside * tissue + (1 - inside) * haze + LESION_SHRED * shred
    weight = visibility * np.maximum(np.maximum(inside, behind), shred)
    return np.clip(weight, 0, 1), level


def _hepatised(rng: np.random.Generator, style: dict[str, float], grid: Grid, under: Grey) -> Grey:
    """Lung that looks like liver, with the hyperechoic splotches of air left in its bronchi."""
    rows = round(style["depth_cm"] / SPLOTCH_CM)
    columns = round(2 * grid.cm_per_angle / SPLOTCH_CM)
    air = np.clip(_noise(rng, rows, columns, grid.angle.size) - 0.45, 0, 1.4) * (under > 0.12)
    return 0.06 + 0.6 * style["haze_level"] - LESION_DARKENING + LESION_SPLOTCHES * air


def _step(x: Grey, width: float) -> Grey:
    """0 far below zero and 1 far above, with a ramp of `width` on either side."""
    return np.clip(0.5 + x / (2 * width), 0, 1)


def _noise(rng: np.random.Generator, rows: int, columns: int, size: int) -> Grey:
    """Smooth noise of unit variance from a rows x columns grid, with the same form at every size.

    The shape is (size, size), but (1, size) for one row and (size, 1) for one column.
    """
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    shape = (1 if columns == 1 else size, 1 if rows == 1 else size)
    return cv2.resize(knots, shape, interpolation=cv2.INTER_CUBIC).reshape(shape[::-1])
