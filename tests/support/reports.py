"""Makes the statistics of a report from the tables that they need, without a run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.steps import COHORTS
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan
from lussweep.study.spec import StudySpec

STATISTICS = (
    "results", "means", "contrasts", "controls", "worth", "multiplier", "aurocs", "quality",
    "calibration", "net_benefit", "operating", "delong", "usefulness",
)  # fmt: skip


def statistics_of(
    outcomes: pa.Table,
    frame_scores: pa.Table,
    val_scores: pa.Table,
    gan_scores: pa.Table,
    study: StudySpec,
    cohorts: pa.Table | None = None,
) -> dict[str, pa.Table]:
    """Every table that is computed from scores, by name. Without `cohorts` no patient is shared."""
    collected = collected_of(outcomes, frame_scores, val_scores, gan_scores, study, cohorts)
    return {name: collected.table(name) for name in STATISTICS}


def collected_of(
    outcomes: pa.Table,
    frame_scores: pa.Table,
    val_scores: pa.Table,
    gan_scores: pa.Table,
    study: StudySpec,
    cohorts: pa.Table | None = None,
    **made: pa.Table,
) -> Collected:
    """What a report is made from, without a run. `made` are further tables by name."""
    nowhere = Path("nowhere")
    return Collected(
        reported=Reported(nowhere, study, Plan(), ArtifactStore(nowhere), str),
        sections=SECTIONS,
        outcomes=outcomes,
        made={
            "frame_scores": frame_scores,
            "val_scores": val_scores,
            "gan_scores": gan_scores,
            "cohorts": COHORTS.empty_table() if cohorts is None else cohorts,
            **made,
        },
    )
