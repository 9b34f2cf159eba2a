"""The chapters of the page in reading order: one file a family, one template a chapter."""

from lussweep.report.page.chapters import data, generators, performance, record, statistics
from lussweep.report.page.seam import Chapter

_FAMILIES = (statistics, performance, generators, data, record)
CHAPTERS: dict[str, Chapter] = {
    name: chapter for family in _FAMILIES for name, chapter in family.CHAPTERS.items()
}
"""Every chapter by name."""
