"""A finished or unfinished run in a notebook: its tables, frames and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lussweep.errors import InputError
from lussweep.report.cells import DONE, epoch_is_axis
from lussweep.report.run_folder import EXPERIMENT_FILE
from lussweep.report.summary import Group, group_cells
from lussweep.run.mirror import work_folder
from lussweep.run.state import RUN_FILE
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.object_store import artifact_store
from lussweep.study.coordinates import curve_name

if TYPE_CHECKING:
    import pandas
    import polars
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LoadedRun(Mapping[str, pa.Table]):
    """A run folder. It maps the name of each table to an Arrow table, such as `run["results"]`.

    `pandas` and `polars` give the same tables to those who have these packages installed. The
    metadata of a table's columns holds their units.
    """

    folder: Path
    store: ArtifactStore

    def __getitem__(self, name: str) -> pa.Table:
        """A table. Raises KeyError, which lists the tables, for another name."""
        if name not in self._paths:
            raise KeyError(f"{self.folder} has no table {name!r}; there are: {', '.join(self)}")
        return tables.read_any(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __hash__(self) -> int:
        return hash(self.folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LoadedRun) and other.folder == self.folder

    @property
    def _paths(self) -> dict[str, Path]:
        """The tables that the folder holds now. A run that goes on adds some."""
        return {path.stem: path for path in sorted(self.folder.glob("*.parquet"))}

    def pandas(self, name: str) -> pandas.DataFrame:
        """A table as a pandas data frame. Raises ModuleNotFoundError without pandas."""
        return self[name].to_pandas()

    def polars(self, name: str) -> polars.DataFrame:
        """A table as a polars data frame. Raises ModuleNotFoundError without polars."""
        import polars

        frame = polars.from_arrow(self[name])
        assert isinstance(frame, polars.DataFrame)
        return frame

    @cached_property
    def experiment(self) -> str:
        """The experiment with every default, as YAML."""
        return (self.folder / EXPERIMENT_FILE).read_text(encoding="utf-8")

    def frames(self, rows: pa.Table | None = None) -> NDArray[np.uint8]:
        """The pixels of real frames as grey levels, uint8 (N, S, S).

        `rows` are rows of the table `frames` or `cohorts`, in any order; None takes every frame of
        `frames`. Raises InputError for rows of another table or kind, or if the run's artifacts are
        not here.
        """
        from lussweep.data.frames import load_pixels

        index = self["frames"] if rows is None else _rows_of("frames", rows, "shard")
        try:
            return load_pixels(self.store, index)
        except FileNotFoundError as error:
            raise InputError(_without_artifacts(self, error)) from None

    def synthetic(self, rows: pa.Table | None = None) -> list[NDArray[np.uint8]]:
        """The frames of synthetic sets as grey levels, each uint8 (N, S, S).

        `rows` are rows of the table `memorisation`, one for each set; None takes every set. Raises
        InputError for rows of another table or kind, or if the run's artifacts are not here.
        """
        sets = self["memorisation"] if rows is None else _rows_of("memorisation", rows, "synth_key")
        try:
            return [
                read_array(self.store.open(f"synth/{key}") / names.SYNTHETIC, np.uint8)
                for key in sets["synth_key"].to_pylist()
            ]
        except FileNotFoundError as error:
            raise InputError(_without_artifacts(self, error)) from None

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that `figure` can draw from the tables at hand."""
        return tuple(name for name, needed in FIGURES.items() if needed in self)

    def figure(self, name: str) -> Figure:
        """A figure as an object of matplotlib, drawn from the tables.

        The names are those of `figures`. Raises ValueError for another name, or if the tables have
        nothing to draw.
        """
        if name not in self.figures:
            there = ", ".join(self.figures) or "none yet"
            raise ValueError(f"{self.folder} has no figure {name!r}; there are: {there}")
        drawn = _DRAW[name](self)
        if drawn is None:
            raise ValueError(f"the table {FIGURES[name]} has nothing to draw for {name!r}")
        return drawn

    def __repr__(self) -> str:
        return f"LoadedRun({str(self.folder)!r}: {_done_text(self)}, {len(self)} tables)"

    def _repr_html_(self) -> str:
        head = f"<p><b>{escape(self.folder.name)}</b>: {escape(_done_text(self))}</p>"
        columns = (
            "patients per class",
            "variant",
            "cells",
            "AUC-ROC",
            "95 %, trainings and patients",
        )
        titles = "".join(f"<th>{escape(title)}</th>" for title in columns)
        groups = _groups(self)
        with_epoch = bool(groups) and epoch_is_axis(self["results"])
        rows = "".join(_html_row(group, with_epoch) for group in groups)
        listed = escape(", ".join(self))
        return f"{head}<table><tr>{titles}</tr>{rows}</table><p>Tables: {listed}</p>"


