"""The tables of a report: one file a family, with schemas beside rows.

`seam.py` says what a section is. Each other file adds its sections to SECTIONS when it is imported,
which is now, so that SECTIONS is whole for whoever imports from this package.
"""

from lussweep.report.sections import (
    aurocs,
    contrasts,
    controls,
    delong,
    failures,
    means,
    memorisation,
    operating,
    quality,
    results,
    steps,
    usefulness,
    worth,
)
from lussweep.report.sections.seam import SECTIONS, Collected, Rows, Section

__all__ = [
    "SECTIONS", "Collected", "Rows", "Section", "aurocs", "contrasts", "controls", "delong",
    "failures", "means", "memorisation", "operating", "quality", "results", "steps", "usefulness",
    "worth",
]  # fmt: skip
