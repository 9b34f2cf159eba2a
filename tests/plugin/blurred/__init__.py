"""A plugin of lussweep with one part of each kind."""

from pydantic import PositiveInt

from lussweep.study.spec import (
    CLASSIFIERS,
    EMBEDDERS,
    GENERATORS,
    SCORES,
    ClassifierKind,
    Embedder,
    GeneratorKind,
    GeneratorSpec,
    Goal,
    Score,
    SearchSpec,
)
from lussweep.study.spec.imports import imported


class PixelSearch(SearchSpec):
    side: tuple[PositiveInt, ...] = (2, 4)
    """Sides of the squares of pixels that are averaged."""


class BlurredSpec(GeneratorSpec):
    blur: PositiveInt = 12
    """Side of the blur in the first epoch, in pixels. It is divided by the number of the epoch."""


def register() -> None:
    GENERATORS["blurred"] = GeneratorKind(
        BlurredSpec,
        train=imported("blurred.generator:train"),
        load=imported("blurred.generator:load"),
        sample=imported("blurred.generator:sample"),
    )
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