def load_run(path: Path | str, *, store: Path | str | None = None) -> LoadedRun:
    """Open the run folder at a path or URL. Nothing is written, and no plugin is loaded.

    A run that goes on has the tables that it has written so far. `store` is the place of the
    artifacts, if `lussweep grid` had a `--store`. The AUC-ROCs, intervals and units of tables are
    explained in docs/results.md. Raises InputError if there is no run.

    >>> import lussweep
    >>> lussweep.load_run("nowhere")
    Traceback (most recent call last):
    lussweep.errors.InputError: nowhere is no run folder: give the --out of a `lussweep grid`
    """
    folder = work_folder(str(path)).path
    if not (folder / RUN_FILE).is_file():
        raise InputError(f"{path} is no run folder: give the --out of a `lussweep grid`")
    return LoadedRun(folder, artifact_store(store or f"{str(path).rstrip('/')}/artifacts"))


def _auroc(run: LoadedRun) -> Figure:
    from lussweep.report.auroc_figure import build_auroc_figure

    return build_auroc_figure(run["results"], run.get("means"))


def _auroc_ribbons(run: LoadedRun) -> Figure:
    from lussweep.report.ribbon_figure import build_ribbon_figure

    return build_ribbon_figure(run["results"], run.get("means"))


def _auroc_bars(run: LoadedRun) -> Figure:
    from lussweep.report.bars_figure import build_bars_figure

    return build_bars_figure(run["results"], run.get("means"))


def _features(run: LoadedRun) -> Figure | None:
    from lussweep.report.feature_figure import build_feature_figure

    return build_feature_figure(run["feature_map"])


def _auroc_by_epoch(run: LoadedRun) -> Figure | None:
    from lussweep.report.epoch_figure import build_epoch_figure

    return build_epoch_figure(run["results"]) if epoch_is_axis(run["results"]) else None


def _calibration(run: LoadedRun) -> Figure | None:
    from lussweep.report.calibration_figure import build_calibration_figure

    return build_calibration_figure(run["calibration"])


def _gan_metrics(run: LoadedRun) -> Figure | None:
    from lussweep.report.drawings import gan_marks, gan_metrics_figure

    return gan_metrics_figure(run["gan_scores"], gan_marks(run))


FIGURES = {
    "auroc": "results",
    "auroc_ribbons": "results",
    "auroc_bars": "results",
    "auroc_by_epoch": "results",
    "calibration": "calibration",
    "gan_metrics": "gan_scores",
    "features": "feature_map",
}
"""The figures by name, with the table that each is drawn from."""
_DRAW: Mapping[str, Callable[[LoadedRun], Figure | None]] = {
    "auroc": _auroc,
    "auroc_ribbons": _auroc_ribbons,
    "auroc_bars": _auroc_bars,
    "auroc_by_epoch": _auroc_by_epoch,
    "calibration": _calibration,
    "gan_metrics": _gan_metrics,
    "features": _features,
}


def _groups(run: LoadedRun) -> list[Group]:
    if "results" not in run:
        return []
    return group_cells(run["results"], run.get("means"))


def _done_text(run: LoadedRun) -> str:
    groups = _groups(run)
    if not groups:
        return "no results yet"
    n_done = sum(len(group.done) for group in groups)
    n_cells = sum(len(group.cells) for group in groups)
    return f"{n_done} of {n_cells} cells {DONE}"


def _html_row(group: Group, with_epoch: bool) -> str:
    mean = "" if group.mean is None else f"{group.mean:.3f}"
    interval = "" if group.interval is None else "{:.3f} to {:.3f}".format(*group.interval)
    name = curve_name(group.variant, group.gan_epoch if with_epoch else None)
    cells: list[Any] = [
        group.n_patients, name, f"{len(group.done)} of {len(group.cells)}", mean, interval,
    ]  # fmt: skip
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def _rows_of(name: str, rows: Any, column: str) -> pa.Table:
    """The rows. Raises InputError unless they are an Arrow table with this column."""
    if not isinstance(rows, pa.Table) or column not in rows.column_names:
        found = "rows of another table" if isinstance(rows, pa.Table) else type(rows).__name__
        raise InputError(f"got {found}: give rows of run[{name!r}], an Arrow table")
    return rows


def _without_artifacts(run: LoadedRun, error: FileNotFoundError) -> str:
    return (
        f"the artifacts of {run.folder} are not in {run.store.place} "
        f"({error.filename or error}): give load_run the --store of the grid"
    )
