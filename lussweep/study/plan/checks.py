"""Checks of a study before anything runs. They report every problem that prevents a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lussweep.errors import LeakageError
from lussweep.study.coordinates import AXES, Coordinates, Draw
from lussweep.study.keys import hashed_id
from lussweep.study.plan.steps import ExternalKey, PlannedImages
from lussweep.study.spec import (
    CLASS_WORDS,
    CLASSES,
    DETECTOR,
    EMBEDDERS,
    PIXEL,
    SCORES,
    SPLITS,
    GridSpec,
    Manifest,
    StudySpec,
    nearest,
)
from lussweep.study.spec.known_worth import MAX_FRESH_PATIENTS


def check_disjoint(manifest: Manifest) -> None:
    """Raise LeakageError if a patient is in more than one split."""
    splits: dict[str, set[str]] = {}
    for video in manifest.videos:
        splits.setdefault(video.patient_id, set()).add(video.split)
    problems = [
        f"patient {patient} is in the splits {' and '.join(sorted(names))}: a patient has one split"
        for patient, names in sorted(splits.items())
        if len(names) > 1
    ]
    if problems:
        raise LeakageError(problems)


def pool_problems(study: StudySpec, manifest: Manifest) -> list[str]:
    """One line for each class without patients, and each patient count beyond the patients."""
    pools = {
        split: Counter(
            CLASSES[max(v.label for v in videos)] for videos in manifest.patients(split).values()
        )
        for split in SPLITS
    }
    problems = [
        f"the {split} split has no {CLASS_WORDS[label]} patient: move some there"
        for split, pool in pools.items()
        for label in CLASSES
        if not pool[label]
    ]
    needs = [("train", "cohort", n, "grid.n_patients") for n in study.grid.n_patients]
    used = [study.val, *(study.val_of(study.variants[name]) for name in study.grid.variants)]
    for val in dict.fromkeys(used):
        counts = study.grid.n_patients if val.n_patients == "cohort" else [val.n_patients]
        name = "grid.n_patients" if val.n_patients == "cohort" else "val.n_patients"
        needs += [("val", "validation", n, name) for n in counts if n is not None]
    problems += [
        f"{what} of {n} {CLASS_WORDS[label]} patients needed, {pools[split][label]} in the {split} "
        f"split: lower {name}"
        for split, what, n, name in needs
        for label in CLASSES
        if 0 < pools[split][label] < n
    ]
    return list(dict.fromkeys(problems))


def score_problems(study: StudySpec) -> list[str]:
    """One line for each score that the selection needs and that is not computed, and for each
    score whose embedder is not used."""
    select, score = study.select, study.score
    problems = []
    if select.rule == "best" and select.metric not in score.metrics:
        problems.append(
            f"select takes {select.metric}, which is not computed: add {select.metric} to "
            "score.extra_metrics"
        )
    if select.rule == "best" and select.space != PIXEL and select.embedder not in score.embedders:
        problems.append(
            f"select takes {select.metric} in {select.embedder} features, score.embedders has "
            f"{', '.join(score.embedders)}: add {_with_weights(select.embedder)}"
        )
    for metric in score.extra_metrics:
        # The detector is an input of every score.
        absent = {*SCORES[metric].embedders} - {*score.embedders, DETECTOR}
        problems += [
            f"{metric} is a score of the embedder {name}, score.embedders has "
            f"{', '.join(score.embedders)}: add {_with_weights(name)}"
            for name in sorted(absent)
        ]
    return problems


def _with_weights(embedder: str) -> str:
    """What to add to `score.embedders`, and how its weights are given."""
    needs_weights = EMBEDDERS[embedder].needs == "weights"
    return f"{embedder} there" + (" and give --weights FILE" if needs_weights else "")


def only_problems(grid: GridSpec, only: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each axis or value of `--only` that the grid does not have."""
    axes: dict[str, Sequence[object]] = {
        "n_patients": grid.n_patients,
        "replicate": range(1, grid.replicates + 1),
        "variant": grid.variants,
        "gan_epoch": grid.gan_epochs,
    }
    assert tuple(axes) == AXES, "every axis has its values in the grid"
    problems = []
    for axis, wanted in only.items():
        if axis not in axes:
            problems.append(f"--only knows {', '.join(axes)}, not {axis}")
            continue
        valid = [str(value) for value in axes[axis]]
        problems += [
            f"--only {axis}={value}: the grid has no such value{nearest(value, valid)}"
            for value in wanted
            if value not in valid
        ]
    return problems


def known_worth_problems(
    study: StudySpec, only: Mapping[str, Sequence[str]], *, phantom: bool
) -> list[str]:
    """One line for each variant of simulated patients where the data are not the phantom's, and
    one if there are more of those patients than the simulator makes."""
    draws: dict[str, set[Draw]] = {}
    for cell in grid_cells(study, only):
        recipe = study.variants[cell.variant]
        if "simulated" in map(recipe.known_source, CLASSES):
            draws.setdefault(cell.variant, set()).add(cell.draw)
    if not phantom:
        return [
            f"{variant} needs new simulated patients, and these data are not the phantom's: leave "
            "it out of grid.variants"
            for variant in draws
        ]
    n_fresh = sum(draw.n_patients or 0 for draw in set().union(*draws.values()))
    if n_fresh <= MAX_FRESH_PATIENTS:
        return []
    return [
        f"{n_fresh} new patients of each class needed for {' and '.join(draws)}, the simulator "
        f"makes at most {MAX_FRESH_PATIENTS}: lower grid.n_patients or grid.replicates"
    ]


def check_external(
    study: StudySpec,
    manifest: Manifest,
    external: Mapping[ExternalKey, PlannedImages],
    only: Mapping[str, Sequence[str]],
) -> None:
    """Raise LeakageError if an external generator saw patients outside the train split.

    The step `external` checks them against the cohort, which is not known yet.
    """
    train = manifest.patients("train")
    allowed = {*train, *map(hashed_id, train)}
    elsewhere = {
        name: f"{patient} of the {split} split"
        for split in SPLITS
        if split != "train"
        for patient in manifest.patients(split)
        for name in (patient, hashed_id(patient))
    }
    problems = {}
    for cell in sorted(grid_cells(study, only), key=Coordinates.order):
        section = study.variants[cell.variant].external
        for label in CLASSES:
            images = external.get((section, cell.draw, label)) if section else None
            for patient in sorted(set(images.patients) - allowed) if images else ():
                who = elsewhere.get(patient, f"{patient}, who is in no split")
                problems[label, cell.draw, who] = (
                    f"external {label} {cell.draw}: its generator saw patient {who}: "
                    "only training patients of the cell's cohort may be seen"
                )
    if problems:
        raise LeakageError(problems.values())


def grid_cells(study: StudySpec, only: Mapping[str, Sequence[str]]) -> list[Coordinates]:
    """The cells of the grid whose coordinates `only` lists."""
    grid = study.grid

    def epochs(variant: str) -> tuple[int | None, ...]:
        recipe = study.variants[variant]
        has_gan = "synthetic" in map(recipe.generator, CLASSES)
        return grid.gan_epochs if has_gan and grid.gan_epochs else (None,)

    cells = [
        Coordinates(n, replicate, variant, epoch)
        for n in grid.n_patients
        for replicate in range(1, grid.replicates + 1)
        for variant in grid.variants
        for epoch in epochs(variant)
    ]
    return [cell for cell in cells if _matches(cell, only)]


def _matches(cell: Coordinates, only: Mapping[str, Sequence[str]]) -> bool:
    return all(str(getattr(cell, axis, None)) in wanted for axis, wanted in only.items())
