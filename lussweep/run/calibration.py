"""Measures how long steps take by running a few short ones on this machine."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from lussweep.backend.driver import Progress, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.errors import InputError
from lussweep.run.measuring import seen_frames, where_trained
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore, Record
from lussweep.study.costs import Frames, Measured
from lussweep.study.plan import Plan, Step, is_phantom, make_plan
from lussweep.study.plan.step_specs import FeaturesStep
from lussweep.study.spec import CLASSES, SPLITS, GeneratorSpec, Manifest, Recipe, StudySpec
from lussweep.study.spec.base import Spec

CALIBRATION_EPOCHS = (1, 3)
"""Epochs of the short trainings. Two values separate the fixed cost from the cost of an image."""
CALIBRATION_BATCHES = 16
"""Most batches in an epoch of a short GAN or trial."""
CALIBRATION_TRIALS = 3
"""Most trials of a short search: the first ones of its list."""
CALIBRATION_PATIENTS = 2
"""Patients per class in the short validation and holdout splits."""
EVERY_VAL_PATIENT = {"n_patients": None}
"""The change of each section `val`: the short split has fewer patients than it may ask for."""


def calibrate(
    study: StudySpec,
    manifest: Manifest,
    requested: Plan,
    context: Context,
    notify: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Run short steps of every stage of the study's smallest cell and return their seconds.

    `requested` is the plan whose cost is wanted. It says whether the data are the phantom's, and
    which weights are used. GANs and trials run twice, with one epoch and with three epochs of a few
    batches, so that the cost of an epoch can be scaled. A first round is not counted, because the
    first steps of a process also load libraries and kernels. The artifacts go to a temporary store.
    `notify` takes one line for each round. Raises InputError if a short step fails.
    """
    small = _few_patients(manifest, min(study.grid.n_patients))
    short_plan = partial(_short_plan, study, requested, small)
    steps: dict[str, Step] = {}
    records: dict[str, Record] = {}
    with tempfile.TemporaryDirectory(prefix="lussweep-calibrate-") as scratch:
        store = ArtifactStore(Path(scratch), (context.store,))
        first, last = CALIBRATION_EPOCHS
        for n_epochs, seed in ((first, 1), (first, 0), (last, 0)):
            plan = short_plan(n_epochs, study.seed + seed)
            notify(f"calibrating on {context.torch_device()}: {len(plan.steps)} short steps")
            _execute(plan, store, replace(context, store=store))
            if not seed:
                steps |= plan.steps
                records |= {ref: store.record(ref) for ref in plan.steps}
        frames = seen_frames(steps, records, store.open)
    assert frames is not None, "every short step was run"
    seconds = {ref: record["circumstances"]["seconds"] for ref, record in records.items()}
    target = _scaled(frames, small, manifest, study)
    where, on_gpu = where_trained(records.values())
    source = f"short steps of this study ({where})"
    return Measured(steps, seconds, frames, target, source, on_gpu, alone=True)


def _few_patients(manifest: Manifest, n_train: int) -> Manifest:
    """The manifest, cut to as few patients per class and split as the smallest cohort needs."""
    chosen: set[str] = set()
    for split in SPLITS:
        n = n_train if split == "train" else CALIBRATION_PATIENTS
        by_class: dict[int, list[str]] = {0: [], 1: []}
        for patient, videos in manifest.patients(split).items():
            by_class[max(video.label for video in videos)].append(patient)
        chosen |= {patient for patients in by_class.values() for patient in patients[:n]}
    return Manifest(videos=tuple(v for v in manifest.videos if v.patient_id in chosen))


def _short_plan(
    study: StudySpec, requested: Plan, manifest: Manifest, n_epochs: int, seed: int
) -> Plan:
    """The plan of the smallest cells with few epochs, on the patients of `manifest`."""
    features = (step for step in requested.steps.values() if step.stage == "features")
    digests = [FeaturesStep.of(step).weights for step in features]
    return make_plan(
        _short_study(study, n_epochs, seed),
        manifest,
        phantom=is_phantom(requested.steps),
        weights_digest=next((digest for digest in digests if digest), None),
    )


def _short_study(study: StudySpec, n_epochs: int, seed: int) -> StudySpec:
    """The study, cut to the smallest cell of each kind of GAN and to budgets of a few batches."""

    def short(gan: GeneratorSpec) -> GeneratorSpec:
        return gan.shortened(n_epochs, CALIBRATION_BATCHES)

    variants: dict[str, Recipe] = {}
    gans: list[GeneratorSpec] = []
    for name in study.grid.variants:
        recipe = study.variants[name]
        sources = [recipe.generator(label) for label in CLASSES]
        gan = study.gan_of(recipe)
        if "external" in sources or ("synthetic" in sources and gan in gans):
            continue
        if "synthetic" in sources:
            gans.append(gan)
        elif variants:
            continue
        changes: dict[str, Spec] = {"gan": short(recipe.gan)} if recipe.gan else {}
        if recipe.val:
            changes["val"] = recipe.val.model_copy(update=EVERY_VAL_PATIENT)
        variants[name] = recipe.model_copy(update=changes)
    if not variants:
        raise InputError("--calibrate has no images of other generators: use --from RUN")
    classifier = study.classifier.model_copy(
        update={
            "n_epochs": n_epochs,
            "patience": n_epochs,
            "images_per_epoch": CALIBRATION_BATCHES * study.classifier.batch_size,
        }
    )
    search = study.search.model_copy(
        update={
            "n_trials": min(CALIBRATION_TRIALS, study.search.n),
            "sampler": "random",
            "pruner": "none",
        }
    )
    grid = study.grid.model_copy(
        update={
            "n_patients": (min(study.grid.n_patients),),
            "replicates": 1,
            "variants": tuple(variants),
            "gan_epochs": (),
        }
    )
    return study.model_copy(
        update={
            "seed": seed,
            "gan": short(study.gan),
            "classifier": classifier,
            "search": search,
            "detector": study.detector.model_copy(
                update={"classifier": classifier, "search": search}
            ),
            "select": type(study.select)(),
            "val": study.val.model_copy(update=EVERY_VAL_PATIENT),
            "variants": variants,
            "grid": grid,
        }
    )


def _execute(plan: Plan, store: ArtifactStore, context: Context) -> None:
    progress: Progress = run_plan(plan, store, InlineExecutor(plan, context))
    if progress.failed:
        raise InputError(
            [
                f"--calibrate: {plan.steps[ref].name}: {outcome.error}"
                for ref, outcome in progress.failed.items()
            ]
        )


def _scaled(frames: Frames, small: Manifest, whole: Manifest, study: StudySpec) -> Frames:
    """Frame counts of the whole study, from those of its part in proportion to patients."""

    def patients(manifest: Manifest, split: str) -> Counter[int]:
        videos_of_patients = manifest.patients(split).values()
        return Counter(max(video.label for video in videos) for videos in videos_of_patients)

    def times(split: str) -> float:
        few, all_ = (patients(m, split).total() for m in (small, whole))
        limit = study.val.n_patients
        if split == "val" and isinstance(limit, int):
            all_ = min(all_, limit * len(CLASSES))
        return all_ / few

    n = min(study.grid.n_patients)
    per_patient = frames.by_cohort[n] / n
    pool = min(patients(whole, "train").values())
    by_cohort: dict[int | None, float] = {None: pool * per_patient}
    for count in study.grid.n_patients:
        by_cohort[count] = count * per_patient
    return Frames(by_cohort, frames.val * times("val"), frames.holdout * times("holdout"))
