"""Real and synthetic frames in the plane of the first two principal components of their features.

The plane is fitted to training frames, in which every patient weighs the same. Holdout frames are
shown in it. Nothing is selected or trained by this table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lussweep.data.cohort import of_class, patient_ids, usable_frames
from lussweep.data.frames import load_pixels
from lussweep.metrics.principal import Plane, plane
from lussweep.report.cells import Row
from lussweep.report.sections.embedding import AtHand, embedder_at_hand
from lussweep.report.sections.seam import Collected, Section
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.coordinates import Draw
from lussweep.study.keys import derive_seed, hashed_id, is_hashed_id
from lussweep.study.spec import CLASSES

N_FRAMES = 40
"""Most frames of a kind, class and patient count."""
N_PATIENTS = 10
"""Most patients behind them. A store elsewhere is read a patient at a time."""
MOST_COUNTS = 4
"""Patient counts that are shown, spread evenly over those of the grid."""
DECIMALS = 4
TRAIN, HOLDOUT, SYNTHETIC = "train", "holdout", "synthetic"
FEATURE_MAP = tables.make_schema(
    *tables.DRAW,  # null for holdout frames
    ("class", pa.string(), "pos or neg"),
    ("gan", pa.string(), "what made synthetic frames: base, or another name; null for real ones"),
    ("gan_epoch", pa.int32(), "of synthetic frames; null for real ones and an external set"),
    ("kind", pa.string(), "train, holdout or synthetic"),
    ("patient", pa.string(), "hashed; null for synthetic frames"),
    ("component_1", pa.float64(), "in standard deviations of training frames along component 1"),
    ("component_2", pa.float64(), "in standard deviations of training frames along component 1"),
    ("share_1", pa.float64(), "of the variance of training frames"),
    ("share_2", pa.float64(), "of the variance of training frames"),
    ("embedder", pa.string(), "none for grey levels"),
    ("space", pa.string()),
    ("saw_all_train_patients", pa.bool_(), "true where the embedder has, as the detector has"),
)


class SynthSet(NamedTuple):
    """A synthetic set of a class, and the cohort that its generator saw."""

    draw: Draw
    gan: str
    synth: str
    cohort: str


class Points(NamedTuple):
    """Frames of one kind and their patients, which synthetic frames do not have."""

    place: Row
    """The columns that name them."""
    frames_NSS: NDArray[np.uint8]
    patient_N: list[str | None]


def map_rows(collected: Collected) -> list[Row]:
    """One row for each frame that is shown, class by class. Frames are drawn with a seed."""
    sets = _sets(collected)
    if not sets:
        return []
    at_hand = embedder_at_hand(collected)
    rows: list[Row] = []
    for label in CLASSES:
        of_label = {n: one for (n, of), one in sets.items() if of == label}
        shown = spread_counts(of_label, MOST_COUNTS)
        if shown:
            rows += _rows_of_class(collected, label, {n: of_label[n] for n in shown}, at_hand)
    return rows


def _sets(collected: Collected) -> dict[tuple[int, str], SynthSet]:
    """One synthetic set for each patient count and class, of those at hand.

    The study's own generator goes first, then the first replicate, then the last GAN epoch.
    """
    plan, study, store = collected.reported.plan, collected.study, collected.reported.store
    found: dict[tuple[int, str], tuple[tuple[bool, int, int], SynthSet]] = {}
    for cell in plan.cells:
        for label in CLASSES:
            synth, cohort = (cell.refs.get(role) for role in (f"synth_{label}", "cohort"))
            gan = study.generator_name(cell.recipe, label) if cell.recipe.generator(label) else None
            if not (synth and cohort and gan and store.has(synth) and store.has(cohort)):
                continue
            at = cell.coordinates
            rank = (gan != "base", at.replicate, -(at.gan_epoch or 0))
            place = (at.n_patients, label)
            if place not in found or rank < found[place][0]:
                found[place] = (rank, SynthSet(at.draw, gan, synth, cohort))
    return {place: one for place, (_, one) in found.items()}


def spread_counts(counts: Iterable[int], most: int) -> list[int]:
    """At most `most` of some patient counts, evenly spread over their ranks."""
    ordered = sorted(set(counts))
    if len(ordered) <= most:
        return ordered
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def _rows_of_class(
    collected: Collected, label: str, sets: Mapping[int, SynthSet], at_hand: AtHand
) -> list[Row]:
    points = _points(collected, label, sets)
    x_ND = at_hand.features(np.concatenate([one.frames_NSS for one in points]))
    ends = np.cumsum([len(one.frames_NSS) for one in points])[:-1]
    features = list(zip(points, np.split(x_ND, ends), strict=True))
    trained = [(one, x_ND) for one, x_ND in features if one.place["kind"] == TRAIN]
    fitted = _fitted(
        np.concatenate([x_ND for _, x_ND in trained]),
        [patient for one, _ in trained for patient in one.patient_N],
    )
    if fitted is None:
        return []
    constants = {
        "class": label,
        "share_1": fitted.shares[0],
        "share_2": fitted.shares[1],
        "embedder": at_hand.embedder,
        "space": at_hand.space,
        "saw_all_train_patients": at_hand.has_seen,
    }
    return [
        constants
        | one.place
        | {
            "patient": patient and _hashed(patient),
            # Rounded, because sums of floats differ in their last digits between processors.
            "component_1": round(float(place_2[0]), DECIMALS),
            "component_2": round(float(place_2[1]), DECIMALS),
        }
        for one, x_ND in features
        for patient, place_2 in zip(one.patient_N, fitted.place(x_ND), strict=True)
    ]


def _points(collected: Collected, label: str, sets: Mapping[int, SynthSet]) -> list[Points]:
    """Frames of every kind: training and synthetic frames of each count, then holdout frames."""
    store, seed = collected.reported.store, derive_seed(collected.study.seed, "feature_map")
    points = []
    for one in sets.values():
        cohort = tables.read_frames(store.open(one.cohort) / names.COHORT)
        place = one.draw.row()
        points.append(_real(collected, of_class(cohort, label), seed, place | {"kind": TRAIN}))
        synthetic = read_array(store.open(one.synth) / names.SYNTHETIC, np.uint8, mapped=True)
        drawn = np.sort(np.random.default_rng(seed).permutation(len(synthetic))[:N_FRAMES])
        epoch = store.record(one.synth)["summary"]["epoch"]
        of_set = {"kind": SYNTHETIC, "gan": one.gan, "gan_epoch": epoch}
        points.append(Points(place | of_set, np.array(synthetic[drawn]), [None] * len(drawn)))
    index = usable_frames(collected.table("frames"))
    holdout = of_class(index.filter(pc.equal(index["split"], HOLDOUT)), label)
    if len(holdout):
        points.append(_real(collected, holdout, seed, {"kind": HOLDOUT}))
    return points


def _real(collected: Collected, frames: pa.Table, seed: int, place: Row) -> Points:
    """At most N_FRAMES frames of N_PATIENTS patients, as many of each as there are, if they can."""
    from lussweep.metrics.copies import spread_over_patients

    rng = np.random.default_rng(seed)
    chosen = rng.permutation(patient_ids(frames))[:N_PATIENTS].tolist()
    frames = frames.filter(pc.is_in(frames["patient_id"], pa.array(chosen, pa.string())))
    patients = np.array(frames["patient_id"].to_pylist())
    drawn = frames.take(spread_over_patients(patients, N_FRAMES, rng))
    pixels = load_pixels(collected.reported.store, drawn)
    return Points(place, pixels, drawn["patient_id"].to_pylist())


def _fitted(x_ND: NDArray[Any], patient_N: list[str | None]) -> Plane | None:
    """The plane of training frames. The frames of a patient share the weight 1."""
    n_frames = Counter(patient_N)
    return plane(x_ND, np.array([1 / n_frames[patient] for patient in patient_N]))


def _hashed(patient: str) -> str:
    return patient if is_hashed_id(patient) else hashed_id(patient)


SECTIONS = {
    "feature_map": Section(
        version=1, schema=FEATURE_MAP, rows=map_rows, order=330, is_optional=True
    ),
}
