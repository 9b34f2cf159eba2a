"""What is asked of the finished cells. Nothing here changes what is trained or judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import Spec


class AnalysisSpec(Spec):
    """Statistics over holdout patients; a change makes the report anew and no step."""

    contrasts: tuple[tuple[str, str], ...] = (
        ("combined", "baseline"),
        ("positive_synthetic", "baseline"),
        ("pure_synthetic", "baseline"),
        ("combined", "oversample"),
        ("combined", "classic"),
    )
    """Planned pairs of (variant, reference); Holm's adjustment is over those that are computed.
    Variants that the grid does not have make no contrast: `oversample` (as many images, all real)
    and `classic` (heavier augmentation, no GAN) are controls that an experiment may add."""
    margin: PositiveFloat = 0.02
    """AUC-ROC that a variant may lose and still count as non-inferior. Fix it beforehand."""
    n_resamples: Annotated[int, Field(ge=100)] = 2000
    """Of the holdout patients, for every interval that a bootstrap gives."""
    top_k: PositiveInt = 3
    """Of the levels video_top and patient_top: the mean of the k highest frame scores."""

    @model_validator(mode="after")
    def _pairs_differ(self) -> AnalysisSpec:
        if len(set(self.contrasts)) != len(self.contrasts):
            raise ValueError("a contrast is planned twice")
        for variant, reference in self.contrasts:
            if variant == reference:
                raise ValueError(f"{variant} cannot be its own reference")
        return self
