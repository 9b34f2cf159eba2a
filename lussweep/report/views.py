"""The views of a report: files that are made from its tables for people and dashboards.

A view is an entry of VIEWS: a figure, a summary, a log. The entry alone says how its files are
listed and kept up to date, as for sections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.report.auroc_figure import auroc_figure
from lussweep.report.calibration_figure import calibration_figure
from lussweep.report.drawings import marks_of_run
from lussweep.report.epoch_figure import epoch_figure
from lussweep.report.metric_figure import metric_figure
from lussweep.report.optuna_journal import write_optuna
from lussweep.report.page.pixels import is_phantom
from lussweep.report.page.seam import PageSource
from lussweep.report.page.write import PAGE, write_page
from lussweep.report.samples import SHEET_COLUMNS, Labelled, nearest_frames, sampled_frames
from lussweep.report.sections import Collected
from lussweep.report.sheet import sample_sheet
from lussweep.report.summary import write_summary
from lussweep.report.tensorboard import write_tensorboard
from lussweep.study.coordinates import Draw


@dataclass(frozen=True, kw_only=True)
class View:
    """Files that are made from the tables of a report."""

    version: int
    """Raised by hand when the files of unchanged tables change."""
    files: tuple[str, ...]
    """Patterns that the files match, relative to the run folder."""
    write: Callable[[Collected, Path], Sequence[Path]]
    """Writes the files into the run folder and returns their paths. Other files that match the
    patterns are removed: an earlier report left them."""
    order: int
    """Place in the list of files, among those of the sections."""


def _page(collected: Collected, folder: Path) -> list[Path]:
    source = PageSource(collected, is_phantom=is_phantom(collected))
    return [write_page(source, folder / PAGE)]


def _summary(collected: Collected, folder: Path) -> list[Path]:
    path = folder / "summary.csv"
    write_summary(collected.table("results"), path, collected.table("means"))
    return [path]


def _auroc(collected: Collected, folder: Path) -> list[Path]:
    return auroc_figure(
        collected.table("results"), folder / "figures/auroc", collected.table("means")
    )


def _auroc_by_epoch(collected: Collected, folder: Path) -> list[Path]:
    return epoch_figure(collected.table("results"), folder / "figures/auroc_by_epoch")


def _calibration(collected: Collected, folder: Path) -> list[Path]:
    return calibration_figure(collected.table("calibration"), folder / "figures/calibration")


def _gan_metrics(collected: Collected, folder: Path) -> list[Path]:
    scores, stem = collected.table("gan_scores"), folder / "figures/gan_metrics"
    return metric_figure(scores, stem, **marks_of_run(collected))


def _samples(collected: Collected, folder: Path) -> list[Path]:
    return _sheet(sampled_frames(collected), folder / "figures/samples.png")


def _closest_pairs(collected: Collected, folder: Path) -> list[Path]:
    return _sheet(nearest_frames(collected), folder / "figures/closest_pairs.png")


def _sheet(groups: Sequence[Labelled], path: Path) -> list[Path]:
    return [sample_sheet(groups, path, SHEET_COLUMNS)] if groups else []


def _events(collected: Collected, folder: Path) -> list[Path]:
    """Writes one line for each event of a GAN's training. Without events there is no file."""
    path = folder / "events.log"
    lines = [
        f"{Draw.of_row(e)} {e['class']} {e['gan']} attempt {e['attempt']} "
        f"epoch {e['epoch']} {e['kind']}: {e['message']}\n"
        for e in collected.table("gan_events").to_pylist()
    ]
    if not lines:
        return []
    path.write_text("".join(lines), encoding="utf-8")
    return [path]


def _tensorboard(collected: Collected, folder: Path) -> list[Path]:
    path = folder / "tensorboard"
    names = ("gan_losses", "gan_scores", "trials", "results")
    write_tensorboard(path, *map(collected.table, names))
    return [path]


def _optuna(collected: Collected, folder: Path) -> list[Path]:
    path, study = folder / "optuna.log", collected.study
    trials, results = collected.table("trials"), collected.table("results")
    write_optuna(path, trials, results, study.name, study.search.select_by)
    return [path]


def _figure(name: str) -> tuple[str, str]:
    return f"figures/{name}.png", f"figures/{name}.svg"


VIEWS = {
    "page": View(version=1, files=(PAGE,), write=_page, order=-10),
    "summary": View(version=1, files=("summary.csv",), write=_summary, order=0),
    "auroc": View(version=2, files=_figure("auroc"), write=_auroc, order=200),
    "auroc_by_epoch": View(
        version=2, files=_figure("auroc_by_epoch"), write=_auroc_by_epoch, order=210
    ),
    "calibration": View(version=1, files=_figure("calibration"), write=_calibration, order=220),
    "gan_metrics": View(version=3, files=_figure("gan_metrics*"), write=_gan_metrics, order=230),
    "samples": View(version=1, files=("figures/samples.png",), write=_samples, order=240),
    "closest_pairs": View(
        version=2, files=("figures/closest_pairs.png",), write=_closest_pairs, order=250
    ),
    "events": View(version=1, files=("events.log",), write=_events, order=400),
    "tensorboard": View(version=1, files=("tensorboard",), write=_tensorboard, order=600),
    "optuna": View(version=2, files=("optuna.log",), write=_optuna, order=610),
}
"""Every view by name."""
