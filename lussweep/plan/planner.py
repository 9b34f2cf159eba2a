"""From a study to its plan: each step is added once, whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lussweep.errors import InputError
from lussweep.keys import derive_seed, hashed_id
from lussweep.plan.checks import (
    check_disjoint,
    check_external,
    grid_cells,
    only_problems,
    pool_problems,
    selection_problems,
    where,
)
from lussweep.plan.steps import (
    BOTH_CLASSES,
    SYNTHETIC_ROLES,
    Cell,
    ExternalImages,
    ExternalKey,
    Plan,
    Step,
)
from lussweep.spec import (
    SPLITS,
    ClassifierSpec,
    GanSpec,
    Manifest,
    Recipe,
    SearchSpec,
    SelectSpec,
    StudySpec,
    Video,
)
from lussweep.spec.base import Spec

INGEST_VERSION = 1
EXTERNAL_VERSION = 1
EVALUATE_VERSION = 2
SELECT_FIELDS = {
    "last": {"rule"},
    "epoch": {"rule", "epoch"},
    "best": {"rule", "metric", "embedder", "space", "allow_detector"},
}
"""What a rule depends on: the other fields stay out of the key."""


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
    check_disjoint(manifest)
    study = study.with_embedders(weights_digest is not None)
    problems = [
        *pool_problems(study, manifest),
        *selection_problems(study),
        *only_problems(study.grid, only or {}),
    ]
    if problems:
        raise InputError(problems)
    check_external(study, manifest, external or {}, only or {})
    return _Planner(study, manifest, phantom, weights_digest, external or {}).plan(only or {})


def make_data_plan(study: StudySpec, manifest: Manifest) -> Plan:
    """The steps that bring videos into a store: shards and one index a split."""
    planner = _Planner(study, manifest, False, None, {})
    for split in SPLITS:
        planner.ingest(split)
    return planner.result


class _ClassAt(NamedTuple):
    """One class of one cohort, and what tells its generator from the study's GAN."""

    label: str
    n_patients: int
    replicate: int
    cohort: str
    told: str | None

    def name(self) -> str:
        told = f" {self.told}" if self.told else ""
        return f"{self.label} {where(self.n_patients, self.replicate)}{told}"


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
        self.ids = {video.patient_id for video in manifest.videos}
        self.result = Plan()
        self.threads = {"n_threads": study.compute.n_threads}
        self.split_refs: dict[str, str] = {}
        self.classifiers = {name: study.classifier_of(r) for name, r in study.variants.items()}
        # What many cells share is worked out once: a grid of 10,000 asks for it 10,000 times.
        self.known_fields: dict[int, tuple[Spec, dict[str, Any]]] = {}
        self.known_sets: dict[tuple[Any, ...], dict[str, str]] = {}
        self.known_detector: str | None = None

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
        patients = self.manifest.patients(split).items()
        shards = {patient: self._shard(patient, videos) for patient, videos in patients}
        return self.result.add(
            Step("ingest", INGEST_VERSION, {"split": split}, shards, f"ingest {split}")
        )

    def _shard(self, patient: str, videos: Sequence[Video]) -> str:
        data = self.study.data
        told = [v.model_dump(mode="json", exclude={"path", "patient_id", "split"}) for v in videos]
        spec: dict[str, Any] = {"patient_id": patient, "videos": told}
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
            "cohort": self._fields(cohort),
            "n_patients": n_patients,
            "seed": derive_seed(self.study.seed, "cohort", *coordinates, replicate),
        }
        name = f"cohort {where(n_patients, replicate)}"
        train = self.split_refs["train"]
        return self.result.add(Step("cohort", cohort.version, spec, {"train": train}, name))

    def _gan(self, gan: GanSpec, at: _ClassAt) -> str:
        label = BOTH_CLASSES if gan.conditional else at.label
        spec = {
            "gan": self._fields(gan),
            **self.threads,
            "class": label,
            "seed": derive_seed(self.study.seed, "gan", label, at.n_patients, at.replicate),
        }
        name = f"GAN {at._replace(label=label).name()}"
        return self.result.add(Step("gan", gan.version, spec, self._drawn_from(at), name))

    def _external(self, images: ExternalImages, at: _ClassAt) -> str:
        """Images made elsewhere stand where a GAN would."""
        spec = {
            "class": at.label,
            "sha256": images.sha256,
            # By hash, so that a patient declared by id or by hash is the same work.
            "patients": sorted({hashed_id(p) if p in self.ids else p for p in images.patients}),
            "image_size": self.study.data.preprocess.image_size,
        }
        name = f"images {at.name()}"
        return self.result.add(Step("external", EXTERNAL_VERSION, spec, self._drawn_from(at), name))

    def _features(self, embedder: str, at: _ClassAt) -> str:
        """Real frames of a cohort's class as an embedder sees them, once for all generators."""
        score = self.study.score
        spec = {
            "embedder": embedder,
            "n_images": score.n_images,
            "batch_size": score.batch_size,
            **self._seeded("score", at),
            "weights": self.weights_digest if embedder == "imagenet" else None,
        }
        inputs = self._drawn_from(at)
        if embedder == "detector":
            inputs["detector"] = self._detector()
        name = f"features {at._replace(told='').name()} {embedder}"
        return self.result.add(Step("features", score.version, spec, inputs, name))

    def _score(self, generator: Mapping[str, str], at: _ClassAt) -> str:
        score = self.study.score
        spec = {
            "score": self._fields(score),
            **self._seeded("score", at),
            "weights": self.weights_digest if "imagenet" in score.embedders else None,
        }
        inputs = {**self._drawn_from(at), **generator, "detector": self._detector()}
        for embedder in score.embedders:
            inputs[f"real_{embedder}"] = self._features(embedder, at)
        return self.result.add(Step("score", score.version, spec, inputs, f"scores {at.name()}"))

    def _synth(
        self, generator: Mapping[str, str], score: str, epoch: int | None, at: _ClassAt
    ) -> str:
        synth = self.study.synth
        spec = {"synth": self._fields(synth), **self._seeded("synth", at)}
        inputs = {**self._drawn_from(at), **generator}
        if "gan" in generator:
            chosen = self.study.select if epoch is None else SelectSpec(rule="epoch", epoch=epoch)
            select = chosen.model_dump(mode="json", include=SELECT_FIELDS[chosen.rule])
            spec["select"] = select
            if select["rule"] == "best":
                inputs["score"] = score
        return self.result.add(Step("synth", synth.version, spec, inputs, f"synthetic {at.name()}"))

    def _memorisation(self, synth: str, at: _ClassAt) -> str:
        """A leaf: what it finds feeds nothing, because it may see holdout."""
        memorisation = self.study.memorisation
        spec = {"memorisation": self._fields(memorisation), **self._seeded("memorisation", at)}
        inputs = {
            **self._drawn_from(at),
            "synth": synth,
            "holdout": self.split_refs["holdout"],
        }
        name = f"memorisation {at.name()}"
        return self.result.add(Step("memorisation", memorisation.version, spec, inputs, name))

    def _drawn_from(self, at: _ClassAt) -> dict[str, str]:
        return {"train": self.split_refs["train"], "cohort": at.cohort}

    def _seeded(self, role: str, at: _ClassAt) -> dict[str, Any]:
        coordinates = (at.label, at.n_patients, at.replicate)
        seed = derive_seed(self.study.seed, role, *coordinates)
        return {**self.threads, "class": at.label, "seed": seed}

    def _search(
        self,
        role: str,
        coordinates: tuple[int, ...],
        recipe: Recipe,
        search: SearchSpec,
        classifier: ClassifierSpec,
        inputs: Mapping[str, str],
        place: str,
    ) -> str:
        seed = self.study.seed
        trials: dict[str, str] = {}
        shared = {
            "search_seed": derive_seed(seed, role, "search", *coordinates),
            "classifier": self._fields(classifier),
            "recipe": recipe.sources(),
            "val": self._fields(self.study.val),
            "val_seed": derive_seed(seed, "val"),
            **self.threads,
        }
        if recipe.labels == "shuffled":
            shared["labels_seed"] = derive_seed(seed, "labels", *coordinates)
        for trial in range(1, search.n + 1):
            spec: dict[str, Any] = {
                "trial": trial,
                # The list up to this trial: a longer search begins with the shorter one.
                "search": {**self._fields(search), "n_trials": trial},
                **shared,
                "seed": derive_seed(seed, role, "classifier", *coordinates, trial),
            }
            n_known = max(0, trial - search.n_concurrent) if search.learns else 0
            known = dict(list(trials.items())[:n_known])
            name = f"trial {trial} {place}"
            step = Step("trial", classifier.version, spec, {**inputs, **known}, name)
            trials[f"trial_{trial:03d}"] = self.result.add(step)
        chosen_by = {"select_by": search.select_by}
        return self.result.add(Step("search", search.version, chosen_by, trials, f"search {place}"))

    def _detector(self) -> str:
        if self.known_detector is None:
            self.known_detector = self._search_detector()
        return self.known_detector

    def _search_detector(self) -> str:
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

    def _generator(self, recipe: Recipe, at: _ClassAt) -> dict[str, str]:
        """The step that synthetic images of a class come from, by its role: gan or external."""
        if recipe.generator(at.label) == "synthetic":
            return {"gan": self._gan(self.study.gan_of(recipe), at)}
        assert recipe.external is not None
        images = self.external[recipe.external, at.n_patients, at.replicate, at.label]
        return {"external": self._external(images, at)}

    def _synthetic_set(
        self,
        recipe: Recipe,
        label: str,
        n_patients: int,
        replicate: int,
        epoch: int | None,
        cohort: str,
    ) -> dict[str, str]:
        """One class's synthetic frames with all that is said of them, by role."""
        gan = self.study.gan_of(recipe) if recipe.generator(label) == "synthetic" else None
        place = (id(gan or recipe.external), label, n_patients, replicate, epoch)
        if place not in self.known_sets:
            told = self.study.generator_name(recipe, label)
            at = _ClassAt(label, n_patients, replicate, cohort, "" if told == "base" else told)
            generator = self._generator(recipe, at)
            score = self._score(generator, at)
            synth = self._synth(generator, score, epoch, at)
            card = self._memorisation(synth, at)
            self.known_sets[place] = {
                **generator, "score": score, "synth": synth, "memorisation": card,
            }  # fmt: skip
        return self.known_sets[place]

    def _fields(self, spec: Spec) -> dict[str, Any]:
        """`spec.key_fields()`, one object for all steps that hold it."""
        if id(spec) not in self.known_fields:  # kept with its spec, so that no other gets its id
            self.known_fields[id(spec)] = (spec, spec.key_fields())
        return self.known_fields[id(spec)][1]

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
            found = self._synthetic_set(recipe, label, n_patients, replicate, epoch, cohort)
            refs |= {f"{role}_{label}": ref for role, ref in found.items()}
            inputs[SYNTHETIC_ROLES[label]] = found["synth"]
        place = f"{where(n_patients, replicate)} {variant}"
        refs["search"] = self._search(
            "cell",
            (n_patients, replicate),
            recipe,
            study.search,
            self.classifiers[variant],
            inputs,
            place,
        )
        spec = {
            **self.threads,
            "batch_size": study.classifier.eval_batch_size,
            "precision": study.classifier.precision,
        }
        judged = {"search": refs["search"], "holdout": self.split_refs["holdout"]}
        refs["evaluate"] = self.result.add(
            Step("evaluate", EVALUATE_VERSION, spec, judged, f"evaluate {place}")
        )
        return Cell(n_patients, replicate, variant, epoch, recipe, refs)
