"""A run folder: one study, its artifacts, tables and report. Run again to do what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.data.external import ExternalImages
from lussweep.errors import InputError
from lussweep.run.identity import (
    describe,
    external_of,
    read_run_file,
    refuse_other_experiment,
)
from lussweep.run.mirror import Mirror
from lussweep.run.state import RUN_FILE
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.files import write_whole
from lussweep.store.folders import Folder, LocalFolder, check_usable
from lussweep.store.object_store import artifact_store
from lussweep.store.remote import StorageError
from lussweep.study.keys import is_hashed_id
from lussweep.study.plan import ExternalKey, Plan, grid_cells, make_plan
from lussweep.study.spec import GanSpec, GridSpec, Manifest, Recipe, StudySpec, dump_study

if TYPE_CHECKING:
    from lussweep.report.reported import Reported

EXPERIMENT_FILE = "experiment.yaml"
MARGIN_BYTES = 100_000_000
NETWORKS_AND_MOMENTS = 6
"""A checkpoint holds two networks of about one size, each with Adam's two moments."""


@dataclass(frozen=True)
class Run:
    """What a command works on. `asked` are the cells of this command, `plan` those of the run."""

    folder: Path
    study: StudySpec
    manifest: Manifest
    store: ArtifactStore
    asked: Plan
    plan: Plan
    described: dict[str, Any]
    """What run.json says: whose folder it is, and every grid that was asked of it."""
    shares_store: bool = False
    mirror: Mirror | None = None
    """Of a run folder in an object store; `folder` is the local side of it."""

    reveal_ids: bool = False
    """Name patients and files in logs and failures, for who mends their own data."""

    @property
    def place(self) -> str:
        """What a user would call the run folder: a path or a URL."""
        return self.mirror.url if self.mirror else str(self.folder)

    @property
    def seen_by_others(self) -> Folder:
        """The run folder itself, or its URL."""
        return self.mirror.remote if self.mirror else LocalFolder(self.folder)

    def publish(self) -> None:
        """Bring what was written into the folder to where it belongs."""
        if self.mirror:
            self.mirror.push()

    def show(self, path: Path) -> None:
        """Bring one small file there, ahead of the rest."""
        if self.mirror:
            self.mirror.show(path)

    @cached_property
    def ids(self) -> frozenset[str]:
        """Patient and video ids, to be concealed in what is written."""
        videos = self.manifest.videos
        declared = {p for e in self.described["external"] for p in e["patients"]}
        strangers = {p for p in declared if not is_hashed_id(p)}
        return frozenset(v.patient_id for v in videos) | {v.video_id for v in videos} | strangers

    @cached_property
    def paths(self) -> frozenset[str]:
        """Files and folders of this run, likewise."""
        made = {e["path"] for e in self.described["external"]}
        own = {str(self.folder), str(self.store.root), *(str(s.root) for s in self.store.also_read)}
        return frozenset(own | made | {v.path for v in self.manifest.videos if v.path})

    def conceal(self, text: str) -> str:
        """The text as it may be written down."""
        from lussweep.report.conceal import conceal

        return text if self.reveal_ids else conceal(text, self.ids, self.paths)

    def reported(self) -> Reported:
        """What the report is written from."""
        from lussweep.report.reported import Reported

        described = {n: Recipe.model_validate(r) for n, r in self.described["variants"].items()}
        return Reported(
            self.folder,
            self.study,
            self.plan,
            self.store,
            {**described, **self.study.variants},
            self.conceal,
            self.reveal_ids,
        )


