"""The tables of a report: one file a family, with schemas beside rows.

`seam.py` says what a section is. Each other file lists its own sections.
"""

from lussweep.report.sections import (
    aurocs,
    contrasts,
    controls,
    delong,
    failures,
    feature_map,
    known_truth,
    means,
    memorisation,
    operating,
    quality,
    results,
    steps,
    usefulness,
    worth,
)
from lussweep.report.sections.seam import Collected, NotWritten, Rows, Section
from lussweep.study.plugins import Registry

__all__ = ["SECTIONS", "Collected", "NotWritten", "Rows", "Section"]

_FAMILIES = (
    results, means, contrasts, controls, known_truth, worth, aurocs, quality, operating, delong,
    usefulness, memorisation, feature_map, steps, failures,
)  # fmt: skip
SECTIONS: Registry[Section] = Registry(
    "report section",
    {name: section for family in _FAMILIES for name, section in family.SECTIONS.items()},
)
"""Every section by name. A plugin adds its own."""
