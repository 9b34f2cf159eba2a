"""The figures of a report by name: how each is drawn, and what it says in words.

A figure is an entry of DRAWINGS. The page shows it, and `figures/` of a publication holds it as
PNG, SVG and PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.report.auroc_figure import build_auroc_figure
from lussweep.report.bars_figure import build_bars_figure
from lussweep.report.calibration_figure import build_calibration_figure
from lussweep.report.cells import Row
from lussweep.report.feature_figure import build_feature_figure
from lussweep.report.forest_figure import build_forest_figure
from lussweep.report.gan_figure import build_losses_figure
from lussweep.report.gan_marks import of_last_attempts
from lussweep.report.metric_figure import build_metric_figure
from lussweep.report.net_benefit_figure import build_net_benefit_figure
from lussweep.report.ribbon_figure import build_ribbon_figure
from lussweep.report.roc_figure import build_roc_figure
from lussweep.report.search_figure import build_search_figure
from lussweep.report.sections import Collected, NotWritten
from lussweep.report.sections.seam import NotMade
from lussweep.report.usefulness_figure import build_usefulness_figure
from lussweep.report.worth_figure import build_worth_figure
from lussweep.study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure of a report."""

    title: str
    build: Callable[[Collected], Figure | None]
    """Draws it from the tables; None if there is nothing to draw."""
    describe: Callable[[Collected], str]
    """What it shows, for readers who do not see it."""


def _auroc(collected: Collected) -> Figure:
    return build_auroc_figure(collected.table("results"), collected.table("means"))


def _auroc_text(collected: Collected) -> str:
    n = len(collected.table("results"))
    return (
        "Mean AUC-ROC on holdout against patients per class, one line for each variant, with "
        f"intervals and single replicates, of {n} cells. The table below has its numbers."
    )


def _gan_metrics(collected: Collected) -> Figure | None:
    return gan_metrics_figure(collected.table("gan_scores"), marks_of_run(collected))


def gan_metrics_figure(scores: pa.Table, marks: Mapping[str, Sequence[Row]]) -> Figure | None:
    """The scores of every generator that has snapshots, with the floor. `marks`: of `gan_marks`."""
    shown = scores.filter(pc.or_(pc.is_valid(scores["epoch"]), pc.is_null(scores["gan"])))
    if not any(shown["gan"].to_pylist()):
        return None
    return build_metric_figure(shown, chosen=marks["chosen"], events=marks["events"])


def marks_of_run(collected: Collected) -> dict[str, list[Row]]:
    """The chosen snapshots and the events of a run, as far as their tables are there."""
    there: dict[str, pa.Table] = {}
    for name in ("memorisation", "gan_events", "gan_losses"):
        with suppress(NotWritten, NotMade):
            there[name] = collected.table(name)
    return gan_marks(there)


def gan_marks(there: Mapping[str, pa.Table]) -> dict[str, list[Row]]:
    """The chosen snapshots, and the events of last attempts, of the tables that are there."""
    chosen, events, losses = map(there.get, ("memorisation", "gan_events", "gan_losses"))
    noted = [] if events is None else events.to_pylist()
    return {
        "chosen": [] if chosen is None else chosen.to_pylist(),
        "events": of_last_attempts(noted, [] if losses is None else losses.to_pylist()),
    }


def _generators(study: StudySpec) -> dict[str, str]:
    """The generator of the positives of each variant that has one."""
    return {
        name: generator
        for name, recipe in study.variants.items()
        if recipe.generator("pos") and (generator := study.generator_name(recipe, "pos"))
    }


def _said(text: str) -> Callable[[Collected], str]:
    return lambda collected: text


