"""Failed steps, and videos that were left out. Patients and files are hashed."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import SKIPPED, make_schema
from lussweep.study.keys import hashed_id

FAILURES = make_schema(
    ("stage", pa.string()),
    ("key", pa.string()),
    ("step", pa.string(), "with hashed patient ids"),
    ("error", pa.string()),
    ("n_blocked", pa.int32(), "steps that wait for this one"),
)


def failure_rows(collected: Collected) -> list[Row]:
    """One row for each failed step."""
    plan, redact = collected.reported.plan, collected.reported.redact
    waiting = Counter(collected.blocked.values())
    return [
        {
            "stage": plan.steps[ref].stage,
            "key": plan.steps[ref].key,
            "step": redact(plan.steps[ref].name),
            "error": redact(error),
            "n_blocked": waiting[ref],
        }
        for ref, error in collected.failures.items()
    ]


def skipped_rows(collected: Collected) -> list[Row]:
    """One row for each video that was left out."""
    reported = collected.reported
    named = str if reported.reveal_ids else hashed_id
    return [
        {
            "patient_id": named(patient_id),
            "video_id": named(video_id),
            "reason": reported.redact(reason),
        }
        for patient_id, video_id, reason in reported.skipped
    ]


SECTIONS = {
    "skipped": Section(version=1, schema=SKIPPED, rows=skipped_rows, order=490, is_optional=True),
    "failures": Section(version=1, schema=FAILURES, rows=failure_rows, order=500),
}
