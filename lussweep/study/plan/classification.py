"""Plans the searches of cells and detector, and the evaluation of cells on the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lussweep.study.keys import Section, derive_seed
from lussweep.study.plan.draft import Draft
from lussweep.study.spec import ClassifierSpec, Recipe, SearchSpec

EVALUATE_VERSION = 2


def plan_search(
    draft: Draft,
    role: str,
    coordinates: tuple[int, ...],
    recipe: Recipe,
    search: SearchSpec,
    classifier: ClassifierSpec,
    inputs: Mapping[str, str],
    place: str,
) -> str:
    """Plan the trials of one search and the step that chooses among them; returns its ref."""
    seed = draft.study.seed
    shared = {
        "search_seed": derive_seed(seed, role, "search", *coordinates),
        "classifier": draft.fields(classifier),
        "recipe": Section(recipe.sources()),
        "val": draft.fields(draft.study.val),
        "val_seed": derive_seed(seed, "val"),
        **draft.threads,
    }
    if recipe.labels == "shuffled":
        shared["labels_seed"] = derive_seed(seed, "labels", *coordinates)
    trials: dict[str, str] = {}
    for trial in range(1, search.n + 1):
        spec: dict[str, Any] = {
            "trial": trial,
            # The search up to this trial. A longer search then shares its first trials.
            "search": draft.fields(search, n_trials=trial),
            **shared,
            "seed": derive_seed(seed, role, "classifier", *coordinates, trial),
        }
        n_known = max(0, trial - search.n_concurrent) if search.learns else 0
        known = {**inputs, **dict(list(trials.items())[:n_known])} if n_known else inputs
        name = f"trial {trial} {place}"
        trials[f"trial_{trial:03d}"] = draft.add("trial", classifier.version, spec, known, name)
    chosen_by = {"select_by": search.select_by}
    return draft.add("search", search.version, chosen_by, trials, f"search {place}")


def plan_detector(draft: Draft) -> str:
    """Plan the search of the detector, once per plan. It trains on all training patients."""
    if draft.known_detector is None:
        draft.known_detector = plan_search(
            draft,
            "detector",
            (),
            Recipe(pos=("real",), neg=("real",)),
            draft.study.detector_search(),
            draft.study.detector_classifier(),
            {
                "train": draft.splits["train"],
                "val": draft.splits["val"],
                "cohort": draft.cohort(None, 1),
            },
            "detector",
        )
    return draft.known_detector


def plan_evaluate(draft: Draft, search: str, place: str) -> str:
    """Plan the evaluation of a search's best trial on the holdout; returns its ref."""
    classifier = draft.study.classifier
    spec = {
        **draft.threads,
        "batch_size": classifier.eval_batch_size,
        "precision": classifier.precision,
    }
    inputs = {"search": search, "holdout": draft.splits["holdout"]}
    return draft.add("evaluate", EVALUATE_VERSION, spec, inputs, f"evaluate {place}")
