"""Estimates what steps cost, for the order of submission and the time left. Changes no result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from lussweep.store.artifacts import ArtifactStore
from lussweep.study.costs import Frames, work
from lussweep.study.plan import Plan
from lussweep.study.plan.step_specs import CohortStep, IngestStep

TYPICAL_COST = {
    "gan": 20.0, "trial": 5.0, "score": 3.0, "floor": 3.0, "evaluate": 1.0, "features": 1.0,
    "memorisation": 1.0, "synth": 0.5,
}  # fmt: skip
"""Rough relative durations of stages, for use before any step was measured."""
OTHER_COST = 0.1
N_READ = 20
"""Most records that are read for each stage. Their mean need not be exact."""


def costs_from(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage. Those of missing stages are estimated from their typical cost."""
    measured = seconds.keys() & TYPICAL_COST.keys()
    scale = (
        sum(seconds[stage] for stage in measured) / sum(TYPICAL_COST[stage] for stage in measured)
        if measured
        else 1.0
    )
    return {stage: scale * cost for stage, cost in TYPICAL_COST.items()} | dict(seconds)


def step_costs(
    plan: Plan, frames: Frames | None = None, seconds: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The expected cost of every step, by ref: the cost of its stage, in proportion to its work.

    `seconds` are durations of steps that are done. Without `frames` all steps of a stage cost the
    same.
    """
    works = {
        ref: work(step, plan.steps, frames) if frames else 1.0 for ref, step in plan.steps.items()
    }
    mean_work = _means(plan, works)
    done = seconds or {}
    mean_done = _means(plan, {ref: works[ref] for ref in done})
    by_stage = costs_from(
        {
            stage: mean * mean_work[stage] / mean_done[stage]
            for stage, mean in _means(plan, done).items()
            if mean_done[stage]
        }
    )
    return {
        ref: by_stage.get(step.stage, OTHER_COST) * works[ref] / (mean_work[step.stage] or 1.0)
        for ref, step in plan.steps.items()
    }


def recorded_seconds(plan: Plan, store: ArtifactStore, done: Iterable[str]) -> dict[str, float]:
    """Seconds of a few of the `done` steps of each stage, by ref, from their records."""
    by_stage: dict[str, dict[str, float]] = defaultdict(dict)
    for ref in done:
        of_stage = by_stage[plan.steps[ref].stage]
        if len(of_stage) < N_READ:
            circumstances = store.record(ref).get("circumstances", {})
            if "seconds" in circumstances:
                of_stage[ref] = circumstances["seconds"]
    return {ref: seconds for of_stage in by_stage.values() for ref, seconds in of_stage.items()}


def expected_frames(plan: Plan, store: ArtifactStore) -> Frames | None:
    """Estimate frame counts in proportion to patients, before any cohort is drawn.

    Returns None unless every split is in the store. Leaves out class balance and caps on
    validation, because the order of steps needs no exact counts.
    """
    by_split = {
        IngestStep.of(step).split: (store.record(ref)["summary"]["n_frames"], len(step.inputs))
        for ref, step in plan.steps.items()
        if step.stage == "ingest" and store.has(ref)
    }
    if not {"train", "val", "holdout"} <= by_split.keys():
        return None
    n_frames, n_all_patients = by_split["train"]
    n_train = n_frames / 2  # per class
    per_patient = n_frames / n_all_patients
    counts = {CohortStep.of(s).n_patients for s in plan.steps.values() if s.stage == "cohort"}
    by_cohort = {n: n_train if n is None else n * per_patient for n in counts}
    return Frames(by_cohort, by_split["val"][0], by_split["holdout"][0])


def _means(plan: Plan, values: Mapping[str, float]) -> dict[str, float]:
    """The mean of the values of each stage, by stage."""
    by_stage: dict[str, list[float]] = defaultdict(list)
    for ref, value in values.items():
        by_stage[plan.steps[ref].stage].append(value)
    return {stage: sum(of_stage) / len(of_stage) for stage, of_stage in by_stage.items()}
