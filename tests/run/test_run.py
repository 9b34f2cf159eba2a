"""What a run folder holds of earlier commands, from its artifacts alone: nothing is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lussweep.run.folder
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.models.generators.seam import snapshot_path
from lussweep.report.artifacts import told_apart
from lussweep.run.drive import _heartbeat
from lussweep.run.execute import snapshot_pruning
from lussweep.run.folder import Run, claim, open_run
from lussweep.run.mirror import WorkFolder
from lussweep.run.state import PLAN_FILE, STATE_FILE, read_state
from lussweep.study.coordinates import Draw
from lussweep.study.spec import load_study
from support.commands import TINY

SMALLER = {"variant": ["baseline"], "n_patients": ["2"]}


@pytest.fixture
def opened(tmp_path):
    """Call it to open the folder of the small study, with other grids or cells."""

    def again(*overrides, only=None) -> Run:
        study = load_study(TINY, overrides=overrides).with_embedders(False)
        manifest = phantom_manifest(study.data.phantom, study.seed)
        return open_run(WorkFolder(tmp_path / "run"), study, manifest, phantom=True, only=only)

    return again


def finish(run: Run) -> None:
    for ref in run.requested.steps:
        if not run.store.has(ref):
            with run.store.commit(ref, {}):
                pass
    claim(run)


def names(cells) -> set[str]:
    return {cell.coordinates.name() for cell in cells}


def test_done_cells_of_an_earlier_command_come_with_all_that_they_need(opened):
    whole = opened()
    finish(whole)
    part = opened(only=SMALLER)
    assert names(part.requested.cells) == {"n=2 r=1 baseline"}
    assert names(part.plan.cells) == names(whole.plan.cells)
    assert part.plan.steps == whole.plan.steps
    seen: set[str] = set()
    for ref, step in part.plan.steps.items():
        assert set(step.inputs.values()) <= seen
        seen.add(ref)


def test_cells_that_are_not_done_stay_away_with_what_only_they_need(opened):
    whole = opened()
    finish(whole)
    for cell in whole.plan.cells:
        if cell.coordinates.n_patients == 3:
            shutil.rmtree(whole.store.root / cell.refs["evaluate"])
    part = opened(only=SMALLER)
    assert {cell.coordinates.n_patients for cell in part.plan.cells} == {2}
    assert len(part.plan.cells) == len(whole.plan.cells) / 2
    reached = {ref for cell in part.plan.cells for ref in cell.refs.values()}
    needed = part.plan.ancestors(*reached) | reached
    assert {ref for ref in part.plan.steps if not ref.startswith(("shard", "ingest"))} <= needed
    assert part.plan.steps.keys() < whole.plan.steps.keys()


def test_grids_of_several_commands_add_up(opened):
    finish(opened("grid.replicates=2", "grid.n_patients=[2]"))
    finish(opened("grid.n_patients=[3]"))
    found = opened("grid.n_patients=[2,3]", only=SMALLER)
    draws = {cell.coordinates.draw for cell in found.plan.cells}
    assert draws == {Draw(2, 1), Draw(2, 2), Draw(3, 1)}
    assert len(found.plan.cells) == 12


def test_a_grid_that_holds_the_earlier_ones_is_planned_once(opened, monkeypatch):
    finish(opened("grid.n_patients=[2]"))
    finish(opened())
    planned = []

    def counted(*arguments, **options):
        planned.append(lussweep.study.plan.make_plan(*arguments, **options))
        return planned[-1]

    monkeypatch.setattr(lussweep.run.folder, "make_plan", counted)
    run = opened("grid.replicates=2")
    assert len(planned) == 1
    assert len(run.plan.cells) == len(run.requested.cells) == 16
    opened(only=SMALLER)
    assert len(planned) == 3, "the cells left out may be done"


@pytest.mark.parametrize("name", [STATE_FILE, PLAN_FILE])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_a_command_with_nothing_to_do_writes_state_and_plan_anew(opened, name, damage):
    finish(opened())
    _heartbeat(opened()).settle()  # the steps may have been done in another folder
    folder = opened().folder
    state, written = read_state(folder.seen_by_others), (folder.path / PLAN_FILE).read_bytes()
    assert state["ended"] == "ended"
    assert all(of_stage["done"] == of_stage["of"] for of_stage in state["stages"].values())
    damage(folder.path / name)
    _heartbeat(opened()).settle()
    assert read_state(folder.seen_by_others)["cells"] == state["cells"]
    assert (folder.path / PLAN_FILE).read_bytes() == written


def test_the_state_of_a_command_with_nothing_to_do_has_cells_that_other_folders_did(opened):
    finish(opened())
    part = opened(only=SMALLER)
    _heartbeat(part).settle()
    finish(opened("grid.replicates=2"))
    _heartbeat(opened("grid.replicates=2")).settle()
    cells = read_state(part.folder.seen_by_others)["cells"]
    assert sum(of_point["done"] for of_point in cells) == 16


def finish_with_epoch(run: Run, epoch: int) -> None:
    for ref in run.requested.steps:
        if not run.store.has(ref):
            with run.store.commit(ref, {"summary": {"epoch": epoch}}):
                pass
    claim(run)


def test_a_selected_epoch_that_a_later_grid_names_counts_once(opened):
    combined = {"variant": ["baseline", "combined"], "n_patients": ["2"]}
    selected = opened(only=combined)
    finish_with_epoch(selected, epoch=2)
    run = opened("grid.gan_epochs=[1,2]", only=combined)
    assert len(run.plan.cells) == 4
    rest = {"n=2 r=1 baseline", "n=2 r=1 combined epoch=1"}
    before = names(told_apart(run.plan.cells, run.store))
    assert before == rest | {"n=2 r=1 combined"}, "the named one is not done"
    finish_with_epoch(run, epoch=2)
    assert names(told_apart(run.plan.cells, run.store)) == rest | {"n=2 r=1 combined epoch=2"}
    again = opened(only=combined)
    assert len(again.plan.cells) == 4
    assert names(told_apart(again.plan.cells, again.store)) == rest | {"n=2 r=1 combined epoch=2"}
    cells = selected.plan.cells
    assert told_apart(cells, selected.store) == cells


def test_another_selected_epoch_stays_beside_those_that_a_later_grid_names(opened):
    only = {"variant": ["combined"], "n_patients": ["2"]}
    finish_with_epoch(opened(only=only), epoch=2)
    run = opened("grid.gan_epochs=[1]", only=only)
    finish_with_epoch(run, epoch=1)
    assert told_apart(run.plan.cells, run.store) == run.plan.cells


def test_snapshots_stay_for_the_cells_that_only_leaves_out(opened):
    options = ("gan.conditional=true", "grid.n_patients=[2]", "select.rule=last")
    part = opened(*options, only={"variant": ["combined"]})
    (gan,) = (ref for ref in part.plan.steps if ref.startswith("gan/"))
    with part.store.commit(gan, {}) as folder:
        for epoch in (1, 2):
            snapshot_path(folder, epoch).parent.mkdir(exist_ok=True)
            snapshot_path(folder, epoch).touch()

    def finish_and_prune(run: Run) -> list[str]:
        finish_with_epoch(run, epoch=2)
        snapshot_pruning(run).prune(run.store, gan)
        return [name for name in run.store.files(gan) if name.startswith("snapshots")]

    both = ["snapshots/epoch_0001.safetensors", "snapshots/epoch_0002.safetensors"]
    assert finish_and_prune(part) == both, "the negative class is scored in pure_synthetic alone"
    assert finish_and_prune(opened(*options)) == both[1:]


def test_an_earlier_variant_of_a_plugin_that_is_not_loaded_is_named(opened, tmp_path):
    run = opened()
    recipe = {"pos": ["synthetic"], "neg": ["real"], "gan": {"kind": "blurred", "blur": 8}}
    run.described["variants"]["mine"] = recipe
    claim(run)
    with pytest.raises(InputError) as refused:
        opened()
    (line,) = refused.value.problems
    assert "holds a variant mine with the generator 'blurred': no generator has this name" in line
    assert "name its plugin in plugins" in line
