"""Makes the plan of a study. A step that several cells need is added once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lussweep.errors import InputError
from lussweep.study.plan.checks import (
    check_disjoint,
    check_external,
    grid_cells,
    only_problems,
    pool_problems,
    selection_problems,
    where,
)
from lussweep.study.plan.classification import plan_evaluate, plan_search
from lussweep.study.plan.draft import Draft
from lussweep.study.plan.generation import plan_synthetic_set
from lussweep.study.plan.steps import SYNTHETIC_ROLES, Cell, ExternalImages, ExternalKey, Plan
from lussweep.study.spec import ClassifierSpec, Manifest, Recipe, StudySpec


def make_plan(
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    weights_digest: str | None = None,
    external: Mapping[ExternalKey, ExternalImages] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Plan every step and cell of a study on the given patients.

    `weights_digest` stands for the ImageNet weights, which are needed if `score.embedders` names
    them. `external` describes the external images; a cell without its images is left out. `only`
    keeps the cells with the listed coordinates. Raises InputError for every cohort that is larger
    than its pool, for a score that the selection lacks, and if `only` matches no cell. Raises
    LeakageError for patients in more than one split, and for external generators that saw
    patients outside the train split.
    """
    check_disjoint(manifest)
    study = study.with_embedders(weights_digest is not None)
    problems = [
        *pool_problems(study, manifest),
        *selection_problems(study),
        *only_problems(study.grid, only or {}),
    ]
    if problems:
        raise InputError(problems)
    external, only = external or {}, only or {}
    check_external(study, manifest, external, only)
    kept = [
        (n, replicate, variant, epoch)
        for n, replicate, variant, epoch in grid_cells(study, only)
        if _is_at_hand(n, replicate, study.variants[variant], external)
    ]
    if not kept:
        raise InputError(f"--only {dict(only)} matches no cell of the grid")
    draft = Draft(
        study, manifest, phantom=phantom, weights_digest=weights_digest, external=external
    )
    classifiers = {name: study.classifier_of(r) for name, r in study.variants.items()}
    for n, replicate, variant, epoch in kept:
        cell = _plan_cell(draft, n, replicate, variant, epoch, classifiers[variant])
        draft.plan.cells.append(cell)
    return draft.plan


def make_data_plan(study: StudySpec, manifest: Manifest) -> Plan:
    """Plan the steps that bring videos into a store: shards, and one index per split."""
    return Draft(study, manifest).plan


def _is_at_hand(
    n_patients: int,
    replicate: int,
    recipe: Recipe,
    external: Mapping[ExternalKey, ExternalImages],
) -> bool:
    return all(
        (recipe.external, n_patients, replicate, label) in external
        for label in recipe.generated_classes()
        if recipe.generator(label) == "external"
    )


def _plan_cell(
    draft: Draft,
    n_patients: int,
    replicate: int,
    variant: str,
    epoch: int | None,
    classifier: ClassifierSpec,
) -> Cell:
    recipe = draft.study.variants[variant]
    cohort = draft.cohort(n_patients, replicate)
    refs = {"cohort": cohort}
    inputs = {"train": draft.splits["train"], "val": draft.splits["val"], "cohort": cohort}
    for label in recipe.generated_classes():
        found = plan_synthetic_set(draft, recipe, label, n_patients, replicate, epoch, cohort)
        refs |= {f"{role}_{label}": ref for role, ref in found.items()}
        inputs[SYNTHETIC_ROLES[label]] = found["synth"]
    place = f"{where(n_patients, replicate)} {variant}"
    refs["search"] = plan_search(
        draft,
        "cell",
        (n_patients, replicate),
        recipe,
        draft.study.search,
        classifier,
        inputs,
        place,
    )
    refs["evaluate"] = plan_evaluate(draft, refs["search"], place)
    return Cell(n_patients, replicate, variant, epoch, recipe, refs)
