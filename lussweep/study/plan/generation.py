"""Plans the synthetic set of a class: generator, scores, frames and memorisation card."""

from __future__ import annotations

from collections.abc import Mapping

from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.keys import derive_seed, hashed_id
from lussweep.study.plan.builder import SHARES_A_GPU, CohortClass, PlanBuilder, plugin_fields
from lussweep.study.plan.classification import plan_detector
from lussweep.study.plan.steps import BOTH_CLASSES, PlannedImages, Workers
from lussweep.study.spec import (
    EMBEDDERS,
    GENERATORS,
    SCORES,
    GeneratorSpec,
    Recipe,
    SelectSpec,
)

EXTERNAL_VERSION = 2
FLOOR_VERSION = 2
N_FLOOR_DRAWS = 20
"""Pairs of disjoint sets of training patients, whose scores are the floor."""
FLOOR_POOL = 4
"""Patients and frames that the draws are made of, per patient of a cohort and per frame of a set.
The sets then have as many patients as the cohort. Twice is too few: a set takes all frames of its
patients and leaves some out, so the rest would not fill the second set."""
NO_LIMIT: Mapping[str, int] = {}
SELECT_FIELDS = {
    "last": {"rule"},
    "epoch": {"rule", "epoch"},
    "best": {"rule", "metric", "embedder", "space", "allow_detector"},
}
"""The fields that each rule depends on. The other fields stay out of the key."""


def plan_synthetic_set(
    builder: PlanBuilder,
    recipe: Recipe,
    label: str,
    cell: Coordinates,
    cohort: str,
) -> dict[str, str]:
    """Plan the synthetic set of a class of a cohort; returns refs by role, with score and card."""
    gan = builder.study.gan_of(recipe) if recipe.generator(label) == "synthetic" else None
    place = (id(gan or recipe.external), label, cell.draw, cell.gan_epoch)
    if place not in builder.known_sets:
        name = builder.study.generator_name(recipe, label)
        at = CohortClass(label, cell.draw, cohort, "" if name == "base" else name)
        generator = _generator(builder, recipe, at)
        score = _score(builder, generator, at)
        synth = _synth(builder, generator, score, cell.gan_epoch, at)
        builder.known_sets[place] = {
            **generator,
            "score": score,
            "floor": _floor(builder, at),
            "synth": synth,
            "memorisation": _memorisation(builder, synth, at),
        }
    return builder.known_sets[place]


def plan_known_set(
    builder: PlanBuilder, source: str, label: str, draw: Draw, cohort: str
) -> dict[str, str]:
    """Plan the set of a source of known worth, with its card; returns refs by role.

    No generator makes it, so it has no scores.
    """
    at = CohortClass(label, draw, cohort, source)
    synth = builder.study.synth
    spec = {"source": source, **builder.seeded("synth", at)}
    if source == "simulated":
        phantom = builder.study.data.phantom
        assert phantom is not None, "simulated patients are of the phantom"
        spec["simulated"] = {
            **draw.row(),
            "version": phantom.version,
            "n_videos": phantom.videos_per_patient,
            "image_size": builder.study.data.preprocess.image_size,
            "seed": builder.study.seed,
        }
    inputs = builder.drawn_from(at)
    ref = builder.add("synth", synth.version, spec, inputs, f"{source} {label} {draw}")
    return {"synth": ref, "memorisation": _memorisation(builder, ref, at)}


def _generator(builder: PlanBuilder, recipe: Recipe, at: CohortClass) -> dict[str, str]:
    """Plan the step that makes a class's synthetic frames; returns its ref by role."""
    if recipe.generator(at.label) == "synthetic":
        return {"gan": _gan(builder, builder.study.gan_of(recipe), at)}
    assert recipe.external is not None
    images = builder.external[recipe.external, at.draw, at.label]
    return {"external": _external(builder, images, at)}


def _gan(builder: PlanBuilder, gan: GeneratorSpec, at: CohortClass) -> str:
    label = BOTH_CLASSES if gan.conditional else at.label
    spec = {
        "gan": builder.fields(gan),
        **builder.threads,
        "class": label,
        "seed": derive_seed(
            builder.study.seed, "gan", label, at.draw.n_patients, at.draw.replicate
        ),
        **plugin_fields(GENERATORS.plugin_of(gan.kind)),
    }
    name = f"GAN {at._replace(label=label).name()}"
    workers = Workers(gan.workers(), 1.0 if gan.gpus is None else gan.gpus)
    return builder.add("gan", gan.version, spec, builder.drawn_from(at), name, workers)


def _external(builder: PlanBuilder, images: PlannedImages, at: CohortClass) -> str:
    """Plan the step that reads external images, which take the place of a GAN."""
    spec = {
        "class": at.label,
        "sha256": images.sha256,
        # Ids are hashed, so the key is the same whether a patient is declared by id or by hash.
        "patients": sorted({hashed_id(p) if p in builder.ids else p for p in images.patients}),
        "image_size": builder.study.data.preprocess.image_size,
    }
    name = f"images {at.name()}"
    return builder.add("external", EXTERNAL_VERSION, spec, builder.drawn_from(at), name)


