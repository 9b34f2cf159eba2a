"""Makes the plan of a study. A step that several cells need is added once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lussweep.errors import InputError
from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.plan.builder import PlanBuilder
from lussweep.study.plan.checks import (
    check_disjoint,
    check_external,
    grid_cells,
    known_worth_problems,
    only_problems,
    pool_problems,
    score_problems,
)
from lussweep.study.plan.classification import plan_evaluate, plan_search
from lussweep.study.plan.generation import plan_known_set, plan_synthetic_set
from lussweep.study.plan.steps import SYNTHETIC_ROLES, Cell, ExternalKey, Plan, PlannedImages
from lussweep.study.spec import CLASSES, ClassifierSpec, Manifest, Recipe, StudySpec


def make_plan(
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    weights_digest: str | None = None,
    external: Mapping[ExternalKey, PlannedImages] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Plan every step and cell of a study on the given patients.

    `weights_digest` stands for the ImageNet weights, which are needed if `score.embedders` names
    them. `external` describes the external images; a cell without its images is left out. `only`
    keeps the cells with the listed coordinates. Raises InputError for every cohort that is larger
    than its pool, for a score that the selection lacks, for simulated patients beside other data or
    beyond what the simulator makes, and if `only` matches no cell. Raises
    LeakageError for patients in more than one split, and for external generators that saw
    patients outside the train split.
    """
    check_disjoint(manifest)
    study = study.with_embedders(weights_digest is not None)
    problems = [
        *pool_problems(study, manifest),
        *score_problems(study),
        *only_problems(study.grid, only or {}),
        *known_worth_problems(study, only or {}, phantom=phantom),
    ]
    if problems:
        raise InputError(problems)
    external, only = external or {}, only or {}
    check_external(study, manifest, external, only)
    cells = [
        cell
        for cell in grid_cells(study, only)
        if _is_at_hand(cell.draw, study.variants[cell.variant], external)
    ]
    if not cells:
        raise InputError(f"--only {dict(only)} matches no cell of the grid")
    builder = PlanBuilder(
        study, manifest, phantom=phantom, weights_digest=weights_digest, external=external
    )
    classifiers = {name: study.classifier_of(r) for name, r in study.variants.items()}
    for cell in cells:
        builder.plan.cells.append(_plan_cell(builder, cell, classifiers[cell.variant]))
    return builder.plan


def make_data_plan(study: StudySpec, manifest: Manifest) -> Plan:
    """Plan the steps that bring videos into a store: shards, and one index per split."""
    return PlanBuilder(study, manifest).plan


def _is_at_hand(
    draw: Draw,
    recipe: Recipe,
    external: Mapping[ExternalKey, PlannedImages],
) -> bool:
    return all(
        (recipe.external, draw, label) in external
        for label in recipe.generated_classes()
        if recipe.generator(label) == "external"
    )


def _plan_cell(
    builder: PlanBuilder,
    at: Coordinates,
    classifier: ClassifierSpec,
) -> Cell:
    """Add every step of one cell that no other cell has added."""
    recipe = builder.study.variants[at.variant]
    cohort = builder.cohort(at.draw)
    refs = {"cohort": cohort}
    inputs = {"train": builder.splits["train"], "val": builder.splits["val"], "cohort": cohort}
    for label in CLASSES:
        if recipe.generator(label):
            refs_of_set = plan_synthetic_set(builder, recipe, label, at, cohort)
        elif source := recipe.known_source(label):
            refs_of_set = plan_known_set(builder, source, label, at.draw, cohort)
        else:
            continue
        refs |= {f"{role}_{label}": ref for role, ref in refs_of_set.items()}
        inputs[SYNTHETIC_ROLES[label]] = refs_of_set["synth"]
    place = f"{at.draw} {at.variant}"
    refs["search"] = plan_search(
        builder,
        "cell",
        at.draw,
        recipe,
        builder.study.search,
        classifier,
        inputs,
        place,
    )
    refs["evaluate"] = plan_evaluate(builder, refs["search"], recipe, place)
    return Cell(at, recipe, refs)
