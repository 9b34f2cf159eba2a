"""Columns that several tables of the page share."""

from __future__ import annotations

from lussweep.report.cells import Row
from lussweep.report.page.seam import Column
from lussweep.report.page.wording import auroc_text, interval_text, signed, two_digits

N = Column("n_patients", "patients", "per class")
VARIANT = Column("variant", "variant", is_number=False)
EPOCH = Column("gan_epoch", "GAN epoch")
STATUS = Column("status", "status", is_number=False)
REASON = Column("reason", "remark", is_number=False)


def share(name: str, title: str, unit: str = "") -> Column:
    """A column of AUC-ROCs or shares, three decimals."""
    return Column(name, title, unit, auroc_text)


def difference(name: str, title: str, unit: str = "") -> Column:
    """A column of differences, three decimals with their sign."""
    return Column(name, title, unit, signed)


def interval(low: str, high: str, title: str) -> Column:
    """A column of 95 % intervals between two columns. `with_intervals` makes its texts."""
    return Column(f"{low} to {high}", title, "95 %", sort_by=low)


def with_intervals(columns: list[Column], rows: list[Row], *, sign: bool = False) -> list[Row]:
    """The rows with the texts of their columns of intervals."""
    pairs = [c.name.split(" to ") for c in columns if " to " in c.name]
    return [
        row
        | {f"{low} to {high}": interval_text(row[low], row[high], sign=sign) for low, high in pairs}
        for row in rows
    ]


def number(name: str, title: str, unit: str = "") -> Column:
    """A column of numbers with two significant digits."""
    return Column(name, title, unit, two_digits)


def with_epoch(columns: list[Column], rows: list[Row]) -> list[Column]:
    """The columns, with the GAN epoch behind the variant where rows have one."""
    if all(row.get("gan_epoch") is None for row in rows):
        return columns
    at = columns.index(VARIANT) + 1
    return [*columns[:at], EPOCH, *columns[at:]]


def filled(columns: list[Column], rows: list[Row]) -> list[Column]:
    """The columns in which some row has a value."""
    return [c for c in columns if any(row.get(c.name) not in (None, "") for row in rows)]
