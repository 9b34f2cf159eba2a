"""Builds a plan, and holds what its steps have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lussweep.study.coordinates import Draw
from lussweep.study.keys import Section, derive_seed
from lussweep.study.plan.steps import ExternalKey, Plan, PlannedImages, Step, Workers
from lussweep.study.plugins import Plugin
from lussweep.study.spec import CLASSES, SPLITS, Manifest, StudySpec, Video
from lussweep.study.spec.base import Spec

INGEST_VERSION = 1
CPU_ONLY = Workers()
SHARES_A_GPU = Workers(gpus=0.25)
"""The workers of a short step, which trains neither a generator nor a classifier."""


def plugin_fields(*used: Plugin | None) -> dict[str, Any]:
    """The field `plugins` of a step's spec: the version of each plugin that computes the step.

    No field if lussweep's own code computes it. A plugin of another version therefore gives the
    step another key.
    """
    versions = {plugin.package: plugin.version for plugin in used if plugin is not None}
    return {"plugins": versions} if versions else {}


def _video_fields(video: Video) -> dict[str, Any]:
    """The fields of a video that its frames depend on. A crop of its own is there if it has one."""
    excluded = {"path", "patient_id", "split", "negative_frames", "device", "read_by"}
    excluded |= {name for name in ("crop", "mask_boxes") if not getattr(video, name)}
    return video.model_dump(mode="json", exclude=excluded)


class CohortClass(NamedTuple):
    """One class of one cohort, and the generator of its synthetic frames."""

    label: str
    draw: Draw
    cohort: str
    """The cohort's step."""
    generator: str | None
    """The generator's name if it is not the study's GAN; empty for that GAN."""

    def name(self) -> str:
        """The class and its draw in words, with the generator's name if it is set."""
        generator = f" {self.generator}" if self.generator else ""
        return f"{self.label} {self.draw}{generator}"


class PlanBuilder:
    """Builds a plan. Steps are added in the order of the data, each once.

    A method or function that adds a step returns its ref. What many cells share is computed once,
    because a grid of 10,000 cells needs it 10,000 times.
    """

    def __init__(
        self,
        study: StudySpec,
        manifest: Manifest,
        *,
        phantom: bool = False,
        weights_digest: str | None = None,
        external: Mapping[ExternalKey, PlannedImages] | None = None,
    ) -> None:
        self.study = study
        self.manifest = manifest
        self.phantom = phantom
        self.weights_digest = weights_digest
        self.external = external or {}
        self.ids = {video.patient_id for video in manifest.videos}
        train = manifest.patients("train").values()
        self.n_train_patients = Counter(CLASSES[max(v.label for v in videos)] for videos in train)
        """Patients of the train split by patient class."""
        self.plan = Plan()
        self.threads = {"n_threads": study.compute.n_threads}
        self.known_sections: dict[Any, tuple[Spec, Section]] = {}
        self.known_sets: dict[tuple[Any, ...], dict[str, str]] = {}
        self.known_detector: str | None = None
        self.splits = {split: self._ingest(split) for split in SPLITS}

    def add(
        self,
        stage: str,
        version: int,
        spec: dict[str, Any],
        inputs: Mapping[str, str],
        name: str,
        workers: Workers = CPU_ONLY,
    ) -> str:
        """Add a step, unless it is planned already, and return its ref."""
        return self.plan.add(Step(stage, version, spec, inputs, name, workers))

    def fields(self, spec: Spec, **changed: Any) -> Section:
        """`spec.key_fields()` with some fields changed. All steps share one object for it."""
        place = (id(spec), *changed.items())
        if (
            place not in self.known_sections
        ):  # keeps the spec alive, so that no other object gets its id
            self.known_sections[place] = (spec, Section({**spec.key_fields(), **changed}))
        return self.known_sections[place][1]

    def drawn_from(self, at: CohortClass) -> dict[str, str]:
        """The inputs of a step that reads the frames of a cohort, by role."""
        return {"train": self.splits["train"], "cohort": at.cohort}

    def seeded(self, role: str, at: CohortClass) -> dict[str, Any]:
        """The fields of a step that draws random numbers for one class of a cohort."""
        coordinates = (at.label, at.draw.n_patients, at.draw.replicate)
        seed = derive_seed(self.study.seed, role, *coordinates)
        return {**self.threads, "class": at.label, "seed": seed}

    def cohort(self, draw: Draw) -> str:
        """Add the step that draws the patients of a cohort."""
        cohort = self.study.cohort
        nested = cohort.sampling == "nested"
        coordinates = [] if nested or draw.n_patients is None else [draw.n_patients]
        spec = {
            "cohort": self.fields(cohort),
            "n_patients": draw.n_patients,
            "seed": derive_seed(self.study.seed, "cohort", *coordinates, draw.replicate),
        }
        name = f"cohort {draw}"
        return self.add("cohort", cohort.version, spec, {"train": self.splits["train"]}, name)

    def _ingest(self, split: str) -> str:
        patients = self.manifest.patients(split).items()
        shards = {patient: self._shard(patient, videos) for patient, videos in patients}
        return self.add(
            "ingest", INGEST_VERSION, {"split": split}, shards, f"index of {split} frames"
        )

    def _shard(self, patient: str, videos: Sequence[Video]) -> str:
        data = self.study.data
        video_fields = [_video_fields(video) for video in videos]
        spec: dict[str, Any] = {"patient_id": patient, "videos": video_fields}
        if plugins := {name: v.read_by[name] for v in videos for name in v.read_by}:
            spec["plugins"] = plugins
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
        return self.add("shard", version, spec, {}, f"frames of {patient}")
