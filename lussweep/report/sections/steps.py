"""What steps have written, joined over a grid: frames, cohorts, GANs, trials and frame scores."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from lussweep.data.frames import INDEX
from lussweep.report.artifacts import sampled_place, written_table
from lussweep.report.sections.seam import SECTIONS, Collected, Section
from lussweep.stages import COHORT, EVENTS, FRAME_SCORES, LOSSES, SCORES, TRIALS, VAL_SCORES
from lussweep.store import tables
from lussweep.study.spec import CLASSES

COHORTS = pa.schema([*tables.make_schema(*tables.DRAW), *tables.FRAMES])


def frame_rows(collected: Collected) -> pa.Table:
    """One row for each frame of the study."""
    plan, store = collected.reported.plan, collected.reported.store
    refs = [r for r, step in plan.steps.items() if step.stage == "ingest" and store.has(r)]
    indices = [tables.read(store.open(ref) / INDEX, tables.FRAMES) for ref in refs]
    return tables.concat(indices, tables.FRAMES)


def trial_rows(collected: Collected) -> pa.Table:
    """The epochs of every trial of finished searches, then those of the detector."""
    of_cells = _per_cell(collected, "search", TRIALS, tables.TRIALS)
    return tables.concat([of_cells, _detector_trials(collected)], tables.TRIALS)


def _per_cell(collected: Collected, role: str, name: str, schema: pa.Schema) -> pa.Table:
    """The table `name` of the step in this role of every cell; one that cells share comes once."""
    plan, store = collected.reported.plan, collected.reported.store
    by_ref = {}
    for cell in plan.cells:
        ref = cell.refs[role]
        of_cell = "variant" in schema.names
        constants = sampled_place(cell, store).row() if of_cell else cell.coordinates.draw.row()
        if store.has(ref) and (ref, *constants.values()) not in by_ref:
            table = tables.read_any(store.open(ref, name) / name)
            by_ref[(ref, *constants.values())] = tables.with_columns(table, constants, schema)
    return tables.concat(by_ref.values(), schema)


def _detector_trials(collected: Collected) -> pa.Table:
    """The trials of the detector, which have no patient count and no replicate."""
    store, steps = collected.reported.store, collected.reported.plan.steps.values()
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
                by_ref[ref] = tables.with_columns(tables.read_any(path), constants, schema)
    return tables.concat(by_ref.values(), schema)


SECTIONS["gan_events"] = Section(
    version=1,
    schema=tables.GAN_EVENTS,
    rows=partial(_per_gan, role="gan", name=EVENTS, schema=tables.GAN_EVENTS),
    order=410,
)
SECTIONS["frame_scores"] = Section(
    version=1,
    schema=tables.FRAME_SCORES,
    rows=partial(_per_cell, role="evaluate", name=FRAME_SCORES, schema=tables.FRAME_SCORES),
    order=420,
)
SECTIONS["val_scores"] = Section(
    version=1,
    schema=tables.FRAME_SCORES,
    rows=partial(_per_cell, role="search", name=VAL_SCORES, schema=tables.FRAME_SCORES),
    order=430,
)
SECTIONS["trials"] = Section(version=1, schema=tables.TRIALS, rows=trial_rows, order=440)
SECTIONS["gan_scores"] = Section(
    version=1,
    schema=tables.GAN_SCORES,
    rows=partial(_per_gan, role="score", name=SCORES, schema=tables.GAN_SCORES),
    order=450,
)
SECTIONS["gan_losses"] = Section(
    version=1,
    schema=tables.GAN_LOSSES,
    rows=partial(_per_gan, role="gan", name=LOSSES, schema=tables.GAN_LOSSES),
    order=460,
)
SECTIONS["cohorts"] = Section(
    version=1,
    schema=COHORTS,
    rows=partial(_per_cell, role="cohort", name=COHORT, schema=COHORTS),
    order=470,
)
SECTIONS["frames"] = Section(version=1, schema=tables.FRAMES, rows=frame_rows, order=480)
