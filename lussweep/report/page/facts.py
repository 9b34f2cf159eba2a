"""Collects the rows that the sentences of a page are made from."""

from __future__ import annotations

from lussweep.report.gan_marks import generator_of, of_last_attempts
from lussweep.report.page.seam import PageSource
from lussweep.report.page.sentences import Facts
from lussweep.report.sections.seam import NotWritten


def facts_of(source: PageSource) -> Facts:
    """The rows of a run's tables. A table that the run has not come to is empty."""
    study = source.study
    order = {pair: i for i, pair in enumerate(study.analysis.contrasts)}
    try:
        contrasts, has_contrasts_ahead = source.rows("contrasts"), False
    except NotWritten:
        contrasts, has_contrasts_ahead = [], _plans_a_contrast(source)
    contrasts.sort(
        key=lambda row: (order.get((row["variant"], row["reference"]), len(order)),
                         row["n_patients"], row["gan_epoch"] or 0),
    )  # fmt: skip
    losses = source.rows_if_written("gan_losses")
    return Facts(
        results=source.rows("results"),
        contrasts=contrasts,
        has_contrasts_ahead=has_contrasts_ahead,
        multiplier=source.rows_if_written("multiplier"),
        controls=source.rows_if_written("controls"),
        known_truth=source.rows_if_written("known_truth"),
        memorisation=source.rows_if_written("memorisation"),
        gan_events=of_last_attempts(source.rows_if_written("gan_events"), losses),
        gans=len({generator_of(row) for row in losses}),
        failures=source.rows_if_written("failures"),
        recipes=study.variants,
        is_phantom=source.is_phantom,
    )


def _plans_a_contrast(source: PageSource) -> bool:
    """Whether a planned contrast has both of its variants in the grid."""
    variants = {row["variant"] for row in source.rows("results")}
    return any(variants.issuperset(pair) for pair in source.study.analysis.contrasts)
