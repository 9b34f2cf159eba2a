"""Checks of a study before anything runs. They report every problem that prevents a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lussweep.errors import LeakageError
from lussweep.study.keys import hashed_id
from lussweep.study.plan.steps import ExternalImages, ExternalKey
from lussweep.study.spec import CLASSES, SPLITS, GridSpec, Manifest, StudySpec, nearest

CLASS_WORDS = {"pos": "positive", "neg": "negative"}


def check_disjoint(manifest: Manifest) -> None:
    """Raise LeakageError if a patient is in more than one split."""
    splits: dict[str, set[str]] = {}
    for video in manifest.videos:
        splits.setdefault(video.patient_id, set()).add(video.split)
    problems = [
        f"patient {patient} is in the splits {' and '.join(sorted(found))}: a patient has one split"
        for patient, found in sorted(splits.items())
        if len(found) > 1
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
    asked = [("train", "cohort", n, "grid.n_patients") for n in study.grid.n_patients]
    if study.val.n_patients is not None:
        asked.append(("val", "validation", study.val.n_patients, "val.n_patients"))
    problems += [
        f"{what} of {n} {CLASS_WORDS[label]} patients asked, {pools[split][label]} in the {split} "
        f"split: lower {name}"
        for split, what, n, name in asked
        for label in CLASSES
        if 0 < pools[split][label] < n
    ]
    return problems


def selection_problems(study: StudySpec) -> list[str]:
    """One line if the selection needs a score that is not computed."""
    select, embedders = study.select, study.score.embedders
    if select.rule != "best" or select.space == "pixel" or select.embedder in embedders:
        return []
    return [
        f"select takes {select.metric} in {select.embedder} features, score.embedders has "
        f"{', '.join(embedders)}: add {select.embedder} there"
        + (" and give --weights FILE" if select.embedder == "imagenet" else "")
    ]


def only_problems(grid: GridSpec, only: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each axis or value of `--only` that the grid does not have."""
    axes: dict[str, Sequence[object]] = {
        "n_patients": grid.n_patients,
        "replicate": range(1, grid.replicates + 1),
        "variant": grid.variants,
        "gan_epoch": grid.gan_epochs,
    }
    problems = []
    for axis, wanted in only.items():
        if axis not in axes:
            problems.append(f"--only knows {', '.join(axes)}, not {axis}")
            continue
        known = [str(value) for value in axes[axis]]
        problems += [
            f"--only {axis}={value}: the grid has no such value{nearest(value, known)}"
            for value in wanted
            if value not in known
        ]
    return problems


def check_external(
    study: StudySpec,
    manifest: Manifest,
    external: Mapping[ExternalKey, ExternalImages],
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
    asked = {(n, replicate, variant) for n, replicate, variant, _ in grid_cells(study, only)}
    problems = {}
    for n, replicate, variant in sorted(asked):
        section = study.variants[variant].external
        for label in CLASSES:
            images = external.get((section, n, replicate, label)) if section else None
            for patient in sorted(set(images.patients) - allowed) if images else ():
                who = elsewhere.get(patient, f"{patient}, who is in no split")
                problems[label, n, replicate, who] = (
                    f"external {label} {where(n, replicate)}: its generator saw patient {who}: "
                    "only training patients of the cell's cohort may be seen"
                )
    if problems:
        raise LeakageError(problems.values())


def grid_cells(
    study: StudySpec, only: Mapping[str, Sequence[str]]
) -> list[tuple[int, int, str, int | None]]:
    """The coordinates (n_patients, replicate, variant, gan_epoch) that `only` keeps."""
    grid = study.grid

    def epochs(variant: str) -> tuple[int | None, ...]:
        recipe = study.variants[variant]
        has_gan = "synthetic" in map(recipe.generator, CLASSES)
        return grid.gan_epochs if has_gan and grid.gan_epochs else (None,)

    cells = [
        (n, replicate, variant, epoch)
        for n in grid.n_patients
        for replicate in range(1, grid.replicates + 1)
        for variant in grid.variants
        for epoch in epochs(variant)
    ]
    return [cell for cell in cells if _matches(cell, only)]


def where(n_patients: int | None, replicate: int) -> str:
    """A cohort in words, such as `n=6 r=1`; `all` is every training patient."""
    return "all" if n_patients is None else f"n={n_patients} r={replicate}"


def _matches(cell: tuple[int, int, str, int | None], only: Mapping[str, Sequence[str]]) -> bool:
    values = dict(zip(("n_patients", "replicate", "variant", "gan_epoch"), cell, strict=True))
    return all(str(values.get(axis)) in wanted for axis, wanted in only.items())
