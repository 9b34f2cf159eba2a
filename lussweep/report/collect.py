"""Collects the tables of a run folder from artifacts.

Every row can be traced to the record of a step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lussweep.stages import (
    CARD,
    COHORT,
    COPIES,
    EVENTS,
    FRAME_SCORES,
    LOSSES,
    PAIRS,
    SCORES,
    TRIALS,
    VAL_SCORES,
)
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell, Plan
from lussweep.study.spec import CLASSES, EMBEDDERS, StudySpec


def collect(
    plan: Plan, study: StudySpec, store: ArtifactStore, failures: Mapping[str, str]
) -> dict[str, pa.Table]:
    """Returns every table by name, over the plan's cells.

    `failures` maps the refs of failed steps to their errors.
    """
    return {
        "frames": _frames(plan, store),
        "cohorts": _per_cell(plan, store, "cohort", COHORT, tables.COHORTS),
        **collect_curves(plan, study, store),
        "gan_events": _per_gan(plan, study, store, "gan", EVENTS, tables.GAN_EVENTS),
        "memorisation": _cards(plan, study, store, CARD, tables.MEMORISATION),
        "copies": _cards(plan, study, store, COPIES, tables.COPIES),
        "closest_pairs": _cards(plan, study, store, PAIRS, tables.PAIRS),
        "frame_scores": _per_cell(plan, store, "evaluate", FRAME_SCORES, tables.FRAME_SCORES),
        "val_scores": _per_cell(plan, store, "search", VAL_SCORES, tables.FRAME_SCORES),
        "results": collect_results(plan, study, store, failures),
    }


def collect_curves(plan: Plan, study: StudySpec, store: ArtifactStore) -> dict[str, pa.Table]:
    """Returns the tables of dashboards: GANs by epoch and snapshot, trials of finished searches."""
    return {
        "gan_losses": _per_gan(plan, study, store, "gan", LOSSES, tables.GAN_LOSSES),
        "gan_scores": _per_gan(plan, study, store, "score", SCORES, tables.GAN_SCORES),
        "trials": tables.concat(
            [
                _per_cell(plan, store, "search", TRIALS, tables.TRIALS),
                _detector_trials(plan, store),
            ],
            tables.TRIALS,
        ),
    }


def collect_results(
    plan: Plan, study: StudySpec, store: ArtifactStore, failures: Mapping[str, str]
) -> pa.Table:
    """Returns the results: one row for each cell, done or not.

    They hold no intervals. Those are computed later, from the scores of all cells.
    """
    rows = [_result(cell, plan, study, store, failures) for cell in plan.cells]
    return pa.Table.from_pylist(rows, tables.RESULTS)


def failure_rows(
    plan: Plan,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
    conceal: Callable[[str], str],
) -> list[dict[str, Any]]:
    """One row for each failed step. `conceal` hides patients and files in its texts."""
    waiting = Counter(blocked.values())
    return [
        {
            "stage": plan.steps[ref].stage,
            "key": plan.steps[ref].key,
            "step": conceal(plan.steps[ref].name),
            "error": conceal(error),
            "n_blocked": waiting[ref],
        }
        for ref, error in failures.items()
    ]


def _frames(plan: Plan, store: ArtifactStore) -> pa.Table:
    refs = [r for r, step in plan.steps.items() if step.stage == "ingest" and store.has(r)]
    indices = [tables.read(store.open(ref) / "frames.parquet", tables.FRAMES) for ref in refs]
    return tables.concat(indices, tables.FRAMES)


def _per_cell(
    plan: Plan, store: ArtifactStore, role: str, name: str, schema: pa.Schema
) -> pa.Table:
    by_ref = {}
    for cell in plan.cells:
        ref = cell.refs[role]
        of_cell = "variant" in schema.names
        constants = _place(cell, store).row() if of_cell else cell.coordinates.draw.row()
        if store.has(ref) and (ref, *constants.values()) not in by_ref:
            table = tables.read_any(store.open(ref, name) / name)
            by_ref[(ref, *constants.values())] = tables.with_columns(table, constants, schema)
    return tables.concat(by_ref.values(), schema)


def _detector_trials(plan: Plan, store: ArtifactStore) -> pa.Table:
    """The trials of the detector, which have no patient count and no replicate."""
    steps = plan.steps.values()
    refs = dict.fromkeys(s.inputs["detector"] for s in steps if "detector" in s.inputs)
    trials = [
        tables.with_columns(
            tables.read_any(store.open(ref, TRIALS) / TRIALS),
            {"variant": "detector"},
            tables.TRIALS,
        )
        for ref in refs
        if store.has(ref)
    ]
    return tables.concat(trials, tables.TRIALS)


def _per_gan(
    plan: Plan, study: StudySpec, store: ArtifactStore, role: str, name: str, schema: pa.Schema
) -> pa.Table:
    by_ref = {}
    for cell in plan.cells:
        for label in CLASSES:
            ref = cell.refs.get(f"{role}_{label}")
            path = _written(store, ref, name) if ref and ref not in by_ref else None
            if ref and path:
                constants = {
                    **cell.coordinates.draw.row(),
                    "class": plan.steps[ref].spec["class"],
                    "gan": study.generator_name(cell.recipe, label),
                }
                by_ref[ref] = tables.with_columns(tables.read_any(path), constants, schema)
    return tables.concat(by_ref.values(), schema)


def _written(store: ArtifactStore, ref: str, name: str) -> Path | None:
    """The table of a step, or the one that a collapsed training left in its workplace."""
    if not store.has(ref):
        return store.left_behind(ref, name)
    path = store.open(ref, name) / name
    return path if path.exists() else None


def _cards(
    plan: Plan, study: StudySpec, store: ArtifactStore, name: str, schema: pa.Schema
) -> pa.Table:
    """A table of the memorisation steps, each synthetic set once.

    If the schema has `passed`, it also holds the verdict of the release gate.
    """
    by_ref = {}
    for cell in plan.cells:
        for label in CLASSES:
            ref, synth = (cell.refs.get(f"{role}_{label}") for role in ("memorisation", "synth"))
            if not ref or not synth or ref in by_ref:
                continue
            if not (store.has(ref) and store.has(synth)):
                continue
            constants: dict[str, Any] = {
                **cell.coordinates.draw.row(),
                "gan": study.generator_name(cell.recipe, label),
                "gan_epoch": store.record(synth)["summary"]["epoch"],
            }
            if "passed" in schema.names:
                gate = study.memorisation.release_gate
                reasons = gate.failures(store.record(ref)["summary"]) if gate else []
                constants |= {
                    "passed": not reasons,
                    "failed_because": "; ".join(reasons) or None,
                    "synth_key": plan.steps[synth].key,
                    "memorisation_key": plan.steps[ref].key,
                }
            table = tables.read_any(store.open(ref, name) / name)
            by_ref[ref] = tables.with_columns(table, constants, schema)
    return tables.concat(by_ref.values(), schema)


def _place(cell: Cell, store: ArtifactStore) -> Coordinates:
    """The cell's coordinates with the GAN epoch that was sampled.

    The epoch of the positives goes before the epoch of the negatives.
    """
    for label in ("pos", "neg"):
        ref = cell.refs.get(f"synth_{label}")
        if ref and store.has(ref):
            epoch: int | None = store.record(ref)["summary"]["epoch"]
            if epoch is not None:  # an external set has no epoch
                return replace(cell.coordinates, gan_epoch=epoch)
    return cell.coordinates


def _result(
    cell: Cell, plan: Plan, study: StudySpec, store: ArtifactStore, failures: Mapping[str, str]
) -> dict[str, Any]:
    names = (study.generator_name(cell.recipe, label) for label in CLASSES)
    row: dict[str, Any] = {
        **_place(cell, store).row(),
        "gan": " and ".join(dict.fromkeys(filter(None, names))) or None,
        "seed": study.seed,
        **{f"{role}_key": cell.refs[role].partition("/")[2] for role in KEY_ROLES},
        **_headline_scores(cell, study, store),
        **_warnings(cell, store),
    }
    ref = cell.refs["evaluate"]
    if not store.has(ref):
        return row | _why_missing(cell, plan, failures)
    search = store.record(cell.refs["search"])
    chosen = search["summary"]
    own = [ref, cell.refs["search"], *search["inputs"].values()]
    return row | {
        "status": "done",
        **store.record(ref)["summary"],
        **{
            f"n_{label}_{source}": n
            for label, counts in chosen["counts"].items()
            for source, n in counts.items()
        },
        "images_per_epoch": chosen["images_per_epoch"],
        "best_trial": chosen["trial"],
        "best_epoch": chosen["best"]["epoch"],
        "val_accuracy": chosen["best"]["val_accuracy"],
        **tables.hyperparameter_columns(chosen["config"]),
        "seconds": sum(store.record(r)["circumstances"]["seconds"] for r in own if store.has(r)),
    }


KEY_ROLES = ("cohort", "search", "evaluate")


def _why_missing(cell: Cell, plan: Plan, failures: Mapping[str, str]) -> dict[str, str]:
    ref = cell.refs["evaluate"]
    if ref in failures:
        return {"status": "failed", "reason": failures[ref]}
    for ancestor in sorted(plan.ancestors(ref) & failures.keys()) if failures else ():
        reason = f"{plan.steps[ancestor].name}: {failures[ancestor]}"
        return {"status": "blocked", "reason": reason}
    return {"status": "missing", "reason": "the run ended before it"}


HEADLINE_SCORES = ("kmmd", "one_nn")


def _headline_scores(cell: Cell, study: StudySpec, store: ArtifactStore) -> dict[str, Any]:
    """The scores of the snapshots that were sampled."""
    columns: dict[str, Any] = {}
    embedder = study.score.embedders[0]
    headline = (embedder, EMBEDDERS[embedder].spaces[-1])
    for label in CLASSES:
        ref = cell.refs.get(f"score_{label}")
        if not ref or not store.has(ref):
            continue
        rows = tables.read(store.open(ref, SCORES) / SCORES, tables.GAN_SCORES).to_pylist()
        synth = cell.refs[f"synth_{label}"]
        if not store.has(synth):
            continue
        epoch = store.record(synth)["summary"]["epoch"]
        columns |= {"score_embedder": embedder, "n_score_images": rows[0]["n_images"]}
        for row in rows:
            if row["epoch"] != epoch:
                continue
            if row["metric"] == "confidence":
                columns["confidence_pos"] = row["value"]
            elif (row["embedder"], row["space"]) == headline and row["metric"] in HEADLINE_SCORES:
                columns[f"{row['metric']}_{label}"] = row["value"]
    return columns


def _warnings(cell: Cell, store: ArtifactStore) -> dict[str, Any]:
    """The events of the cell's GANs, and the share of copies among its synthetic frames."""
    columns: dict[str, Any] = {}
    for label in CLASSES:
        gan, card = (cell.refs.get(f"{role}_{label}") for role in ("gan", "memorisation"))
        if gan and (path := _written(store, gan, EVENTS)):
            events = tables.read(path, tables.GAN_EVENTS).to_pylist()
            texts = [f"{e['kind']} at epoch {e['epoch']}{_again(e['attempt'])}" for e in events]
            columns[f"events_{label}"] = "; ".join(texts) or None
        if card and store.has(card):
            columns[f"copy_share_{label}"] = store.record(card)["summary"].get("copy_share")
    return columns


def _again(attempt: int) -> str:
    return f" of attempt {attempt}" if attempt > 1 else ""