DRAWINGS = {
    "auroc_ribbons": Drawing(
        title="AUC-ROC against patients, a panel for each variant",
        build=lambda collected: build_ribbon_figure(
            collected.table("results"), collected.table("means")
        ),
        describe=_said(
            "Mean AUC-ROC on holdout against patients per class, one panel for each variant. "
            "The inner ribbon is the interval over other patients, the outer one that over other "
            "trainings and patients, and dots are replicates. The table below has the numbers."
        ),
    ),
    "auroc_bars": Drawing(
        title="AUC-ROC by patients and variant, as in Figure 5 of the paper",
        build=lambda collected: build_bars_figure(
            collected.table("results"), collected.table("means")
        ),
        describe=_said(
            "Mean AUC-ROC on holdout as bars from chance, one group for each number of patients "
            "per class and one bar for each variant. The table below has the numbers."
        ),
    ),
    "auroc": Drawing(
        title="AUC-ROC by frame and by patient, all variants", build=_auroc, describe=_auroc_text
    ),
    "contrasts": Drawing(
        title="Differences between variants",
        build=lambda collected: build_forest_figure(collected.table("contrasts")),
        describe=_said(
            "Differences of AUC-ROC between variants, one row for each planned contrast and "
            "patient count, with intervals and a line at no difference. The table below has the "
            "numbers."
        ),
    ),
    "worth": Drawing(
        title="Worth in patients of the baseline",
        build=lambda collected: build_worth_figure(collected.table("worth")),
        describe=_said(
            "Patients of the baseline that are as good as a variant, against the patients that "
            "the variant was trained with. The table below has the numbers."
        ),
    ),
    "roc": Drawing(
        title="ROC curves with operating points",
        build=lambda collected: build_roc_figure(collected.cells, collected.table("operating")),
        describe=_said(
            "Sensitivity against 1 - specificity on holdout frames, one line for each variant, at "
            "up to three patient counts. The table below has the operating points."
        ),
    ),
    "calibration": Drawing(
        title="Calibration",
        build=lambda collected: build_calibration_figure(collected.table("calibration")),
        describe=_said(
            "Share of positive frames against the score, one panel for each variant and one line "
            "for each patient count. The table below has slopes and intercepts."
        ),
    ),
    "net_benefit": Drawing(
        title="Net benefit",
        build=lambda collected: build_net_benefit_figure(collected.table("net_benefit")),
        describe=_said(
            "Net benefit against the threshold probability, one line for each variant, beside "
            "calling all frames positive and calling none positive."
        ),
    ),
    "gan_losses": Drawing(
        title="Training of the generators",
        build=lambda collected: build_losses_figure(
            collected.table("gan_losses"), collected.table("gan_events")
        ),
        describe=_said(
            "Losses against the epoch, one row for each class and one line for each patient count, "
            "with marks where a training collapsed, diverged or had not learned."
        ),
    ),
    "gan_metrics": Drawing(
        title="Scores of the generators",
        build=_gan_metrics,
        describe=_said(
            "Scores of the generators' snapshots against the epoch, one row for each generator and "
            "class and one line for each patient count, with the goal of each score, the floor as "
            "bands, rings at chosen snapshots and marks at events."
        ),
    ),
    "features": Drawing(
        title="Frames in the plane of two principal components",
        build=lambda collected: build_feature_figure(collected.table("feature_map")),
        describe=_said(
            "Training, holdout and synthetic frames as points in the plane of the first two "
            "principal components of their features, one row for each class and one column for "
            "each number of patients per class."
        ),
    ),
    "usefulness": Drawing(
        title="Gain against the generator's score",
        build=lambda collected: build_usefulness_figure(
            collected.table("results"), _generators(collected.study)
        ),
        describe=_said(
            "Gain in AUC-ROC against kMMD of the synthetic positives, one panel for each variant "
            "and one mark for each cell. The table below has the correlations."
        ),
    ),
    "search": Drawing(
        title="Trials of all searches",
        build=lambda collected: build_search_figure(collected.table("trials")),
        describe=_said(
            "Parallel coordinates: one line for each trial over its hyperparameters to its "
            "accuracy on validation. The table below has the selected trials."
        ),
    ),
}
"""Every figure of the page by name."""
