"""Plans the synthetic set of a class: generator, scores, frames and memorisation card."""

from __future__ import annotations

from collections.abc import Mapping

from lussweep.study.keys import derive_seed, hashed_id
from lussweep.study.plan.classification import plan_detector
from lussweep.study.plan.draft import ClassAt, Draft
from lussweep.study.plan.steps import BOTH_CLASSES, ExternalImages
from lussweep.study.spec import GanSpec, Recipe, SelectSpec

EXTERNAL_VERSION = 1
SELECT_FIELDS = {
    "last": {"rule"},
    "epoch": {"rule", "epoch"},
    "best": {"rule", "metric", "embedder", "space", "allow_detector"},
}
"""The fields that each rule depends on. The other fields stay out of the key."""


def plan_synthetic_set(
    draft: Draft,
    recipe: Recipe,
    label: str,
    n_patients: int,
    replicate: int,
    epoch: int | None,
    cohort: str,
) -> dict[str, str]:
    """Plan the synthetic set of a class of a cohort; returns refs by role, with score and card."""
    gan = draft.study.gan_of(recipe) if recipe.generator(label) == "synthetic" else None
    place = (id(gan or recipe.external), label, n_patients, replicate, epoch)
    if place not in draft.known_sets:
        told = draft.study.generator_name(recipe, label)
        at = ClassAt(label, n_patients, replicate, cohort, "" if told == "base" else told)
        generator = _generator(draft, recipe, at)
        score = _score(draft, generator, at)
        synth = _synth(draft, generator, score, epoch, at)
        card = _memorisation(draft, synth, at)
        draft.known_sets[place] = {
            **generator, "score": score, "synth": synth, "memorisation": card,
        }  # fmt: skip
    return draft.known_sets[place]


def _generator(draft: Draft, recipe: Recipe, at: ClassAt) -> dict[str, str]:
    """Plan the step that makes a class's synthetic frames; returns its ref by role."""
    if recipe.generator(at.label) == "synthetic":
        return {"gan": _gan(draft, draft.study.gan_of(recipe), at)}
    assert recipe.external is not None
    images = draft.external[recipe.external, at.n_patients, at.replicate, at.label]
    return {"external": _external(draft, images, at)}


def _gan(draft: Draft, gan: GanSpec, at: ClassAt) -> str:
    label = BOTH_CLASSES if gan.conditional else at.label
    spec = {
        "gan": draft.fields(gan),
        **draft.threads,
        "class": label,
        "seed": derive_seed(draft.study.seed, "gan", label, at.n_patients, at.replicate),
    }
    name = f"GAN {at._replace(label=label).name()}"
    return draft.add("gan", gan.version, spec, draft.drawn_from(at), name)


def _external(draft: Draft, images: ExternalImages, at: ClassAt) -> str:
    """Plan the step that reads external images, which take the place of a GAN."""
    spec = {
        "class": at.label,
        "sha256": images.sha256,
        # Hashed, so that the key is the same whether a patient is declared by id or by hash.
        "patients": sorted({hashed_id(p) if p in draft.ids else p for p in images.patients}),
        "image_size": draft.study.data.preprocess.image_size,
    }
    name = f"images {at.name()}"
    return draft.add("external", EXTERNAL_VERSION, spec, draft.drawn_from(at), name)


def _features(draft: Draft, embedder: str, at: ClassAt) -> str:
    """Plan the features of a class's real frames, which all generators share."""
    score = draft.study.score
    spec = {
        "embedder": embedder,
        "n_images": score.n_images,
        "batch_size": score.batch_size,
        **draft.seeded("score", at),
        "weights": draft.weights_digest if embedder == "imagenet" else None,
    }
    inputs = draft.drawn_from(at)
    if embedder == "detector":
        inputs["detector"] = plan_detector(draft)
    name = f"features {at._replace(told='').name()} {embedder}"
    return draft.add("features", score.version, spec, inputs, name)


def _score(draft: Draft, generator: Mapping[str, str], at: ClassAt) -> str:
    score = draft.study.score
    spec = {
        "score": draft.fields(score),
        **draft.seeded("score", at),
        "weights": draft.weights_digest if "imagenet" in score.embedders else None,
    }
    inputs = {**draft.drawn_from(at), **generator, "detector": plan_detector(draft)}
    for embedder in score.embedders:
        inputs[f"real_{embedder}"] = _features(draft, embedder, at)
    return draft.add("score", score.version, spec, inputs, f"scores {at.name()}")


def _synth(
    draft: Draft, generator: Mapping[str, str], score: str, epoch: int | None, at: ClassAt
) -> str:
    synth = draft.study.synth
    spec = {"synth": draft.fields(synth), **draft.seeded("synth", at)}
    inputs = {**draft.drawn_from(at), **generator}
    if "gan" in generator:
        chosen = draft.study.select if epoch is None else SelectSpec(rule="epoch", epoch=epoch)
        select = chosen.model_dump(mode="json", include=SELECT_FIELDS[chosen.rule])
        spec["select"] = select
        if select["rule"] == "best":
            inputs["score"] = score
    return draft.add("synth", synth.version, spec, inputs, f"synthetic {at.name()}")


def _memorisation(draft: Draft, synth: str, at: ClassAt) -> str:
    """Plan the memorisation card. It sees the holdout, so no other step may use it."""
    memorisation = draft.study.memorisation
    spec = {"memorisation": draft.fields(memorisation), **draft.seeded("memorisation", at)}
    inputs = {**draft.drawn_from(at), "synth": synth, "holdout": draft.splits["holdout"]}
    name = f"memorisation {at.name()}"
    return draft.add("memorisation", memorisation.version, spec, inputs, name)
