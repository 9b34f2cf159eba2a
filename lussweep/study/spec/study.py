"""Specs of variants, of the grid's axes, and of a whole experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from lussweep.study.spec.analysis import AnalysisSpec
from lussweep.study.spec.base import AXIS, Count, Spec, key_value
from lussweep.study.spec.classification import AugmentSpec, ClassifierSpec, DetectorSpec
from lussweep.study.spec.classifiers import OfKind, SearchOfKind, VggSearchSpec, kind_of
from lussweep.study.spec.data import CohortSpec, DataSpec, ValSpec
from lussweep.study.spec.dcgan import GanSpec
from lussweep.study.spec.embedders import DETECTOR, IMAGENET
from lussweep.study.spec.generation import ScoreSpec, SelectSpec, SynthSpec
from lussweep.study.spec.generators import GeneratorOfKind, GeneratorSpec, generator_kind
from lussweep.study.spec.known_worth import BUILT_IN
from lussweep.study.spec.recipe import PAPER_VARIANTS, Recipe
from lussweep.study.spec.release import ExternalSpec, MemorisationSpec
from lussweep.study.spec.search import SearchSpec
from lussweep.study.spec.words import nearest

MAX_CELLS = 100_000
"""Most cells of a grid. All cells are planned before anything runs."""


class GridSpec(Spec):
    """The axes of the grid. They are not part of a run's identity: a wider axis extends the run."""

    n_patients: Annotated[tuple[PositiveInt, ...], AXIS] = (6, 15, 29, 44, 58)
    """Patient counts: patients of each class in a cohort."""
    replicates: Count = 3
    """Draws of patients for each patient count."""
    variants: Annotated[tuple[str, ...], AXIS] = tuple(PAPER_VARIANTS)
    """Names of variants: built-in ones, or those of `variants`."""
    gan_epochs: tuple[PositiveInt, ...] = ()
    """Empty: the selected snapshot only."""

    @model_validator(mode="after")
    def _axes_are_sets(self) -> GridSpec:
        for name in ("n_patients", "variants", "gan_epochs"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or (not values and name != "gan_epochs"):
                raise ValueError(f"{name} needs one or more different values")
        return self


class ComputeSpec(Spec):
    """Threads per step. They change floating-point sums, so they are part of the identity."""

    n_threads: PositiveInt = 1
    """Threads of one step."""


class StudySpec(Spec):
    """A whole experiment file."""

    circumstance: ClassVar[frozenset[str]] = frozenset(
        {"name", "description", "plugins", "grid", "variants", "keep_snapshots", "analysis"}
    )
    name: str
    """The name of the experiment, and of its run folder."""
    description: str = ""
    """What the experiment is for."""
    plugins: tuple[str, ...] = ()
    """Installed plugins that this experiment uses: names of entry points in `lussweep.plugins`, or
    of modules. The version of a plugin enters the keys of the steps that use it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 2023  # what a column of a table can hold
    """The seed of every random draw."""
    data: DataSpec = DataSpec()
    cohort: CohortSpec = CohortSpec()
    val: ValSpec = ValSpec()
    gan: GeneratorOfKind = GanSpec()
    score: ScoreSpec = ScoreSpec()
    select: SelectSpec = SelectSpec()
    synth: SynthSpec = SynthSpec()
    memorisation: MemorisationSpec = MemorisationSpec()
    classifier: ClassifierSpec = ClassifierSpec()
    search: SearchOfKind = VggSearchSpec()
    detector: DetectorSpec = DetectorSpec()
    analysis: AnalysisSpec = AnalysisSpec()
    variants: dict[str, Recipe] = BUILT_IN
    """Recipes by name, beside those that are built in."""
    grid: GridSpec = GridSpec()
    compute: ComputeSpec = ComputeSpec()
    keep_snapshots: Literal["selected", "all"] = "selected"
    """Snapshots that stay on disk after scoring. `selected` keeps the epochs that were sampled and
    those in grid.gan_epochs. Keep `all` to be able to use others later. Changes no result."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """Fill in what a file leaves out.

        Variants of the file are added to those that are built in. A value of the detector replaces
        the same value of the cells.
        """
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if isinstance(value.get("variants"), dict):
            augment = _augment_of(value.get("classifier"))
            variants = {
                name: _over_base(recipe, value.get("gan"), augment, value.get("val"))
                for name, recipe in value["variants"].items()
            }
            value["variants"] = {**BUILT_IN, **variants}
        kind, search = kind_of(value.get("classifier")), value.get("search", {})
        value["search"] = OfKind(kind, search)
        detector = value.get("detector")
        if isinstance(detector, DetectorSpec):
            detector = {name: getattr(detector, name) for name in detector.model_fields_set}
        if isinstance(detector, dict):
            value["detector"] = _detector(detector, value.get("classifier"), kind, search)
        return value

    @model_validator(mode="after")
    def _axes_exist(self) -> StudySpec:
        axes = (self.grid.n_patients, self.grid.variants, self.grid.gan_epochs)
        n_cells = self.grid.replicates * math.prod(max(1, len(axis)) for axis in axes)
        if n_cells > MAX_CELLS:
            raise ValueError(f"grid has {n_cells} cells, over {MAX_CELLS}: give fewer")
        for variant in self.grid.variants:
            if variant not in self.variants:
                raise ValueError(
                    f"grid.variants names {variant!r}{nearest(variant, self.variants)}"
                )
        if self.variants["baseline"].labels != "true":
            raise ValueError(
                "variants.baseline has shuffled labels, but others are compared with it: give the "
                "shuffled variant another name"
            )
        made = sorted({*self.variants["baseline"].pos, *self.variants["baseline"].neg} - {"real"})
        if made:
            raise ValueError(
                f"variants.baseline has {' and '.join(made)} frames, but worth in real patients is "
                "measured against it: give that variant another name"
            )
        detector = self.detector_search()
        if detector.gpus_per_trial != self.search.gpus_per_trial:
            raise ValueError(
                "detector.search.gpus_per_trial differs: set search.gpus_per_trial for both"
            )
        for classifier, search, name in (
            (self.classifier, self.search, "search"),
            (self.detector_classifier(), detector, "detector.search"),
        ):
            if search.pruner == "asha" and search.min_epochs >= classifier.n_epochs:
                raise ValueError(
                    f"{name}.min_epochs is {search.min_epochs}, so asha would end no trial of "
                    f"{classifier.n_epochs} epochs: lower it"
                )
        for name, recipe in self.variants.items():
            for field in sorted(GeneratorSpec.circumstance) if recipe.gan else ():
                if getattr(recipe.gan, field) != getattr(self.gan, field):
                    raise ValueError(
                        f"variants.{name}.gan.{field} differs: set gan.{field} for all variants"
                    )
        sections: dict[str, ExternalSpec] = {}
        for recipe in self.variants.values():
            if recipe.external and sections.setdefault(recipe.external.name, recipe.external) != (
                recipe.external
            ):
                raise ValueError(
                    f"two variants have different external images of the name "
                    f"{recipe.external.name}: give each external section a name of its own"
                )
        wanted = set(self.grid.gan_epochs) | ({self.select.epoch} - {None})
        for gan in (
            self.gan,
            *(self.variants[name].gan or self.gan for name in self.grid.variants),
        ):
            epochs = gan.snapshot_epochs()
            for epoch in sorted(e for e in wanted if e is not None):
                if epoch not in epochs:
                    raise ValueError(
                        f"epoch {epoch} is asked for, but snapshots exist only for {list(epochs)}: "
                        "name one of these, or change gan.snapshot_every"
                    )
        return self

    def classifier_of(self, recipe: Recipe) -> ClassifierSpec:
        """The classifier of a variant, with the variant's own augmentation if it has one."""
        changes = {"augment": recipe.augment} if recipe.augment else {}
        return self.classifier.model_copy(update=changes)

    def val_of(self, recipe: Recipe) -> ValSpec:
        """The variant's own validation, else the study's."""
        return recipe.val or self.val

    def gan_of(self, recipe: Recipe) -> GeneratorSpec:
        """The variant's own generator, else the study's."""
        return recipe.gan or self.gan

    def generator_name(self, recipe: Recipe, label: str) -> str | None:
        """The name in tables of what made a class's frames; None if nothing did.

        It is the source itself, `simulated` or `copies`, where no generator made them.
        """
        if recipe.generator(label) == "synthetic":
            return self.gan_label(recipe)
        if recipe.generator(label) and recipe.external:
            return recipe.external.name
        return recipe.known_source(label)

    def gan_label(self, recipe: Recipe) -> str:
        """The name in tables of the recipe's GAN: `base`, or its differences from the study's."""
        if recipe.gan is None:
            return "base"
        base, gan = self.gan, recipe.gan
        # A field of another kind is compared with its default, even if the base has its name.
        shared = type(gan).model_fields if gan.kind == base.kind else GeneratorSpec.model_fields
        differ = [
            f"{name}={_short(key_value(getattr(gan, name)))}"
            for name, field in type(gan).model_fields.items()
            if name not in GeneratorSpec.circumstance
            and getattr(gan, name)
            != (
                getattr(base, name)
                if name in shared
                else field.get_default(call_default_factory=True)
            )
        ]
        return ", ".join(differ) or "base"

    def detector_classifier(self) -> ClassifierSpec:
        """The detector's training, else that of the cells."""
        return self.detector.classifier or self.classifier

    def detector_search(self) -> SearchSpec:
        """The detector's search, else that of the cells."""
        return self.detector.search or self.search

    def with_embedders(self, weights_at_hand: bool) -> StudySpec:
        """The study with `embedders: auto` replaced by the names of embedders."""
        if self.score.embedders != "auto":
            return self
        named = (IMAGENET, DETECTOR) if weights_at_hand else (DETECTOR,)
        return self.model_copy(update={"score": self.score.model_copy(update={"embedders": named})})

    def identity(self) -> dict[str, Any]:
        """The fields that make two runs the same run. Axes, names and housekeeping are left out."""
        return self.key_fields()


def _over_base(recipe: Any, gan: Any, augment: Any, val: Any) -> Any:
    """Complete a variant's own sections by the values of the study's."""
    if not isinstance(recipe, dict):
        return recipe
    completed = {}
    if isinstance(recipe.get("gan"), dict):
        base = gan if isinstance(gan, dict) else {}
        if recipe["gan"].get("kind", generator_kind(base)) != generator_kind(base):
            base = {n: v for n, v in base.items() if n in GeneratorSpec.model_fields}
        completed["gan"] = {**base, **recipe["gan"]}
    for name, base in (("augment", augment), ("val", val)):
        if isinstance(recipe.get(name), dict):
            completed[name] = {**(base if isinstance(base, dict) else {}), **recipe[name]}
    return {**recipe, **completed}


def _detector(
    detector: Mapping[str, Any], classifier: Any, kind: Any, search: Any
) -> dict[str, Any]:
    """Complete the detector's own sections by those of the cells, whose kind is `kind`."""
    completed, detector_kind = dict(detector), kind
    if completed.get("classifier") is not None:
        completed["classifier"] = _over(classifier, completed["classifier"])
        detector_kind = kind_of(completed["classifier"])
    if detector_kind != kind:
        # The search of another kind has other hyperparameters, so only shared fields are taken.
        completed["search"] = {} if completed.get("search") is None else completed["search"]
        if isinstance(search, dict):
            search = {name: v for name, v in search.items() if name in SearchSpec.model_fields}
    if completed.get("search") is not None:
        completed["search"] = OfKind(detector_kind, _over(search, completed["search"]))
    return completed


def _over(base: Any, changes: Any) -> Any:
    """The section `base` with `changes`, or `changes` alone unless both are sections."""
    return {**base, **changes} if isinstance(base, dict) and isinstance(changes, dict) else changes


def _augment_of(classifier: Any) -> Any:
    augment = classifier.get("augment") if isinstance(classifier, dict) else None
    return augment if isinstance(augment, dict) or augment is None else AugmentSpec.named(augment)


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
