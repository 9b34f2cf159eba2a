"""A plugin of lussweep with one part of each kind."""

from pydantic import PositiveInt

from lussweep.study.spec import (
    CLASSIFIERS,
    EMBEDDERS,
    SCORES,
    ClassifierKind,
    Embedder,
    Goal,
    Score,
    SearchSpec,
)
from lussweep.study.spec.imports import imported


class PixelSearch(SearchSpec):
    side: tuple[PositiveInt, ...] = (2, 4)
    """Sides of the squares of pixels that are averaged."""


def register() -> None:
    CLASSIFIERS["pixels"] = ClassifierKind(PixelSearch, imported("blurred.pixels:build"))
    SCORES["sharpness"] = Score(
        goal=Goal("reach", 1.0),
        function=imported("blurred.sharpness:sharpness"),
        spaces=("pixel",),
    )
    EMBEDDERS["thumbnails"] = Embedder(
        function=imported("blurred.thumbnails:thumbnails"),
        digest="8x8",
    )
