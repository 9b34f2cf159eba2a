"""Opens a run folder: one study with its plan and its artifacts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.data.external import ExternalImages
from lussweep.errors import InputError
from lussweep.report.run_folder import EXPERIMENT_FILE
from lussweep.run.identity import (
    describe,
    external_of,
    read_run_file,
    refuse_other_experiment,
)
from lussweep.run.mirror import WorkFolder
from lussweep.run.state import RUN_FILE
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.files import write_whole
from lussweep.store.folders import check_usable
from lussweep.store.object_store import artifact_store
from lussweep.store.remote import StorageError
from lussweep.study.coordinates import Coordinates
from lussweep.study.keys import is_hashed_id
from lussweep.study.plan import ExternalKey, Plan, Step, grid_cells, make_plan
from lussweep.study.plan.step_specs import GanStep
from lussweep.study.spec import GridSpec, Manifest, Recipe, StudySpec, dump_study

if TYPE_CHECKING:
    from lussweep.report.reported import Reported

MARGIN_BYTES = 100_000_000


@dataclass(frozen=True)
class Run:
    """A study in its run folder, with its plan and its artifacts."""

    folder: WorkFolder
    study: StudySpec
    manifest: Manifest
    store: ArtifactStore
    requested: Plan
    """The steps and cells of this command."""
    plan: Plan
    """The steps and cells of this command, and those that earlier commands have done."""
    described: dict[str, Any]
    """The content of run.json: the experiment's identity, and every grid requested here."""
    shares_store: bool = False
    """Whether the artifacts lie outside the run folder, where other runs may use them too."""
    reveal_ids: bool = False
    """Whether logs and failures name patients and files."""
    left_out: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Refs of the steps that take a GAN, by the GAN's ref, of all cells that were ever requested
    here, left out by `--only` or not. Those that take a named epoch are not listed."""

    @cached_property
    def ids(self) -> frozenset[str]:
        """Patient and video ids, which `conceal` replaces."""
        videos = self.manifest.videos
        declared = {p for e in self.described["external"] for p in e["patients"]}
        strangers = {p for p in declared if not is_hashed_id(p)}
        return frozenset(v.patient_id for v in videos) | {v.video_id for v in videos} | strangers

    @cached_property
    def paths(self) -> frozenset[str]:
        """Files and folders of this run, which `conceal` replaces."""
        image_paths = {images["path"] for images in self.described["external"]}
        folders = {
            str(self.folder.path),
            str(self.store.root),
            *(str(s.root) for s in self.store.also_read),
        }
        return frozenset(folders | image_paths | {v.path for v in self.manifest.videos if v.path})

    def conceal(self, text: str) -> str:
        """The text with ids and paths replaced by hashes, unchanged if the run reveals ids."""
        from lussweep.report.conceal import conceal

        return text if self.reveal_ids else conceal(text, self.ids, self.paths)

    def reported(self, skipped: Sequence[tuple[str, str, str]] = ()) -> Reported:
        """What the report is written from.

        `skipped` lists the videos that were left out: patient, video, reason.
        """
        from lussweep.report.reported import Reported

        described = {n: Recipe.model_validate(r) for n, r in self.described["variants"].items()}
        return Reported(
            self.folder.path,
            self.study.model_copy(update={"variants": {**described, **self.study.variants}}),
            self.plan,
            self.store,
            self.conceal,
            self.reveal_ids,
            skipped,
        )


def open_run(
    folder: WorkFolder,
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    store: Path | str | None = None,
    also_read: Sequence[ArtifactStore] = (),
    weights_digest: str | None = None,
    external: Mapping[ExternalKey, ExternalImages] | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    reveal_ids: bool = False,
) -> Run:
    """Plan a study in a folder, which may hold cells of earlier commands, and return the run.

    `store` is the place of the artifacts if that is not the folder. `also_read` are further stores
    to read from. `weights_digest` is the start of the SHA-256 of the ImageNet weights, 8 hex
    digits. `external` describes external images. `only` restricts this command to values of the
    axes. Writes nothing. Raises InputError that names what differs if the folder belongs to another
    experiment.
    """
    study = study.with_embedders(weights_digest is not None)

    earlier = read_run_file(folder.path, folder.place)
    all_external = {**external_of(earlier), **(external or {})}

    def plan_of(study: StudySpec, only: Mapping[str, Sequence[str]] | None = None) -> Plan:
        return make_plan(
            study,
            manifest,
            phantom=phantom,
            weights_digest=weights_digest,
            external=all_external,
            only=only,
        )

    requested = plan_of(study, only)
    described = describe(study, requested, weights_digest, all_external, earlier)
    refuse_other_experiment(folder.place, earlier, described)
    artifacts = artifact_store(store or folder.artifacts_place, also_read)
    try:
        surveyed = artifacts.surveyed()
    except StorageError as error:
        raise InputError(str(error)) from None
    plan = Plan(dict(requested.steps), list(requested.cells))
    considered = {cell.coordinates for cell in plan.cells}
    variants = {n: Recipe.model_validate(r) for n, r in described["variants"].items()}
    left_out: dict[str, set[str]] = {}
    for grid in reversed(described["grids"]):  # starts with the latest, which is often the widest
        update = {"grid": GridSpec.model_validate(grid), "variants": variants}
        earlier_study = study.model_copy(update=update)
        cells = set(grid_cells(earlier_study, {}))
        if not cells <= considered:
            whole = plan_of(earlier_study)
            _add_done_cells(plan, whole, surveyed)
            considered |= cells
            for ref, step in whole.steps.items():
                if "gan" in step.inputs and not _takes_a_named_epoch(step):
                    left_out.setdefault(step.inputs["gan"], set()).add(ref)
    order = list(described["variants"])
    plan.cells.sort(key=lambda cell: _order(cell.coordinates, order))
    return Run(
        folder,
        study,
        manifest,
        artifacts,
        requested,
        plan,
        described,
        store is not None,
        reveal_ids,
        left_out,
    )


def check_room(run: Run) -> None:
    """Raises InputError unless folder and store can be written and have room for the run."""
    run.store.check_writable(_needed_bytes(run.study, run.requested, run.store.surveyed()))
    ArtifactStore(run.folder.path).check_writable()
    if run.folder.mirror:
        check_usable(run.folder.mirror.remote)


def claim(run: Run) -> None:
    """Write into the folder which experiment it belongs to. Later commands refuse any other one."""
    run.folder.path.mkdir(parents=True, exist_ok=True)
    run.store.clean_scratch()
    _write_if_changed(run.folder.path / RUN_FILE, json.dumps(run.described, indent=1))
    _write_if_changed(run.folder.path / EXPERIMENT_FILE, dump_study(run.study))
    run.folder.publish()


def is_claimed(folder: Path) -> bool:
    """Whether a command has started to train in this folder."""
    return (folder / RUN_FILE).exists()


# --- inside -----------------------------------------------------------------------------


def _order(at: Coordinates, variants: Sequence[str]) -> tuple[int, ...]:
    """Sort key of a cell: its axes, with variants in the order in which they were requested."""
    return at.n_patients, at.replicate, variants.index(at.variant), at.gan_epoch or 0


def _add_done_cells(plan: Plan, earlier: Plan, store: ArtifactStore) -> None:
    """Add to `plan` the cells that an earlier command has done, with the steps that they need."""
    requested_cells = {cell.coordinates for cell in plan.cells}
    done = [
        cell
        for cell in earlier.cells
        if cell.coordinates not in requested_cells and store.has(cell.refs["evaluate"])
    ]
    refs = {ref for cell in done for ref in cell.refs.values()}
    needed = refs | earlier.ancestors(*refs)
    plan.cells += done
    plan.steps.update({ref: step for ref, step in earlier.steps.items() if ref in needed})


def _takes_a_named_epoch(step: Step) -> bool:
    return step.stage == "synth" and step.spec["select"]["rule"] == "epoch"


def _needed_bytes(study: StudySpec, requested: Plan, store: ArtifactStore) -> int:
    """Bytes that the run needs: snapshots of missing GANs, one training's checkpoints, a margin."""
    size = study.data.preprocess.image_size
    snapshots, checkpoint = 0, 0
    for ref, step in requested.steps.items():
        if step.stage == "gan" and not store.has(ref):
            gan = GanStep.of(step).gan
            snapshots += len(gan.snapshot_epochs()) * gan.snapshot_bytes(size)
            checkpoint = max(checkpoint, gan.checkpoint_bytes(size))
    return MARGIN_BYTES + snapshots + (study.gan.keep_checkpoints + 1) * checkpoint


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_whole(path, text)
