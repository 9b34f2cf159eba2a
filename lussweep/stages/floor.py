"""Stage that scores real frames of some patients against those of others: the floor of scores.

No other step uses the floor, so that nothing is selected or trained again by it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.data.cohort import patient_ids
from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.features import pixels
from lussweep.metrics.floor import Rows, disjoint_sets
from lussweep.metrics.pair import Pair, RealSet
from lussweep.models.training.weights import read_weights
from lussweep.stages.context import Context, Summary, cohort_class
from lussweep.stages.scoring import real_frames
from lussweep.store import names, tables
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import FloorStep
from lussweep.study.spec import EMBEDDERS, NO_EMBEDDER, PIXEL, SCORES

Place = tuple[str, str]


def run_floor(step: Step, context: Context, out: Path) -> Summary:
    """Scores pairs of disjoint sets of training patients, each with as many frames as the cohort.

    A set also has about as many patients as the cohort, because frames of few patients are alike.

    Without enough patients for two sets, the floor is withheld and the reason is its one row.
    """
    floor_step = FloorStep.of(step)
    spec, label = floor_step.score, floor_step.label
    cohort = cohort_class(step, context, label)
    n_images = min(spec.n_images, len(cohort))
    pool = real_frames(
        step, context, floor_step, floor_step.n_pool, n_patients=floor_step.n_patients, role="pool"
    )
    # Patients of the pool then have as many frames as those of the cohort, if all of them can.
    per_frame = len(patient_ids(pool)) / len(patient_ids(cohort))
    pool = pool[: math.ceil(n_images * max(per_frame, floor_step.n_pool / spec.n_images))]
    patient_N = np.array(pool["patient_id"].to_pylist())
    rng = np.random.default_rng([floor_step.seed, n_images])
    draws = [disjoint_sets(patient_N, n_images, rng) for _ in range(floor_step.n_draws)]
    sets = [drawn for drawn in draws if drawn is not None]
    if len(sets) < len(draws):
        reason = (
            f"{len(patient_ids(pool))} training patients with {len(pool)} frames are too few for "
            f"two disjoint sets of {n_images} frames"
        )
        row = {"class": label, "n_images": n_images, "floor_withheld": reason}
        tables.write(out / names.FLOOR, [row], tables.GAN_SCORES)
        return {"n_images": n_images, "withheld": reason}
    mask_NSS = load_masks(context.store, pool)
    features: dict[Place, NDArray[Any]] = {
        (NO_EMBEDDER, PIXEL): pixels(load_pixels(context.store, pool))
    }
    for name in spec.embedders:
        real = read_weights(context.store.open(step.inputs[f"pool_{name}"]) / names.FEATURES)
        of_pool = {space: real[space].numpy()[: len(pool)] for space in EMBEDDERS[name].spaces}
        features |= {(name, space): x_ND for space, x_ND in of_pool.items()}
    rows = [
        row
        for place, x_ND in features.items()
        for number, drawn in enumerate(sets, start=1)
        for row in _scores(floor_step, place, x_ND, mask_NSS, number, drawn, context)
    ]
    tables.write(out / names.FLOOR, rows, tables.GAN_SCORES)
    return {"n_images": n_images, "withheld": None}


def _scores(
    step: FloorStep,
    place: Place,
    x_ND: NDArray[Any],
    mask_NSS: NDArray[np.bool_],
    number: int,
    drawn: tuple[Rows, Rows],
    context: Context,
) -> list[dict[str, Any]]:
    """The rows of one draw in one space: the second set in the place of synthetic frames."""
    first, second = drawn
    embedder, space = place
    masks = mask_NSS[first] if space == PIXEL else None
    real = RealSet(x_ND[first], step.score, step.seed, context.torch_device(), masks)
    pair, embedders = Pair(real, x_ND[second]), tuple(step.score.embedders)
    return [
        {
            "class": step.label,
            "metric": metric,
            "embedder": embedder,
            "space": space,
            "value": float(SCORES[metric].function(pair)),
            "n_images": len(first),
            "saw_all_train_patients": embedder != NO_EMBEDDER and EMBEDDERS[embedder].has_seen,
            "floor_draw": number,
        }
        for metric in step.score.metrics
        if SCORES[metric].has_floor
        and step.label in SCORES[metric].classes
        and SCORES[metric].is_in(embedder, space, embedders)
    ]
