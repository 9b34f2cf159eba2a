"""Defines a section of a report, and the values that its rows are made from.

A section is one table of a report: an entry of SECTIONS. The files of a report, the list of them
and the decision whether they are up to date derive from SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from lussweep.report.cells import ScoredCells, gather_cells
from lussweep.report.reported import Reported
from lussweep.store import tables
from lussweep.study.keys import derive_seed
from lussweep.study.spec import StudySpec

T = TypeVar("T")
Rows: TypeAlias = Sequence[Mapping[str, Any]] | pa.Table
"""The rows of a section. A column that a row lacks is null."""


class NotMade(RuntimeError):
    """A table that another one needs could not be made."""


class NotWritten(LookupError):
    """A table that a run has not come to."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table of a report. Its name in SECTIONS, and `.parquet`, is the name of its file."""

    version: int
    """Raised by hand when the rows of an unchanged run change. Reports are then written anew."""
    schema: pa.Schema
    """Names, types and units of the columns: `make_schema` of `store/tables.py`."""
    rows: Callable[[Collected], Rows]
    """Makes the rows, in the order of the file."""
    order: int = 190
    """Place in the list of files, the smallest first: from 0 results and statistics, from 200
    figures, from 300 memorisation, from 400 what steps have written."""
    is_optional: bool = False
    """Whether there is no file where there are no rows."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What the sections of one report are made from: a run, and the tables of other sections."""

    reported: Reported
    """The study, its plan and its artifacts."""
    sections: Mapping[str, Section]
    """Every section of the report by name."""
    outcomes: pa.Table
    """One row for each cell, done or not, in the schema RESULTS. It holds no intervals."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """The error of each failed step, by the step's ref."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """The failed step that each blocked step waits for, both by their refs."""
    made: dict[str, pa.Table] = field(default_factory=dict)
    """The tables that are made already, by section."""
    failed: dict[str, str] = field(default_factory=dict)
    """The error of everything that could not be made, by its name."""
    _broken: set[str] = field(default_factory=set)
    _unfinished: list[str] = field(default_factory=list)
    _shared: dict[Hashable, Any] = field(default_factory=dict)

    def table(self, name: str) -> pa.Table:
        """The table of a section, which is made at the first call.

        A section may ask for any section that does not depend on it. Raises ValueError for a
        section that does, and NotMade for a section that has failed before.
        """
        if name not in self.made:
            if name in self._unfinished:
                circle = ", ".join([*self._unfinished, name])
                raise ValueError(f"sections need each other: {circle}")
            if name in self._broken:
                raise NotMade(f"needs {name}, which could not be made")
            self._unfinished.append(name)
            section = self.sections[name]
            try:
                self.made[name] = tables.in_schema(section.rows(self), section.schema)
            except NotWritten:
                raise
            except Exception:
                self._broken.add(name)
                raise
            finally:
                self._unfinished.remove(name)
        return self.made[name]

    def once(self, make: Callable[[Collected], T]) -> T:
        """What `make` returns, which is called once for all sections of a report."""
        if make not in self._shared:
            self._shared[make] = make(self)
        result: T = self._shared[make]
        return result

    @property
    def study(self) -> StudySpec:
        """The study, with the variants of every grid that was run in the folder."""
        return self.reported.study

    @property
    def seed(self) -> int:
        """The seed of resampled statistics."""
        return derive_seed(self.study.seed, "analysis")

    @cached_property
    def cells(self) -> ScoredCells:
        """The cells, with the scores of their holdout frames."""
        return gather_cells(self.outcomes, self.table("frame_scores"))

    @cached_property
    def val_cells(self) -> ScoredCells:
        """The cells, with the scores of their validation frames."""
        return gather_cells(self.outcomes, self.table("val_scores"))


def later(name: str, section: Section) -> Section:
    """A section without its rows, for a report of a run that has not come to it.

    It raises NotWritten where it is asked for. An optional section has no rows.
    """

    def rows(collected: Collected) -> Rows:
        if section.is_optional:
            return []
        raise NotWritten(f"{name}.parquet is not written")

    return replace(section, rows=rows)
