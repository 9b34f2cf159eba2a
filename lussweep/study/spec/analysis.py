"""The statistics of finished cells. Nothing here changes what is trained or judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import Spec

Level = Literal["frame", "patient_mean", "patient_weighted"]
"""The level that AUC-ROC is computed over; see `AnalysisSpec.level`."""


class AnalysisSpec(Spec):
    """Statistics over holdout patients. A change rewrites the report and runs no step."""

    contrasts: tuple[tuple[str, str], ...] = (
        ("combined", "baseline"),
        ("positive_synthetic", "baseline"),
        ("pure_synthetic", "baseline"),
        ("combined", "oversample"),
        ("combined", "classic"),
        ("ideal", "baseline"),
        ("doubled", "baseline"),
        ("again", "baseline"),
        ("memoriser", "oversample"),
    )
    """Planned pairs of (variant, reference). Holm's adjustment covers all of them at all patient
    counts, computed or not. A pair with a variant that the grid lacks is not planned. `oversample`
    (as many images, all real) and `classic` (heavier augmentation, no GAN) are controls that an
    experiment may add. The last four are of known worth."""
    level: Level = "frame"
    """The level of contrasts and worth. frame: every frame weighs the same, as in the paper.
    patient_mean: a patient's score is the mean of the frame scores. patient_weighted: frames are
    compared, and every patient of a class weighs the same, however many frames it has."""
    margin: PositiveFloat = 0.02
    """The loss of AUC-ROC up to which a variant counts as non-inferior. Fix it beforehand."""
    n_resamples: Annotated[int, Field(ge=100)] = 2000
    """Resamples of the holdout patients, for every bootstrap interval."""
    top_k: PositiveInt = 3
    """The levels video_top and patient_top take the mean of this many highest frame scores."""

    @model_validator(mode="after")
    def _pairs_differ(self) -> AnalysisSpec:
        if len(set(self.contrasts)) != len(self.contrasts):
            raise ValueError("a contrast is planned twice: remove one")
        for variant, reference in self.contrasts:
            if variant == reference:
                raise ValueError(f"{variant} cannot be its own reference: name another variant")
        return self
