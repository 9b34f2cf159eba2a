"""Decides which experiment a run folder belongs to, from its run.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lussweep.data.external import ExternalImages
from lussweep.errors import InputError
from lussweep.run.lease import LOCK_FILE
from lussweep.run.log import LOG_FILE
from lussweep.run.state import OWN_FILES, RUN_FILE
from lussweep.store.artifacts import read_json
from lussweep.store.folders import MARK
from lussweep.study.coordinates import Draw
from lussweep.study.keys import digest, hashed_id
from lussweep.study.plan import ExternalKey, Plan
from lussweep.study.spec import GENERATORS, ExternalSpec, GridSpec, Recipe, StudySpec
from lussweep.study.spec.generators import generator_kind

UNCLAIMED = {"artifacts", "ray", "logs", LOG_FILE, LOCK_FILE, *OWN_FILES}
"""Names that a command which ended before training may leave in its folder."""


def describe(
    study: StudySpec,
    plan: Plan,
    weights_digest: str | None,
    external: Mapping[ExternalKey, ExternalImages],
    earlier: dict[str, Any] | None,
) -> dict[str, Any]:
    """The content of run.json: identity by section, requested grids, variants and external images.

    `earlier` is the content before this command, None for a new folder.
    """
    data = sorted(ref for ref in plan.steps if ref.startswith("ingest/"))
    sections = {name: digest(value) for name, value in study.identity().items() if name != "data"}
    ids = {step.spec["patient_id"] for step in plan.steps.values() if step.stage == "shard"}
    grid = study.grid.model_dump(mode="json")
    grids = earlier["grids"] if earlier else []
    variants = {name: recipe.key_fields() for name, recipe in study.variants.items()}
    return {
        "identity": {**sections, "data": digest(data), "weights": digest(weights_digest)},
        "grids": grids if grid in grids else [*grids, grid],
        "variants": {**(earlier["variants"] if earlier else {}), **variants},
        "external": [
            {
                "section": section.model_dump(mode="json"),
                **draw.row(),
                "class": label,
                "path": str(images.path),
                "sha256": images.sha256,
                "n_images": images.n_images,
                "patients": [hashed_id(p) if p in ids else p for p in images.patients],
            }
            for (section, draw, label), images in external.items()
        ],
    }


def external_of(earlier: dict[str, Any] | None) -> dict[ExternalKey, ExternalImages]:
    """External images that earlier commands described, so that their cells stay in the report."""
    images_by_place: dict[ExternalKey, ExternalImages] = {}
    for entry in earlier["external"] if earlier else ():
        section = ExternalSpec.model_validate(entry["section"])
        place = (section, Draw.of_row(entry), entry["class"])
        images_by_place[place] = ExternalImages(
            Path(entry["path"]), entry["sha256"], entry["n_images"], tuple(entry["patients"])
        )
    return images_by_place


def read_run_file(folder: Path, place: str) -> dict[str, Any] | None:
    """Read run.json. Returns None for a new folder.

    `place` is what the user calls the folder. Raises InputError if the folder is not a run folder,
    if the file is damaged, or if a variant has a generator of a plugin that is not loaded.
    """
    path = folder / RUN_FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(map(_is_strange, folder.iterdir()))):
            raise InputError(f"{place} is not empty and not a run folder: choose another --out")
        return None
    try:
        described = read_json(path)
        for grid in described["grids"]:
            GridSpec.model_validate(grid)
        _refuse_unknown_generators(described["variants"], place)
        for recipe in described["variants"].values():
            Recipe.model_validate(recipe)
        external_of(described)
        if not isinstance(described["identity"], dict):
            raise TypeError("no identity")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{place}/{RUN_FILE} is damaged: choose another --out") from None
    return described


def _refuse_unknown_generators(variants: Mapping[str, Any], place: str) -> None:
    """Raises InputError if no loaded plugin has the generator of a variant."""
    for name, recipe in variants.items():
        kind = generator_kind(recipe.get("gan") or {})
        if kind not in GENERATORS:
            raise InputError(
                f"{place} holds a variant {name} with the generator {kind!r}: "
                f"{GENERATORS.unknown(kind)}; name its plugin in plugins, or choose another --out"
            )


def _is_strange(path: Path) -> bool:
    """Whether a file is not lussweep's. A killed driver may leave marks and partial files."""
    passing = path.name.startswith(MARK) or path.name.endswith(".partial")
    return path.name not in UNCLAIMED and not passing


def refuse_other_experiment(
    place: str, earlier: dict[str, Any] | None, described: dict[str, Any]
) -> None:
    """Raises InputError that names what differs if `earlier` is of another experiment."""
    if earlier is None:
        return
    before, now = earlier["identity"], described["identity"]
    differ = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    if differ:
        raise InputError(
            f"{place} belongs to an experiment with other {', '.join(differ)}: "
            "choose another --out, or the experiment that made it"
        )
    for name, recipe in earlier["variants"].items():
        if recipe != described["variants"][name]:
            raise InputError(f"{place} holds a variant {name} with another recipe: rename yours")
    sections: dict[str, Any] = {}
    for recipe in described["variants"].values():
        section = recipe["external"]
        if section and sections.setdefault(section["name"], section) != section:
            raise InputError(
                f"{place} holds other external images of the name {section['name']}: name yours"
            )
