"""From a StudySpec to a Plan: every step, its key and the cells. Pure; reads no file.

A step's key is a digest of what determines its result: stage, version, spec and the keys of its
inputs by role. Two cells that need the same thing therefore share the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from lussweep.errors import InputError, LeakageError
from lussweep.keys import derive_seed, digest, hashed_id
from lussweep.spec import (
    CLASSES,
    SPLITS,
    ClassifierSpec,
    ExternalSpec,
    GanSpec,
    GridSpec,
    Manifest,
    Recipe,
    SearchSpec,
    SelectSpec,
    StudySpec,
    nearest,
)

STAGES = (
    "shard", "ingest", "cohort", "external", "gan", "trial", "search", "features", "score",
    "synth", "memorisation", "evaluate",
)  # fmt: skip
"""In the order of the data; the order in which a summary lists them."""

INGEST_VERSION = 1
EXTERNAL_VERSION = 1
BOTH_CLASSES = "both"
"""The class of a conditional GAN."""
SELECT_FIELDS = {
    "last": {"rule"},
    "epoch": {"rule", "epoch"},
    "best": {"rule", "metric", "embedder", "space", "allow_detector"},
}
"""What a rule depends on: the other fields stay out of the key."""
SYNTHETIC_ROLES = {label: f"synth_{label}" for label in CLASSES}


@dataclass(frozen=True)
class Step:
    """One unit of work with one artifact. `name` is for people and enters no key."""

    stage: str
    version: int
    spec: dict[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    @cached_property
    def key(self) -> str:
        """16 hex digits over stage, version, canonical spec and input keys by role."""
        inputs = {role: ref.partition("/")[2] for role, ref in self.inputs.items()}
        return digest(
            {"stage": self.stage, "version": self.version, "spec": self.spec, "inputs": inputs}
        )

    @cached_property
    def ref(self) -> str:
        """Where the artifact lies in a store: `stage/key`."""
        return f"{self.stage}/{self.key}"


class ExternalImages(Protocol):
    """What the plan needs to know of images that were made elsewhere."""

    @property
    def sha256(self) -> str: ...

    @property
    def n_images(self) -> int: ...

    @property
    def patients(self) -> tuple[str, ...]:
        """Everybody whose frames their generator saw, by id or by its hash."""
        ...


ExternalKey = tuple[ExternalSpec, int, int, str]
"""Where external images stand in a grid: their section, n_patients, replicate, class."""


@dataclass(frozen=True)
class Cell:
    """What the user asks for: one classifier, judged on holdout. `refs` are its steps by role."""

    n_patients: int
    replicate: int
    variant: str
    gan_epoch: int | None
    recipe: Recipe
    refs: Mapping[str, str]

    def name(self) -> str:
        epoch = f" epoch={self.gan_epoch}" if self.gan_epoch else ""
        return f"n={self.n_patients} r={self.replicate} {self.variant}{epoch}"


@dataclass
class Plan:
    """Steps by ref, inputs always before the steps that use them, and the cells."""

    steps: dict[str, Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def add(self, step: Step) -> str:
        for role, ref in step.inputs.items():
            assert ref in self.steps, f"{step.name}: input {role} ({ref}) is not planned yet"
        self.steps.setdefault(step.ref, step)
        return step.ref

    def ancestors(self, ref: str) -> set[str]:
        """Refs of every step that `ref` depends on, itself left out."""
        found: set[str] = set()
        waiting = [ref]
        while waiting:
            for parent in self.steps[waiting.pop()].inputs.values():
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found

    def counts(self) -> Counter[str]:
        """Steps of each stage."""
        return Counter(step.stage for step in self.steps.values())

    def only(self, stages: Iterable[str]) -> Plan:
        """The steps of some stages, without cells."""
        wanted = set(stages)
        return Plan({ref: step for ref, step in self.steps.items() if step.stage in wanted})


def make_plan(
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    weights_digest: str | None = None,
    external: Mapping[ExternalKey, ExternalImages] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Every step and cell of a study on the given patients.

    `weights_digest` stands for the ImageNet weights, needed when `score.embedders` names
    them. `external` describes the images made elsewhere; a cell whose images it lacks is left
    out. `only` keeps the cells whose coordinates are listed. Raises InputError with every
    cohort that is larger than its pool, and for a selection that matches no cell; LeakageError
    for patients of more than one split.
    """
    _check_disjoint(manifest)
    study = study.with_embedders(weights_digest is not None)
    problems = [
        *_pool_problems(study, manifest),
        *_selection_problems(study),
        *_only_problems(study.grid, only or {}),
    ]
    if problems:
        raise InputError(problems)
    _check_external(study, manifest, external or {}, only or {})
    return _Planner(study, manifest, phantom, weights_digest, external or {}).plan(only or {})


