"""What an experiment is: frozen, validated specs, read from YAML and written back to it.

A field here changes results unless its docstring says that it does not. Everything that only
says where or how fast (paths, hosts, GPU counts) is left to the command line.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lussweep.errors import InputError

SPLITS = ("train", "val", "holdout")
CLASSES = ("neg", "pos")
SourceName = Literal["real", "synthetic", "external", "noise"]
GENERATED = ("synthetic", "external")
"""Sources that a generator stands behind: our GAN, or somebody else's."""
SplitName = Literal["train", "val", "holdout"]
ImageSize = Literal[64, 128, 256]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Spec(BaseModel):
    """Base of every spec: immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    circumstance: ClassVar[frozenset[str]] = frozenset()
    """Fields that change no result: they enter no key."""

    def key_fields(self) -> dict[str, Any]:
        """Everything that results depend on, nested specs included, as plain values."""
        names = [name for name in type(self).model_fields if name not in self.circumstance]
        return {name: _key_value(getattr(self, name)) for name in names}


def _key_value(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.key_fields()
    if isinstance(value, dict):
        return {name: _key_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_key_value(item) for item in value]
    return value


# --- data ---------------------------------------------------------------------------------


class Video(Spec):
    """One cine loop of one patient. `path` is circumstance: it never enters a key."""

    patient_id: str
    video_id: str
    label: Literal[0, 1]
    split: SplitName
    sha256: str
    path: str | None = None
    annotated_frames: tuple[NonNegativeInt, ...] | None = None
    """Frames marked positive by an annotator; None where the video has no annotation."""


class Manifest(Spec):
    """Every video of a study, each patient in exactly one split."""

    videos: tuple[Video, ...]

    def patients(self, split: str) -> dict[str, list[Video]]:
        """Patient id to videos, both in sorted order."""
        found: dict[str, list[Video]] = {}
        for video in sorted(self.videos, key=lambda v: (v.patient_id, v.video_id)):
            if video.split == split:
                found.setdefault(video.patient_id, []).append(video)
        return found


class PhantomSpec(Spec):
    """The built-in simulator of convex-probe lung ultrasound. Patient counts are per class."""

    version: ClassVar[int] = 1
    train_patients: PositiveInt = 120
    val_patients: PositiveInt = 24
    holdout_patients: PositiveInt = 60
    videos_per_patient: PositiveInt = 2
    frames_per_video: PositiveInt = 4


class SplitSpec(Spec):
    """Shares of patients, stratified by patient class; a manifest's own splits win."""

    val: Annotated[float, Field(gt=0, lt=1)] = 0.2
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.3


class PreprocessSpec(Spec):
    """From a raw video to square grayscale frames. Boxes are (x0, y0, x1, y1) in pixels."""

    version: ClassVar[int] = 1
    image_size: ImageSize = 256
    crop: Literal["auto", "none"] | tuple[int, int, int, int] = "auto"
    """`auto`: the smallest box around the sector of each video."""
    mask_boxes: tuple[tuple[int, int, int, int], ...] = ()
    """Blanked before the crop: burnt-in text at fixed places."""
    mask_outside_sector: bool = True
    """Blank what never changes brightness outside the sector of the video."""
    frame_stride: PositiveInt = 1
    """Keep every k-th frame of a video."""


class DataSpec(Spec):
    """Where frames come from: the phantom, unless `--data` names a manifest or a store."""

    phantom: PhantomSpec | None = PhantomSpec()
    """null: an experiment that means nothing without `--data`."""
    preprocess: PreprocessSpec = PreprocessSpec()
    split: SplitSpec = SplitSpec()
    label: str = "label"
    """The manifest's label column."""


class CohortSpec(Spec):
    """Which patients a cell draws: n positive plus n negative patients of the train split."""

    version: ClassVar[int] = 1
    sampling: Literal["independent", "nested"] = "independent"
    negatives_from: Literal["negative_patients", "all"] = "negative_patients"


class ValSpec(Spec):
    """What validation sees in every cell. None means all."""

    frames_per_video: PositiveInt | None = None
    n_patients: PositiveInt | None = None
    """Patients per class."""