def open_run(
    folder: Path,
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    mirror: Mirror | None = None,
    store: Path | str | None = None,
    also_read: Sequence[ArtifactStore] = (),
    weights_digest: str | None = None,
    external: Mapping[ExternalKey, ExternalImages] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    reveal_ids: bool = False,
) -> Run:
    """Plan a study in a folder, which may hold earlier cells of the same study.

    Writes nothing. Raises InputError if the folder belongs to another experiment, naming what
    differs.
    """
    study = study.with_embedders(weights_digest is not None)

    place = mirror.url if mirror else str(folder)
    earlier = read_run_file(folder, place)
    known = {**external_of(earlier), **(external or {})}

    def plan_of(study: StudySpec, only: Mapping[str, Sequence[str]] | None = None) -> Plan:
        return make_plan(
            study,
            manifest,
            phantom=phantom,
            weights_digest=weights_digest,
            external=known,
            only=only,
        )

    asked = plan_of(study, only)
    described = describe(study, asked, weights_digest, known, earlier)
    refuse_other_experiment(place, earlier, described)
    own = f"{mirror.url}/artifacts" if mirror else folder / "artifacts"
    artifacts = artifact_store(store or own, also_read)
    try:
        surveyed = artifacts.surveyed()
    except StorageError as error:
        raise InputError(str(error)) from None
    plan = Plan(dict(asked.steps), list(asked.cells))
    looked_at = {cell.coordinates for cell in plan.cells}
    variants = {n: Recipe.model_validate(r) for n, r in described["variants"].items()}
    for grid in reversed(described["grids"]):  # the latest is often the widest
        update = {"grid": GridSpec.model_validate(grid), "variants": variants}
        earlier_study = study.model_copy(update=update)
        cells = set(grid_cells(earlier_study, {}))
        if not cells <= looked_at:
            _add_done_cells(plan, plan_of(earlier_study), surveyed)
            looked_at |= cells
    order = list(described["variants"])
    plan.cells.sort(
        key=lambda c: (c.n_patients, c.replicate, order.index(c.variant), c.gan_epoch or 0)
    )
    return Run(
        folder, study, manifest, artifacts, asked, plan, described, store is not None, mirror,
        reveal_ids,
    )  # fmt: skip


def check_room(run: Run) -> None:
    """Raises InputError unless folder and store can be written and hold what is to come."""
    run.store.check_writable(_needed_bytes(run))
    ArtifactStore(run.folder).check_writable()
    if run.mirror:
        check_usable(run.mirror.remote)


def claim(run: Run) -> None:
    """Say in the folder whose it is; only then is it refused to other experiments."""
    run.folder.mkdir(parents=True, exist_ok=True)
    run.store.clean_scratch()
    _write_if_changed(run.folder / RUN_FILE, json.dumps(run.described, indent=1))
    _write_if_changed(run.folder / EXPERIMENT_FILE, dump_study(run.study))
    run.publish()


def is_claimed(folder: Path) -> bool:
    """Whether a command has come as far as training there."""
    return (folder / RUN_FILE).exists()


# --- inside -----------------------------------------------------------------------------


def _add_done_cells(plan: Plan, other: Plan, store: ArtifactStore) -> None:
    """Cells of an earlier command that are done and that this one does not ask for."""
    known = {cell.coordinates for cell in plan.cells}
    done = [
        cell
        for cell in other.cells
        if cell.coordinates not in known and store.has(cell.refs["evaluate"])
    ]
    refs = {ref for cell in done for ref in cell.refs.values()}
    needed = refs | other.ancestors(*refs)
    plan.cells += done
    plan.steps.update({ref: step for ref, step in other.steps.items() if ref in needed})


def _needed_bytes(run: Run) -> int:
    """Room for the snapshots of GANs still to be trained, a training's checkpoints, and some."""
    size, store = run.study.data.preprocess.image_size, run.store.surveyed()
    snapshots, checkpoint = 0, 0
    for ref, step in run.asked.steps.items():
        if step.stage == "gan" and not store.has(ref):
            gan = GanSpec.model_validate(step.spec["gan"])
            snapshots += len(gan.snapshot_epochs()) * gan.snapshot_bytes(size)
            checkpoint = max(checkpoint, NETWORKS_AND_MOMENTS * gan.snapshot_bytes(size))
    return MARGIN_BYTES + snapshots + (run.study.gan.keep_checkpoints + 1) * checkpoint


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_whole(path, text)