def make_data_plan(study: StudySpec, manifest: Manifest) -> Plan:
    """The steps that bring videos into a store: shards and one index a split."""
    planner = _Planner(study, manifest, False, None, {})
    for split in SPLITS:
        planner.ingest(split)
    return planner.result


def _check_external(
    study: StudySpec,
    manifest: Manifest,
    external: Mapping[ExternalKey, ExternalImages],
    only: Mapping[str, Sequence[str]],
) -> None:
    """Generators that saw others than training patients; the cohort's step knows the cohort."""
    train = manifest.patients("train")
    allowed = {*train, *map(hashed_id, train)}
    elsewhere = {
        name: (patient, split)
        for split in SPLITS
        if split != "train"
        for patient in manifest.patients(split)
        for name in (patient, hashed_id(patient))
    }
    asked = {(n, replicate, variant) for n, replicate, variant, _ in grid_cells(study, only)}
    problems = {}
    for n, replicate, variant in sorted(asked):
        section = study.variants[variant].external
        for label in CLASSES:
            images = external.get((section, n, replicate, label)) if section else None
            for patient in sorted(set(images.patients) - allowed) if images else ():
                who, split = elsewhere.get(patient, (patient, "no"))
                problems[label, n, replicate, who] = (
                    f"external {label} {_where(n, replicate)}: its generator saw patient {who} of "
                    f"the {split} split: only training patients of the cell's cohort may be seen"
                )
    if problems:
        raise LeakageError(problems.values())


CLASS_WORDS = {"pos": "positive", "neg": "negative"}


def _check_disjoint(manifest: Manifest) -> None:
    splits: dict[str, set[str]] = {}
    for video in manifest.videos:
        splits.setdefault(video.patient_id, set()).add(video.split)
    problems = [
        f"patient {patient} is in the splits {' and '.join(sorted(found))}: a patient has one split"
        for patient, found in sorted(splits.items())
        if len(found) > 1
    ]
    if problems:
        raise LeakageError(problems)


def _pool_problems(study: StudySpec, manifest: Manifest) -> list[str]:
    """Every patient count that asks for more patients than there are."""
    pools = {
        split: Counter(
            CLASSES[max(v.label for v in videos)] for videos in manifest.patients(split).values()
        )
        for split in SPLITS
    }
    problems = [
        f"the {split} split has no {CLASS_WORDS[label]} patient: move some there"
        for split, pool in pools.items()
        for label in CLASSES
        if not pool[label]
    ]
    asked = [("train", "cohort", n, "grid.n_patients") for n in study.grid.n_patients]
    if study.val.n_patients is not None:
        asked.append(("val", "validation", study.val.n_patients, "val.n_patients"))
    problems += [
        f"{what} of {n} {CLASS_WORDS[label]} patients asked, {pools[split][label]} in the {split} "
        f"split: lower {name}"
        for split, what, n, name in asked
        for label in CLASSES
        if 0 < pools[split][label] < n
    ]
    return problems


def _selection_problems(study: StudySpec) -> list[str]:
    """Scores that the selection needs and nobody makes."""
    select, embedders = study.select, study.score.embedders
    if select.rule != "best" or select.space == "pixel" or select.embedder in embedders:
        return []
    return [
        f"select takes {select.metric} in {select.embedder} features, score.embedders has "
        f"{', '.join(embedders)}: add {select.embedder} there"
        + (" and give --weights FILE" if select.embedder == "imagenet" else "")
    ]


def _only_problems(grid: GridSpec, only: Mapping[str, Sequence[str]]) -> list[str]:
    """Axes and values of `--only` that the grid does not have."""
    axes: dict[str, Sequence[object]] = {
        "n_patients": grid.n_patients,
        "replicate": range(1, grid.replicates + 1),
        "variant": grid.variants,
        "gan_epoch": grid.gan_epochs,
    }
    problems = []
    for axis, wanted in only.items():
        if axis not in axes:
            problems.append(f"--only knows {', '.join(axes)}, not {axis}")
            continue
        known = [str(value) for value in axes[axis]]
        problems += [
            f"--only {axis}={value}: the grid has no such value{nearest(value, known)}"
            for value in wanted
            if value not in known
        ]
    return problems


