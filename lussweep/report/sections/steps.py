"""What steps have written, joined over a grid: frames, cohorts, GANs, trials and frame scores."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from lussweep.data.frames import read_index
from lussweep.report.artifacts import sampled_place, written_table
from lussweep.report.losses import in_long_form
from lussweep.report.sections.seam import Collected, Section
from lussweep.store import names, tables
from lussweep.study.spec import CLASSES

COHORTS = pa.schema([*tables.make_schema(*tables.DRAW), *tables.FRAMES])


def frame_rows(collected: Collected) -> pa.Table:
    """One row for each frame of the study."""
    plan, store = collected.reported.plan, collected.reported.store
    refs = [r for r, step in plan.steps.items() if step.stage == "ingest" and store.has(r)]
    indices = [read_index(store.open(ref)) for ref in refs]
    return tables.concat(indices, tables.FRAMES)


def trial_rows(collected: Collected) -> pa.Table:
    """The epochs of every trial of finished searches, then those of the detector."""
    of_cells = _per_cell(collected, "search", names.TRIALS, tables.TRIALS)
    return tables.concat([of_cells, _detector_trials(collected)], tables.TRIALS)


def _per_cell(collected: Collected, role: str, name: str, schema: pa.Schema) -> pa.Table:
    """The table `name` of the step in this role of every cell. Shared steps come once."""
    plan, store = collected.reported.plan, collected.reported.store
    table_of = {}
    for cell in plan.cells:
        ref = cell.refs[role]
        of_cell = "variant" in schema.names
        constants = sampled_place(cell, store).row() if of_cell else cell.coordinates.draw.row()
        if store.has(ref) and (ref, *constants.values()) not in table_of:
            table = tables.read_any(store.open(ref, name) / name)
            table_of[(ref, *constants.values())] = tables.with_columns(table, constants, schema)
    return tables.concat(table_of.values(), schema)


def _detector_trials(collected: Collected) -> pa.Table:
    """The trials of the detector, which have no patient count and no replicate."""
    store, steps = collected.reported.store, collected.reported.plan.steps.values()
    refs = dict.fromkeys(s.inputs["detector"] for s in steps if "detector" in s.inputs)
    trials = [
        tables.with_columns(
            tables.read_any(store.open(ref, names.TRIALS) / names.TRIALS),
            {"variant": "detector"},
            tables.TRIALS,
        )
        for ref in refs
        if store.has(ref)
    ]
    return tables.concat(trials, tables.TRIALS)


def _per_gan(collected: Collected, role: str, name: str, schema: pa.Schema) -> pa.Table:
    """The table `name` of the step in this role of every generator."""
    plan, study, store = collected.reported.plan, collected.study, collected.reported.store
    by_ref = {}
    for cell in plan.cells:
        for label in CLASSES:
            ref = cell.refs.get(f"{role}_{label}")
            path = written_table(store, ref, name) if ref and ref not in by_ref else None
            if ref and path:
                constants = {
                    **cell.coordinates.draw.row(),
                    "class": plan.steps[ref].spec["class"],
                    "gan": study.generator_name(cell.recipe, label),
                }
                table = tables.read_any(path)
                if name == names.LOSSES:
                    table = in_long_form(table)
                by_ref[ref] = tables.with_columns(table, constants, schema)
    return tables.concat(by_ref.values(), schema)


def score_rows(collected: Collected) -> pa.Table:
    """The scores of every generator's snapshots, then the floor of each patient count and class."""
    plan, store = collected.reported.plan, collected.reported.store
    of_gans = _per_gan(collected, "score", names.SCORES, tables.GAN_SCORES)
    n_patients_of = {
        cell.refs[role]: cell.coordinates.n_patients
        for cell in plan.cells
        for role in (f"floor_{label}" for label in CLASSES)
        if role in cell.refs
    }
    floors = [
        tables.with_columns(
            tables.read_any(store.open(ref, names.FLOOR) / names.FLOOR),
            {"n_patients": n_patients},
            tables.GAN_SCORES,
        )
        for ref, n_patients in n_patients_of.items()
        if store.has(ref)
    ]
    return tables.concat([of_gans, *floors], tables.GAN_SCORES)


def _of_cells(role: str, name: str, schema: pa.Schema, order: int) -> Section:
    rows = partial(_per_cell, role=role, name=name, schema=schema)
    return Section(version=1, schema=schema, rows=rows, order=order)


def _of_gans(role: str, name: str, schema: pa.Schema, order: int) -> Section:
    rows = partial(_per_gan, role=role, name=name, schema=schema)
    return Section(version=1, schema=schema, rows=rows, order=order)


SECTIONS = {
    "gan_events": _of_gans("gan", names.EVENTS, tables.GAN_EVENTS, 410),
    "frame_scores": _of_cells("evaluate", names.FRAME_SCORES, tables.FRAME_SCORES, 420),
    "val_scores": _of_cells("search", names.VAL_SCORES, tables.FRAME_SCORES, 430),
    "trials": Section(version=1, schema=tables.TRIALS, rows=trial_rows, order=440),
    "gan_scores": Section(version=2, schema=tables.GAN_SCORES, rows=score_rows, order=450),
    "gan_losses": _of_gans("gan", names.LOSSES, tables.GAN_LOSSES, 460),
    "cohorts": _of_cells("cohort", names.COHORT, COHORTS, 470),
    "frames": Section(version=1, schema=tables.FRAMES, rows=frame_rows, order=480),
}
