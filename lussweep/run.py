"""A run folder: one study, its artifacts, tables and report. Run again to do what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.errors import InputError
from lussweep.keys import digest
from lussweep.plan import Plan, make_plan
from lussweep.spec import GridSpec, Manifest, Recipe, StudySpec, dump_study
from lussweep.store import ArtifactStore

if TYPE_CHECKING:
    from lussweep.backend.driver import Executor, Progress

RUN_FILE = "run.json"
EXPERIMENT_FILE = "experiment.yaml"
REPORT_VERSION = 1
DATA_STAGES = ("shard", "ingest")


@dataclass(frozen=True)
class Run:
    """What a command works on. `asked` are the cells of this command, `plan` those of the run."""

    folder: Path
    study: StudySpec
    manifest: Manifest
    store: ArtifactStore
    asked: Plan
    plan: Plan
    ids: frozenset[str] = field(default_factory=frozenset)
    """Patient and video ids, to be concealed in what is written."""


def open_run(
    folder: Path,
    study: StudySpec,
    manifest: Manifest,
    *,
    phantom: bool,
    store: Path | None = None,
    also_read: Sequence[Path] = (),
    weights_digest: str | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Run:
    """Plan a study in a folder, which may hold earlier cells of the same study.

    Raises InputError if the folder belongs to another experiment, naming what differs.
    """
    asked = make_plan(study, manifest, phantom=phantom, weights_digest=weights_digest, only=only)
    identity = _identity(study, asked, weights_digest)
    earlier = _read_run_file(folder)
    _check_identity(folder, earlier, identity, study)
    wide = _widened(study, earlier)
    plan = make_plan(wide, manifest, phantom=phantom, weights_digest=weights_digest)
    artifacts = ArtifactStore(store or folder / "artifacts", also_read)
    wanted = {cell.refs["evaluate"] for cell in asked.cells}
    plan.cells = [
        cell
        for cell in plan.cells
        if cell.refs["evaluate"] in wanted or artifacts.has(cell.refs["evaluate"])
    ]
    ids = frozenset(v.patient_id for v in manifest.videos) | {v.video_id for v in manifest.videos}
    return Run(folder, wide, manifest, artifacts, asked, plan, frozenset(ids))


def start(run: Run, weights_digest: str | None = None) -> None:
    """Claim the folder: check that it can be written and say whose it is."""
    run.store.check_writable()
    run.folder.mkdir(parents=True, exist_ok=True)
    identity = _identity(run.study, run.asked, weights_digest)
    described = {
        "identity": identity,
        "grid": run.study.grid.model_dump(mode="json"),
        "variants": {n: r.model_dump(mode="json") for n, r in run.study.variants.items()},
    }
    _write_if_changed(run.folder / RUN_FILE, json.dumps(described, indent=1))
    _write_if_changed(run.folder / EXPERIMENT_FILE, dump_study(run.study))


def execute_data(run: Run, executor: Executor, on_change: Callable[[Progress], None]) -> None:
    """Bring in every video before anything is trained. Raises InputError with all that failed."""
    from lussweep.backend.driver import run_plan
    from lussweep.ingest import step_problem

    progress = run_plan(run.asked.only(DATA_STAGES), run.store, executor, on_change)
    if progress.failed:
        raise InputError([step_problem(o.error or "") for o in progress.failed.values()])


def execute_grid(run: Run, executor: Executor, on_change: Callable[[Progress], None]) -> Progress:
    """Every missing step of the asked cells, then drop the snapshots that nobody needs."""
    from lussweep.backend.driver import run_plan

    progress = run_plan(run.asked, run.store, executor, on_change)
    _write_failure_logs(run, progress)
    if run.study.keep_snapshots == "selected":
        drop_snapshots(run.plan, run.store)
    return progress


def is_done(run: Run) -> bool:
    """Whether every step of the asked cells has its artifact."""
    return all(run.store.has(ref) for ref in run.asked.steps)


def drop_snapshots(plan: Plan, store: ArtifactStore) -> None:
    """Delete generators that were scored and that no synthetic set was made of.

    A GAN whose scores or synthetic sets are not all done keeps everything.
    """
    users: dict[str, list[str]] = {}
    for ref, step in plan.steps.items():
        if "gan" in step.inputs:
            users.setdefault(step.inputs["gan"], []).append(ref)
    for gan, refs in users.items():
        if not all(store.has(ref) for ref in refs) or not (store.root / gan).exists():
            continue
        kept = {store.record(ref)["summary"].get("epoch") for ref in refs}
        for path in (store.root / gan / "snapshots").glob("epoch_*.safetensors"):
            if int(path.stem.removeprefix("epoch_")) not in kept:
                path.unlink()


def _write_failure_logs(run: Run, progress: Progress) -> None:
    from lussweep.report.collect import conceal

    logs = run.folder / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    for ref, outcome in progress.failed.items():
        logs.mkdir(exist_ok=True)
        text = f"{run.plan.steps[ref].name}\n{outcome.error}\n\n{outcome.traceback}"
        (logs / f"{ref.replace('/', '-')}.txt").write_text(conceal(text, run.ids))


# --- identity -----------------------------------------------------------------------------


def _identity(study: StudySpec, plan: Plan, weights_digest: str | None) -> dict[str, Any]:
    """Data, seed and stage specs, section by section, so that a difference can be named."""
    data = sorted(ref for ref in plan.steps if ref.startswith("ingest/"))
    sections = {name: digest(value) for name, value in study.identity().items() if name != "data"}
    return {**sections, "data": digest(data), "weights": digest(weights_digest)}


def _read_run_file(folder: Path) -> dict[str, Any] | None:
    path = folder / RUN_FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is not empty and no run folder: choose another --out")
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        GridSpec.model_validate(found["grid"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged: choose another --out") from None
    return found


def _check_identity(
    folder: Path, earlier: dict[str, Any] | None, identity: dict[str, Any], study: StudySpec
) -> None:
    if earlier is None:
        return
    before = earlier["identity"]
    differ = sorted(n for n in {*before, *identity} if before.get(n) != identity.get(n))
    if differ:
        raise InputError(
            f"{folder} belongs to an experiment with other {', '.join(differ)}: "
            "choose another --out, or the experiment that made it"
        )
    for name, recipe in earlier["variants"].items():
        if name in study.variants and Recipe.model_validate(recipe) != study.variants[name]:
            raise InputError(f"{folder} holds a variant {name} with another recipe: rename yours")


def _widened(study: StudySpec, earlier: dict[str, Any] | None) -> StudySpec:
    """The study with the axes of all commands that this folder has seen."""
    if earlier is None:
        return study
    before = GridSpec.model_validate(earlier["grid"])
    variants = {n: Recipe.model_validate(r) for n, r in earlier["variants"].items()}
    grid = GridSpec(
        n_patients=tuple(sorted({*before.n_patients, *study.grid.n_patients})),
        replicates=max(before.replicates, study.grid.replicates),
        variants=tuple(dict.fromkeys((*before.variants, *study.grid.variants))),
        gan_epochs=tuple(sorted({*before.gan_epochs, *study.grid.gan_epochs})),
    )
    return study.model_copy(update={"grid": grid, "variants": {**variants, **study.variants}})


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        scratch = path.with_name(f".{path.name}.partial")
        scratch.write_text(text)
        scratch.replace(path)