class _Planner:
    """Adds steps in the order of the data; each method returns the ref of what it added."""

    def __init__(
        self,
        study: StudySpec,
        manifest: Manifest,
        phantom: bool,
        weights_digest: str | None,
        external: Mapping[ExternalKey, ExternalImages],
    ) -> None:
        self.study = study
        self.manifest = manifest
        self.phantom = phantom
        self.weights_digest = weights_digest
        self.external = external
        self.result = Plan()
        self.threads = {"n_threads": study.compute.n_threads}
        self.split_refs: dict[str, str] = {}

    def plan(self, only: Mapping[str, Sequence[str]]) -> Plan:
        kept = [
            (n, replicate, variant, epoch)
            for n, replicate, variant, epoch in grid_cells(self.study, only)
            if self._is_at_hand(n, replicate, self.study.variants[variant])
        ]
        if not kept:
            raise InputError(f"--only {dict(only)} matches no cell of the grid")
        for split in SPLITS:
            self.split_refs[split] = self.ingest(split)
        for n, replicate, variant, epoch in kept:
            self.result.cells.append(self._cell(n, replicate, variant, epoch))
        return self.result

    def _is_at_hand(self, n_patients: int, replicate: int, recipe: Recipe) -> bool:
        return all(
            (recipe.external, n_patients, replicate, label) in self.external
            for label in recipe.generated_classes()
            if recipe.generator(label) == "external"
        )

    def ingest(self, split: str) -> str:
        shards = {patient: self._shard(patient, split) for patient in self.manifest.patients(split)}
        return self.result.add(
            Step("ingest", INGEST_VERSION, {"split": split}, shards, f"ingest {split}")
        )

    def _shard(self, patient: str, split: str) -> str:
        data = self.study.data
        videos = [
            v.model_dump(mode="json", exclude={"path", "patient_id", "split"})
            for v in self.manifest.patients(split)[patient]
        ]
        spec: dict[str, Any] = {"patient_id": patient, "videos": videos}
        if self.phantom:
            assert data.phantom is not None, "no phantom in this experiment"
            version = data.phantom.version
            spec["phantom"] = {
                "n_frames": data.phantom.frames_per_video,
                "image_size": data.preprocess.image_size,
                "seed": self.study.seed,
            }
        else:
            version = data.preprocess.version
            spec["preprocess"] = data.preprocess.model_dump(mode="json")
        return self.result.add(Step("shard", version, spec, {}, f"frames of {patient}"))

    def _cohort(self, n_patients: int | None, replicate: int) -> str:
        """A draw of patients; None stands for every training patient, for the detector."""
        cohort = self.study.cohort
        nested = cohort.sampling == "nested"
        coordinates = [] if nested or n_patients is None else [n_patients]
        spec = {
            "cohort": cohort.key_fields(),
            "n_patients": n_patients,
            "seed": derive_seed(self.study.seed, "cohort", *coordinates, replicate),
        }
        name = f"cohort {_where(n_patients, replicate)}"
        train = self.split_refs["train"]
        return self.result.add(Step("cohort", cohort.version, spec, {"train": train}, name))

    def _gan(self, gan: GanSpec, label: str, n_patients: int, replicate: int, cohort: str) -> str:
        label = BOTH_CLASSES if gan.conditional else label
        spec = {
            "gan": gan.key_fields(),
            **self.threads,
            "class": label,
            "seed": derive_seed(self.study.seed, "gan", label, n_patients, replicate),
        }
        inputs = {"train": self.split_refs["train"], "cohort": cohort}
        changed = self.study.gan_label(Recipe(pos=("synthetic",), neg=("real",), gan=gan))
        told = "" if changed == "base" else f" {changed}"
        name = f"GAN {label} {_where(n_patients, replicate)}{told}"
        return self.result.add(Step("gan", gan.version, spec, inputs, name))

    def _external(
        self, images: ExternalImages, label: str, n_patients: int, replicate: int, cohort: str
    ) -> str:
        """Images made elsewhere stand where a GAN would."""
        spec = {
            "class": label,
            "sha256": images.sha256,
            "patients": list(images.patients),
            "image_size": self.study.data.preprocess.image_size,
        }
        inputs = {"train": self.split_refs["train"], "cohort": cohort}
        name = f"external {label} {_where(n_patients, replicate)}"
        return self.result.add(Step("external", EXTERNAL_VERSION, spec, inputs, name))

    def _features(
        self, embedder: str, label: str, n_patients: int, replicate: int, cohort: str
    ) -> str:
        """Real frames of a cohort's class as an embedder sees them, once for all generators."""
        score = self.study.score
        spec = {
            "embedder": embedder,
            "class": label,
            "n_images": score.n_images,
            "batch_size": score.batch_size,
            **self.threads,
            "seed": derive_seed(self.study.seed, "score", label, n_patients, replicate),
            "weights": self.weights_digest if embedder == "imagenet" else None,
        }
        inputs = {"train": self.split_refs["train"], "cohort": cohort}
        if embedder == "detector":
            inputs["detector"] = self._detector()
        name = f"features {label} {_where(n_patients, replicate)} {embedder}"
        return self.result.add(Step("features", score.version, spec, inputs, name))

    def _score(
        self, generator: Mapping[str, str], label: str, n_patients: int, replicate: int, cohort: str
    ) -> str:
        score = self.study.score
        spec = {
            "score": score.key_fields(),
            **self.threads,
            "class": label,
            "seed": derive_seed(self.study.seed, "score", label, n_patients, replicate),
            "weights": self.weights_digest if "imagenet" in score.embedders else None,
        }
        inputs = {
            "train": self.split_refs["train"],
            "cohort": cohort,
            **generator,
            "detector": self._detector(),
        }
        for embedder in score.embedders:
            ref = self._features(embedder, label, n_patients, replicate, cohort)
            inputs[f"real_{embedder}"] = ref
        name = f"scores {label} {_where(n_patients, replicate)}"
        return self.result.add(Step("score", score.version, spec, inputs, name))

    def _synth(
        self,
        generator: Mapping[str, str],
        label: str,
        n_patients: int,
        replicate: int,
        epoch: int | None,
        refs: Mapping[str, str],
    ) -> str:
        synth = self.study.synth
        spec = {
            "synth": synth.key_fields(),
            **self.threads,
            "class": label,
            "seed": derive_seed(self.study.seed, "synth", label, n_patients, replicate),
        }
        inputs = {"train": self.split_refs["train"], "cohort": refs["cohort"], **generator}
        if "gan" in generator:
            chosen = self.study.select if epoch is None else SelectSpec(rule="epoch", epoch=epoch)
            select = chosen.model_dump(mode="json", include=SELECT_FIELDS[chosen.rule])
            spec["select"] = select
            if select["rule"] == "best":
                inputs["score"] = refs["score"]
        name = f"synthetic {label} {_where(n_patients, replicate)}"
        return self.result.add(Step("synth", synth.version, spec, inputs, name))

    def _memorisation(
        self, label: str, n_patients: int, replicate: int, refs: Mapping[str, str]
    ) -> str:
        """A leaf: what it finds feeds nothing, because it may see holdout."""
        memorisation = self.study.memorisation
        spec = {
            "memorisation": memorisation.key_fields(),
            **self.threads,
            "class": label,
            "seed": derive_seed(self.study.seed, "memorisation", label, n_patients, replicate),
        }
        inputs = {
            "train": self.split_refs["train"],
            "cohort": refs["cohort"],
            "synth": refs["synth"],
            "holdout": self.split_refs["holdout"],
        }
        name = f"memorisation {label} {_where(n_patients, replicate)}"
        return self.result.add(Step("memorisation", memorisation.version, spec, inputs, name))

    def _search(
        self,
        role: str,
        coordinates: tuple[int, ...],
        recipe: Recipe,
        search: SearchSpec,
        classifier: ClassifierSpec,
        inputs: Mapping[str, str],
        where: str,
    ) -> str:
        seed = self.study.seed
        trials = {}
        for trial in range(1, search.n_trials + 1):
            spec = {
                "trial": trial,
                # The list up to this trial: a longer search begins with the shorter one.
                "search": {**search.key_fields(), "n_trials": trial},
                "search_seed": derive_seed(seed, role, "search", *coordinates),
                "classifier": classifier.key_fields(),
                "recipe": recipe.sources(),
                "val": self.study.val.key_fields(),
                "val_seed": derive_seed(seed, "val"),
                **self.threads,
                "seed": derive_seed(seed, role, "classifier", *coordinates, trial),
            }
            step = Step("trial", classifier.version, spec, inputs, f"trial {trial} {where}")
            trials[f"trial_{trial:03d}"] = self.result.add(step)
        return self.result.add(Step("search", search.version, {}, trials, f"search {where}"))

    def _detector(self) -> str:
        study = self.study
        return self._search(
            "detector",
            (),
            Recipe(pos=("real",), neg=("real",)),
            study.detector_search(),
            study.detector_classifier(),
            {
                "train": self.split_refs["train"],
                "val": self.split_refs["val"],
                "cohort": self._cohort(None, 1),
            },
            "detector",
        )

    def _generator(
        self, recipe: Recipe, label: str, n_patients: int, replicate: int, cohort: str
    ) -> dict[str, str]:
        """The step that synthetic images of a class come from, by its role: gan or external."""
        if recipe.generator(label) == "synthetic":
            gan = self.study.gan_of(recipe)
            return {"gan": self._gan(gan, label, n_patients, replicate, cohort)}
        assert recipe.external is not None
        images = self.external[recipe.external, n_patients, replicate, label]
        return {"external": self._external(images, label, n_patients, replicate, cohort)}

    def _cell(self, n_patients: int, replicate: int, variant: str, epoch: int | None) -> Cell:
        study, recipe = self.study, self.study.variants[variant]
        cohort = self._cohort(n_patients, replicate)
        refs = {"cohort": cohort}
        inputs = {
            "train": self.split_refs["train"],
            "val": self.split_refs["val"],
            "cohort": cohort,
        }
        for label in recipe.generated_classes():
            generator = self._generator(recipe, label, n_patients, replicate, cohort)
            score = self._score(generator, label, n_patients, replicate, cohort)
            made = {"cohort": cohort, "score": score}
            synth = self._synth(generator, label, n_patients, replicate, epoch, made)
            made["synth"] = synth
            card = self._memorisation(label, n_patients, replicate, made)
            found = {**generator, "score": score, "synth": synth, "memorisation": card}
            refs |= {f"{role}_{label}": ref for role, ref in found.items()}
            inputs[SYNTHETIC_ROLES[label]] = synth
        where = f"{_where(n_patients, replicate)} {variant}"
        refs["search"] = self._search(
            "cell",
            (n_patients, replicate),
            recipe,
            study.search,
            study.classifier,
            inputs,
            where,
        )
        spec = {
            "evaluate": study.evaluate.key_fields(),
            **self.threads,
            "batch_size": study.classifier.eval_batch_size,
            "seed": derive_seed(study.seed, "evaluate"),
        }
        judged = {"search": refs["search"], "holdout": self.split_refs["holdout"]}
        refs["evaluate"] = self.result.add(
            Step("evaluate", study.evaluate.version, spec, judged, f"evaluate {where}")
        )
        return Cell(n_patients, replicate, variant, epoch, recipe, refs)


def grid_cells(
    study: StudySpec, only: Mapping[str, Sequence[str]]
) -> list[tuple[int, int, str, int | None]]:
    """Coordinates (n_patients, replicate, variant, gan_epoch) of the grid that `only` keeps."""
    grid = study.grid

    def epochs(variant: str) -> tuple[int | None, ...]:
        recipe = study.variants[variant]
        has_gan = "synthetic" in map(recipe.generator, CLASSES)
        return grid.gan_epochs if has_gan and grid.gan_epochs else (None,)

    cells = [
        (n, replicate, variant, epoch)
        for n in grid.n_patients
        for replicate in range(1, grid.replicates + 1)
        for variant in grid.variants
        for epoch in epochs(variant)
    ]
    return [cell for cell in cells if _matches(cell, only)]


def _where(n_patients: int | None, replicate: int) -> str:
    return "all" if n_patients is None else f"n={n_patients} r={replicate}"


def _matches(cell: tuple[int, int, str, int | None], only: Mapping[str, Sequence[str]]) -> bool:
    values = dict(zip(("n_patients", "replicate", "variant", "gan_epoch"), cell, strict=True))
    return all(str(values.get(axis)) in wanted for axis, wanted in only.items())
