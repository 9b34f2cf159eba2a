"""Whose a run folder is: what its run.json says, and what is refused there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lussweep.data.external import ExternalImages
from lussweep.errors import InputError
from lussweep.run.lease import LOCK_FILE
from lussweep.run.state import OWN_FILES, RUN_FILE
from lussweep.store.artifacts import read_json
from lussweep.store.folders import MARK
from lussweep.study.coordinates import Draw
from lussweep.study.keys import digest, hashed_id
from lussweep.study.plan import ExternalKey, Plan
from lussweep.study.spec import ExternalSpec, GridSpec, Recipe, StudySpec

UNCLAIMED = {"artifacts", "ray", "logs", LOCK_FILE, *OWN_FILES}
"""What a command that ended before training may leave behind."""


def describe(
    study: StudySpec,
    plan: Plan,
    weights_digest: str | None,
    external: Mapping[ExternalKey, ExternalImages],
    earlier: dict[str, Any] | None,
) -> dict[str, Any]:
    """Identity by section (data, seed, stage specs), so that a difference can be named."""
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
    """The external sets that earlier commands described, so that their cells stay in the report."""
    found: dict[ExternalKey, ExternalImages] = {}
    for entry in earlier["external"] if earlier else ():
        section = ExternalSpec.model_validate(entry["section"])
        place = (section, Draw.of_row(entry), entry["class"])
        found[place] = ExternalImages(
            Path(entry["path"]), entry["sha256"], entry["n_images"], tuple(entry["patients"])
        )
    return found


def read_run_file(folder: Path, place: str) -> dict[str, Any] | None:
    path = folder / RUN_FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(map(_is_strange, folder.iterdir()))):
            raise InputError(f"{place} is not empty and no run folder: choose another --out")
        return None
    try:
        found = read_json(path)
        for grid in found["grids"]:
            GridSpec.model_validate(grid)
        for recipe in found["variants"].values():
            Recipe.model_validate(recipe)
        external_of(found)
        if not isinstance(found["identity"], dict):
            raise TypeError("no identity")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{place}/{RUN_FILE} is damaged: choose another --out") from None
    return found


def _is_strange(path: Path) -> bool:
    """A driver that was killed may leave files by which it tells others, or half of one."""
    passing = path.name.startswith(MARK) or path.name.endswith(".partial")
    return path.name not in UNCLAIMED and not passing


def refuse_other_experiment(
    place: str, earlier: dict[str, Any] | None, described: dict[str, Any]
) -> None:
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