# --- generation ---------------------------------------------------------------------------


class RetrySpec(Spec):
    """Train again from other seeds, at most so many times."""

    seeds: PositiveInt = 2


class RetryPolicy(Spec):
    retry: RetrySpec = RetrySpec()


class HealthSpec(Spec):
    """When a GAN counts as collapsed, and what follows.

    Losses that are not finite end a training under every policy: `warn` and `stop` then fail the
    step with its reason, `retry` begins again from another seed, and fails when none is left.
    """

    policy: Literal["warn", "stop"] | RetryPolicy = "warn"
    patience: PositiveInt = 3
    """Epochs in a row before a signal becomes an event."""
    gradient_floor: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """The discriminator has won where it is right about every image of an epoch while the
    generator's gradient norm is under this share of its first epoch's."""
    diversity_floor: Annotated[float, Field(ge=0)] = 0.1
    """Mean distance between two synthetic images over that between two real ones, in pixels."""

    def n_attempts(self) -> int:
        return 1 + self.policy.retry.seeds if isinstance(self.policy, RetryPolicy) else 1


Augmentation = Literal["brightness", "translation", "cutout"]


class GanSpec(Spec):
    """The DCGAN of the paper; defaults are the paper's."""

    version: ClassVar[int] = 2
    circumstance: ClassVar[frozenset[str]] = frozenset(
        {"gpus", "checkpoint_minutes", "keep_checkpoints"}
    )
    n_epochs: PositiveInt = 100
    images_per_epoch: PositiveInt | None = None
    """None: every frame of the cohort's class once."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    latent_size: PositiveInt = 100
    ngf: PositiveInt = 64
    ndf: PositiveInt = 64
    lr_generator: PositiveFloat = 1e-5
    lr_discriminator: PositiveFloat = 5e-6
    beta1: Fraction = 0.5
    beta2: Fraction = 0.999
    dropout: Fraction = 0.25
    loss: Literal["bce", "hinge"] = "bce"
    spectral_norm: bool = False
    """On the discriminator's convolutions, in the place of its BatchNorm."""
    r1_gamma: NonNegativeFloat = 0.0
    """Weight of the penalty gamma / 2 x |gradient at real images|^2 (Mescheder et al. 2018)."""
    augment: tuple[Augmentation, ...] = ()
    """Differentiable augmentations of what the discriminator sees, real and synthetic alike
    (Zhao et al. 2020)."""
    ema_decay: Fraction = 0.0
    """Sample from an average of the generator's weights over steps; 0 samples the last weights."""
    conditional: bool = False
    """One GAN for both classes, told the label; None images_per_epoch are then both classes'."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: products in bfloat16, weights, BatchNorm statistics and losses in fp32."""
    health: HealthSpec = HealthSpec()
    snapshot_every: PositiveInt = 5
    n_workers: PositiveInt = 1
    """Data-parallel workers. Each normalises its own share of the batch, so it changes results."""
    sync_batchnorm: bool = False
    """Normalise over the batches of all workers together; PyTorch has this on GPUs alone."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """GPU that a worker takes, 0.5 to train two GANs on one; changes no result. None: a whole."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0
    """The most work that a killed training loses; changes no result."""
    keep_checkpoints: PositiveInt = 2
    """How many of a training's latest checkpoints stay while it runs; changes no result."""

    @model_validator(mode="after")
    def _batch_divides(self) -> GanSpec:
        if self.batch_size % self.n_workers:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of n_workers {self.n_workers}"
            )
        if len(set(self.augment)) != len(self.augment):
            raise ValueError("augment names an augmentation twice")
        return self

    def snapshot_epochs(self) -> tuple[int, ...]:
        """Epochs, counted from 1, after which a snapshot is kept; the last one always is."""
        every = range(self.snapshot_every, self.n_epochs + 1, self.snapshot_every)
        return tuple(sorted({*every, self.n_epochs}))

    def snapshot_bytes(self, image_size: int) -> int:
        """Size of one generator on disk: 4x4 convolutions between widths that halve, in fp32."""
        n_doublings = (image_size // 4).bit_length() - 1
        first = self.latent_size + (len(CLASSES) if self.conditional else 0)
        widths = [first, *(self.ngf << k for k in reversed(range(n_doublings))), 1]
        return 4 * 16 * sum(a * b for a, b in itertools.pairwise(widths))


class ScoreSpec(Spec):
    """How snapshots are scored: N synthetic frames against N real ones of the GAN's own cohort."""

    version: ClassVar[int] = 2
    n_images: Annotated[int, Field(ge=2)] = 2000
    """N, at most the cohort's frames. Keep it within the smallest cohort: kMMD depends on N."""
    embedders: Literal["auto"] | tuple[Literal["imagenet", "detector"], ...] = "auto"
    """auto: the detector, and ImageNet's ResNet-34 where `--weights` gives it."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 16
    n_neighbours: PositiveInt = 5
    """Of each real frame, for density and coverage."""
    n_permutations: PositiveInt = 200
    """Of the kernel two-sample test."""
    n_kid_subsets: Annotated[int, Field(ge=2)] = 100

    @model_validator(mode="after")
    def _some_embedder(self) -> ScoreSpec:
        if not self.embedders:
            raise ValueError("name at least one embedder, or auto")
        return self


class SelectSpec(Spec):
    """Which snapshot makes the synthetic frames. Exactly one rule."""

    rule: Literal["last", "epoch", "best"] = "last"
    epoch: PositiveInt | None = None
    metric: Literal["kmmd", "one_nn"] = "kmmd"
    embedder: Literal["imagenet", "detector"] = "imagenet"
    space: Literal["pixel", "conv", "logit", "softmax"] = "softmax"
    allow_detector: bool = False
    """The detector has seen every training patient; choosing by it needs this opt-in."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept `last`, `{epoch: N}` and `{best: kmmd, ...}`."""
        if isinstance(value, str):
            return {"rule": value}
        if isinstance(value, dict) and "rule" not in value:
            if "best" in value:
                rest = {k: v for k, v in value.items() if k != "best"}
                return {"rule": "best", "metric": value["best"], **rest}
            if "epoch" in value:
                return {"rule": "epoch", **value}
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> SelectSpec:
        if (self.rule == "epoch") != (self.epoch is not None):
            raise ValueError("give an epoch with the rule `epoch: N`, and only there")
        if self.rule == "best" and self.embedder == "detector" and not self.allow_detector:
            raise ValueError(
                "the detector has seen all training patients, so a snapshot chosen by it profits "
                "from patients outside its cell: set allow_detector: true to do it all the same"
            )
        return self


class SynthSpec(Spec):
    """How many synthetic frames a class, and how the generator is sampled."""

    version: ClassVar[int] = 1
    ratio: PositiveFloat | None = 1.0
    """Synthetic frames per real frame of the class."""
    n_images: PositiveInt | None = None
    """An absolute number a class; takes the place of `ratio`."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 32

    def n_frames(self, n_real: int) -> int:
        """Frames to make for a class with `n_real` real frames."""
        return self.n_images or max(1, round((self.ratio or 1.0) * n_real))


class ExternalSpec(Spec):
    """Images of another generator, in the place of our GAN's.

    Paths may hold {n_patients}, {replicate} and {class} (pos or neg), and count from the
    experiment file's folder.
    """

    images: str
    """A folder of images, or a Parquet file."""
    patients: str
    """A table with a column patient_id, or a text file: everybody whose frames it saw."""


class ReleaseGateSpec(Spec):
    """What a memorisation card must show before its frames may leave; null asks nothing."""

    max_copy_share: Fraction | None = 0.05
    max_nearer_train_share: Annotated[float, Field(ge=0, le=1)] | None = 0.75
    min_authenticity: Annotated[float, Field(ge=0, le=1)] | None = None

    def failures(self, card: Mapping[str, Any]) -> list[str]:
        """What the card fails, in words; a number that it lacks counts as failed."""
        limits = {
            "copy_share": (self.max_copy_share, "at most", lambda value, limit: value <= limit),
            "nearer_train_share": (
                self.max_nearer_train_share, "at most", lambda value, limit: value <= limit,
            ),
            "authenticity": (
                self.min_authenticity, "at least", lambda value, limit: value >= limit,
            ),
        }  # fmt: skip
        found = []
        for name, (limit, words, passes) in limits.items():
            value = card.get(name)
            if limit is None or (value is not None and passes(value, limit)):
                continue
            shown = "unknown" if value is None else f"{value:.3g}"
            found.append(f"{name} is {shown}, allowed is {words} {limit:g}")
        return found


class MemorisationSpec(Spec):
    """How far synthetic frames stay from the frames that their generator saw."""

    version: ClassVar[int] = 1
    circumstance: ClassVar[frozenset[str]] = frozenset({"release_gate"})
    n_images: Annotated[int, Field(ge=2)] = 2000
    """The most synthetic frames that are looked at; of training and holdout frames, all are."""
    side: PositiveInt = 64
    """Frames are shrunk to so many pixels a side before their pixels are compared."""
    copy_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Frames nearer to a training frame than this share of frames of different patients are to
    each other count as copies of it."""
    release_gate: ReleaseGateSpec | None = ReleaseGateSpec()
    """What `export-synthetic` demands; null lets everything out. Changes no result."""


# --- classification -----------------------------------------------------------------------


class AugmentSpec(Spec):
    """Each operation is on with `probability`, in an order drawn for each image."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    gammas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.7, 0.8, 0.9, 1.1, 1.2, 1.3,
    )  # fmt: skip
    blur_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (2, 3, 4, 5)
    noise_levels: Annotated[int, Field(ge=0, le=255)] = 10
    """Grey levels added to the noisy pixels, clamped at 255."""
    noise_share: Annotated[float, Field(ge=0, le=1)] = 0.05


class ClassifierSpec(Spec):
    """Training of one reduced VGG; defaults are the paper's but for early stopping."""

    version: ClassVar[int] = 1
    n_epochs: PositiveInt = 100
    images_per_epoch: Literal["parity", "equal"] | PositiveInt = "parity"
    """parity: twice the larger class; equal: twice the cohort's F; or a number of images."""
    batch_size: PositiveInt = 8
    patience: PositiveInt = 3
    """Epochs without improvement before training stops."""
    early_stopping: Literal["val_loss", "train_loss"] = "val_loss"
    augment: AugmentSpec = AugmentSpec()
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of a new batch in the running statistics: Keras's 0.99 seen from the other side."""
    eval_batch_size: PositiveInt = 64


class SearchSpec(Spec):
    """Random search without replacement over a finite space."""

    version: ClassVar[int] = 1
    n_trials: PositiveInt = 12
    learning_rates: tuple[PositiveFloat, ...] = (0.005, 0.003, 0.001, 0.0005, 0.00005)
    channels: tuple[PositiveInt, ...] = (3, 5, 8)
    dropouts: tuple[Fraction, ...] = (0.25, 0.35, 0.45)

    @model_validator(mode="after")
    def _enough_combinations(self) -> SearchSpec:
        for name in ("learning_rates", "channels", "dropouts"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} needs one or more different values")
        n = len(self.learning_rates) * len(self.channels) * len(self.dropouts)
        if self.n_trials > n:
            raise ValueError(f"n_trials is {self.n_trials}, the space has {n} combinations")
        return self


class DetectorSpec(Spec):
    """Budgets of the detector, where they differ from the cells' own."""

    classifier: ClassifierSpec | None = None
    search: SearchSpec | None = None


class EvaluateSpec(Spec):
    """AUC-ROC on holdout with a patient-clustered percentile bootstrap."""

    version: ClassVar[int] = 1
    n_resamples: PositiveInt = 2000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95


class Recipe(Spec):
    """Sources of the training frames of each class; a source named twice is used twice."""

    pos: tuple[SourceName, ...]
    neg: tuple[SourceName, ...]
    gan: GanSpec | None = None
    """In an experiment: the values that differ from the study's `gan`. None: none does."""
    external: ExternalSpec | None = None
    """Where the source `external` comes from."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Recipe:
        if not self.pos or not self.neg:
            raise ValueError("a variant needs at least one source for pos and one for neg")
        named = {*self.pos, *self.neg}
        if ("external" in named) != (self.external is not None):
            raise ValueError("the source external and the section external belong together")
        both = all(self.generator(label) == "external" for label in CLASSES)
        if both and self.external and "{class}" not in self.external.images:
            raise ValueError("external.images needs {class} where both classes take from it")
        if self.gan is not None and "synthetic" not in named:
            raise ValueError("gan is set, but no class has the source synthetic")
        for label in CLASSES:
            if set(GENERATED) <= set(getattr(self, label)):
                raise ValueError(f"{label} has two generators, synthetic and external: use one")
        return self

    def sources(self) -> dict[str, list[str]]:
        """Of both classes, as plain values."""
        return {label: list(getattr(self, label)) for label in CLASSES}

    def generator(self, label: str) -> str | None:
        """The generated source of a class, synthetic or external."""
        return next((name for name in getattr(self, label) if name in GENERATED), None)

    def generated_classes(self) -> tuple[str, ...]:
        """The classes for which this recipe needs a generator."""
        return tuple(label for label in CLASSES if self.generator(label))


PAPER_VARIANTS = {
    "baseline": Recipe(pos=("real",), neg=("real",)),
    "combined": Recipe(pos=("real", "synthetic"), neg=("real",)),
    "positive_synthetic": Recipe(pos=("synthetic",), neg=("real",)),
    "pure_synthetic": Recipe(pos=("synthetic",), neg=("synthetic",)),
}


class GridSpec(Spec):
    """The axes. They are not part of a run's identity: widening one extends the run."""

    n_patients: tuple[PositiveInt, ...] = (6, 15, 29, 44, 58)
    replicates: PositiveInt = 3
    variants: tuple[str, ...] = tuple(PAPER_VARIANTS)
    gan_epochs: tuple[PositiveInt, ...] = ()
    """Empty: the selected snapshot alone."""

    @model_validator(mode="after")
    def _axes_are_sets(self) -> GridSpec:
        for name in ("n_patients", "variants", "gan_epochs"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or (not values and name != "gan_epochs"):
                raise ValueError(f"{name} needs one or more different values")
        return self


class ComputeSpec(Spec):
    """Threads change float sums, so they are part of the identity."""

    n_threads: PositiveInt = 1


class StudySpec(Spec):
    """A whole experiment file."""

    circumstance: ClassVar[frozenset[str]] = frozenset(
        {"name", "description", "grid", "variants", "keep_snapshots"}
    )
    name: str
    description: str = ""
    seed: NonNegativeInt = 2023
    data: DataSpec = DataSpec()
    cohort: CohortSpec = CohortSpec()
    val: ValSpec = ValSpec()
    gan: GanSpec = GanSpec()
    score: ScoreSpec = ScoreSpec()
    select: SelectSpec = SelectSpec()
    synth: SynthSpec = SynthSpec()
    memorisation: MemorisationSpec = MemorisationSpec()
    classifier: ClassifierSpec = ClassifierSpec()
    search: SearchSpec = SearchSpec()
    detector: DetectorSpec = DetectorSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    variants: dict[str, Recipe] = PAPER_VARIANTS
    grid: GridSpec = GridSpec()
    compute: ComputeSpec = ComputeSpec()
    keep_snapshots: Literal["selected", "all"] = "selected"
    """What stays on disk after scoring; changes no result. `selected` keeps the epochs that were
    sampled and those in grid.gan_epochs: to ask for others later, keep all."""

    @model_validator(mode="before")
    @classmethod
    def _own_values_over_given_ones(cls, value: Any) -> Any:
        """Variants add to the paper's; the detector's values replace single ones of the cells'."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if isinstance(value.get("variants"), dict):
            own = {n: _over_gan(r, value.get("gan")) for n, r in value["variants"].items()}
            value["variants"] = {**PAPER_VARIANTS, **own}
        if isinstance(value.get("detector"), dict):
            value["detector"] = {
                name: {**value[name], **own}
                if isinstance(own, dict) and isinstance(value.get(name), dict)
                else own
                for name, own in value["detector"].items()
            }
        return value

    @model_validator(mode="after")
    def _axes_exist(self) -> StudySpec:
        for variant in self.grid.variants:
            if variant not in self.variants:
                raise ValueError(
                    f"grid.variants names {variant!r}{nearest(variant, self.variants)}"
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
                        f"epoch {epoch} is asked for, but snapshots exist only for {list(epochs)}"
                    )
        return self

    def gan_of(self, recipe: Recipe) -> GanSpec:
        return recipe.gan or self.gan

    def gan_label(self, recipe: Recipe) -> str:
        """How tables name the recipe's GAN: `base`, or what differs from the study's."""
        base, own = self.gan.key_fields(), self.gan_of(recipe).key_fields()
        differ = [f"{name}={_short(own[name])}" for name in own if own[name] != base[name]]
        return ", ".join(differ) or "base"

    def detector_classifier(self) -> ClassifierSpec:
        return self.detector.classifier or self.classifier

    def detector_search(self) -> SearchSpec:
        return self.detector.search or self.search

    def with_embedders(self, weights_at_hand: bool) -> StudySpec:
        """The study with `embedders: auto` put into words."""
        if self.score.embedders != "auto":
            return self
        named = ("imagenet", "detector") if weights_at_hand else ("detector",)
        return self.model_copy(update={"score": self.score.model_copy(update={"embedders": named})})

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same run: everything but the axes, names and housekeeping."""
        return self.key_fields()


def _over_gan(recipe: Any, base: Any) -> Any:
    """A variant's GAN as the study's with single values changed."""
    if not isinstance(recipe, dict) or not isinstance(recipe.get("gan"), dict):
        return recipe
    return {**recipe, "gan": {**(base if isinstance(base, dict) else {}), **recipe["gan"]}}


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


S = TypeVar("S", bound=Spec)

# --- YAML ---------------------------------------------------------------------------------


def load_study(text: str, *, overrides: Iterable[str] = (), where: str = "experiment") -> StudySpec:
    """A StudySpec from YAML text, with `section.key=value` overrides applied on top.

    Raises InputError that names every unknown key (and the nearest right one) and every bad
    value.
    """
    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{where} must be a mapping of keys to values")
    for override in overrides:
        _apply_override(raw, override)
    return parse(StudySpec, raw, where)


def parse(kind: type[S], raw: Any, where: str) -> S:
    """Validate `raw`, turning every pydantic error into one clear line of an InputError."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise InputError([_explain(kind, e, where) for e in error.errors()]) from None


def dump_study(study: StudySpec) -> str:
    """The resolved experiment as YAML that `load_study` reads back to an equal spec."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _apply_override(raw: dict[str, Any], override: str) -> None:
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise InputError(f"--set {override!r} is not of the form section.key=value")
    *parents, leaf = name.strip().split(".")
    node = raw
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise InputError(f"--set {override!r}: {parent} is a value, not a section")
    try:
        node[leaf] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--set {override!r}: the value is not valid YAML") from None


def _explain(kind: type[Spec], error: Any, where: str) -> str:
    path = [str(part) for part in error["loc"] if not _is_union_tag(str(part))]
    name = ".".join(path) or where
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key {name}{nearest(path[-1], _keys_beside(kind, path))}"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (got {given!r})" if isinstance(given, (str, int, float, bool)) else ""
    return ": ".join((*([where] if path else []), name, f"{message}{shown}"))


def _is_union_tag(part: str) -> bool:
    return "[" in part or part in ("int", "constrained-int")


def _keys_beside(kind: type[Spec], path: list[str]) -> list[str]:
    node: Any = kind
    for part in path[:-1]:
        if not _is_spec(node):
            return []
        if part not in node.model_fields:
            continue  # a key or an index of the dict or tuple of specs that was found last
        annotation = node.model_fields[part].annotation
        node = next((c for c in (annotation, *_args(annotation)) if _is_spec(c)), None)
    return list(node.model_fields) if _is_spec(node) else []


def _args(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Spec)


def nearest(word: str, known: Iterable[str]) -> str:
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f": did you mean {close[0]}?"
    return f": known are {', '.join(options)}" if options else ""
