"""Memorisation cards, copies by patient, and the nearest pairs of synthetic and training frames."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from lussweep.report.sections.seam import Collected, Section
from lussweep.store import names, tables
from lussweep.study.spec import CLASSES


def _cards(collected: Collected, name: str, schema: pa.Schema) -> pa.Table:
    """A table of the memorisation steps, each synthetic set once.

    If the schema has `verdict`, it also holds the verdict of the release gate.
    """
    plan, study, store = collected.reported.plan, collected.study, collected.reported.store
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
            if "verdict" in schema.names:
                verdict = study.memorisation.verdict(store.record(ref)["summary"])
                constants |= {
                    "verdict": verdict.word,
                    "verdict_because": "; ".join(verdict.reasons) or None,
                    "synth_key": plan.steps[synth].key,
                    "memorisation_key": plan.steps[ref].key,
                }
            table = tables.read_any(store.open(ref, name) / name)
            by_ref[ref] = tables.with_columns(table, constants, schema)
    return tables.concat(by_ref.values(), schema)


def _of_sets(name: str, schema: pa.Schema, order: int) -> Section:
    rows = partial(_cards, name=name, schema=schema)
    return Section(version=1, schema=schema, rows=rows, order=order)


SECTIONS = {
    "memorisation": _of_sets(names.CARD, tables.MEMORISATION, 300),
    "copies": _of_sets(names.COPIES, tables.COPIES, 310),
    "closest_pairs": _of_sets(names.PAIRS, tables.PAIRS, 320),
}