def _features(
    builder: PlanBuilder,
    embedder: str,
    at: CohortClass,
    n_images: int,
    drawn_of: Mapping[str, int] = NO_LIMIT,
) -> str:
    """Plan the features of a class's real frames, which all generators share.

    `drawn_of`: the field `n_patients` if the frames are of so many patients, else nothing.
    """
    score, entry = builder.study.score, EMBEDDERS[embedder]
    spec = {
        "embedder": embedder,
        "n_images": n_images,
        "batch_size": score.batch_size,
        **drawn_of,
        **builder.seeded("score", at),
        "weights": builder.weights_digest if entry.needs == "weights" else entry.digest,
        **plugin_fields(EMBEDDERS.plugin_of(embedder)),
    }
    inputs = builder.drawn_from(at)
    if entry.needs == "detector":
        inputs["detector"] = plan_detector(builder)
    few = f" of {n} patients" if (n := drawn_of.get("n_patients")) else ""
    name = f"features {at._replace(generator='').name()} {embedder}{few}"
    return builder.add("features", score.version, spec, inputs, name, SHARES_A_GPU)


def _score(builder: PlanBuilder, generator: Mapping[str, str], at: CohortClass) -> str:
    score = builder.study.score
    spec = {
        "score": builder.fields(score),
        **builder.seeded("score", at),
        "weights": builder.weights_digest if score.needs_weights else None,
        **plugin_fields(*map(SCORES.plugin_of, score.extra_metrics)),
    }
    inputs = {**builder.drawn_from(at), **generator, "detector": plan_detector(builder)}
    for embedder in score.embedders:
        inputs[f"real_{embedder}"] = _features(builder, embedder, at, score.n_images)
    name = f"scores {at.name()}"
    return builder.add("score", score.version, spec, inputs, name, SHARES_A_GPU)


def _floor(builder: PlanBuilder, at: CohortClass) -> str:
    """Plan the floor of a class's scores at a patient count. No other step may use it.

    It takes its number of frames from the cohort of replicate 1, so that all replicates and
    generators of a patient count share it.
    """
    assert at.draw.n_patients is not None, "a cell has a number of patients"
    score, n_pool = builder.study.score, FLOOR_POOL * builder.study.score.n_images
    n_patients = FLOOR_POOL * at.draw.n_patients
    # Patient counts that need every patient share one pool.
    is_part = n_patients < builder.n_train_patients[at.label]
    drawn_of = {"n_patients": n_patients} if is_part else NO_LIMIT
    everyone = Draw(None, 1)
    pool = CohortClass(at.label, everyone, builder.cohort(everyone), "")
    spec = {
        "score": builder.fields(score),
        "n_draws": N_FLOOR_DRAWS,
        "n_pool": n_pool,
        **drawn_of,
        **builder.seeded("score", pool),
        **plugin_fields(*map(SCORES.plugin_of, score.extra_metrics)),
    }
    inputs = {
        "train": builder.splits["train"],
        "pool": pool.cohort,
        "cohort": builder.cohort(Draw(at.draw.n_patients, 1)),
    }
    for embedder in score.embedders:
        inputs[f"pool_{embedder}"] = _features(builder, embedder, pool, n_pool, drawn_of)
    name = f"floor {at.label} n={at.draw.n_patients}"
    return builder.add("floor", FLOOR_VERSION, spec, inputs, name, SHARES_A_GPU)


def _synth(
    builder: PlanBuilder,
    generator: Mapping[str, str],
    score: str,
    epoch: int | None,
    at: CohortClass,
) -> str:
    synth = builder.study.synth
    spec = {"synth": builder.fields(synth), **builder.seeded("synth", at)}
    inputs = {**builder.drawn_from(at), **generator}
    if "gan" in generator:
        chosen = builder.study.select if epoch is None else SelectSpec(rule="epoch", epoch=epoch)
        select = chosen.model_dump(mode="json", include=SELECT_FIELDS[chosen.rule])
        spec["select"] = select
        if select["rule"] == "best":
            inputs["score"] = score
    name = f"synthetic {at.name()}"
    return builder.add("synth", synth.version, spec, inputs, name, SHARES_A_GPU)


def _memorisation(builder: PlanBuilder, synth: str, at: CohortClass) -> str:
    """Plan the memorisation card. It sees the holdout, so no other step may use it."""
    memorisation = builder.study.memorisation
    spec = {"memorisation": builder.fields(memorisation), **builder.seeded("memorisation", at)}
    inputs = {**builder.drawn_from(at), "synth": synth, "holdout": builder.splits["holdout"]}
    name = f"memorisation {at.name()}"
    return builder.add("memorisation", memorisation.version, spec, inputs, name, SHARES_A_GPU)
