"""A GAN on two workers through Ray Train, with gloo on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from lussweep.backend.admission import Admission, Resources
from lussweep.backend.driver import Outcome, run_plan
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step, make_plan
from lussweep.study.spec import load_study
from support.commands import TINY

OVERRIDES = ["gan.n_workers=2", "gan.batch_size=8", "gan.n_epochs=6", "grid.n_patients=[2]"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    study = load_study(TINY, overrides=OVERRIDES).with_embedders(False)
    manifest = phantom_manifest(study.data.phantom, study.seed)
    return make_plan(
        study, manifest, phantom=True, only={"variant": ["baseline", "positive_synthetic"]}
    )


@pytest.fixture(scope="module")
def gan(plan: Plan) -> str:
    return next(ref for ref in plan.steps if ref.startswith("gan/"))


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> ArtifactStore:
    """The whole plan, done without anything being killed."""
    from lussweep.backend.cluster.executor import ClusterExecutor

    folder = tmp_path_factory.mktemp("workers")
    store = ArtifactStore(folder / "artifacts")
    with ClusterExecutor(plan, Context(store, "cpu"), folder / "ray") as executor:
        progress = run_plan(plan, store, executor)
    assert not progress.failed, [o.traceback for o in progress.failed.values()]
    assert progress.done == set(plan.steps)
    return store


def test_two_workers_train_one_gan_beside_the_trials(store: ArtifactStore, gan: str) -> None:
    assert store.record(gan)["summary"]["n_workers"] == 2
    rows = pq.read_table(store.open(gan) / "losses.parquet").to_pylist()
    losses = {n: [r["value"] for r in rows if r["name"] == n] for n in ("n_images_seen", "loss_g")}
    n_frames = store.record(gan)["summary"]["n_frames"]
    assert losses["n_images_seen"] == [k * n_frames for k in range(1, 7)]
    assert len(losses["loss_g"]) == 6 and all(np.isfinite(losses["loss_g"]))
    weights = load_file(store.open(gan) / "snapshots" / "epoch_0006.safetensors")
    assert all(torch.isfinite(t).all() for t in weights.values())


def test_a_gang_with_a_killed_worker_goes_on_from_its_checkpoint(
    store: ArtifactStore,
    plan: Plan,
    gan: str,
    tmp_path: Path,
    local_ray: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second rank dies in mid-epoch, once; nobody does anything, and the weights are equal."""
    import ray

    from lussweep.backend.cluster import executor as module

    killed, seen = tmp_path / "killed", tmp_path / "resumed_from"

    def train_worker(config: dict) -> dict:
        import os
        import signal
        import threading
        import time
        from pathlib import Path

        from ray import train

        from lussweep.backend.cluster.training import _train_worker

        checkpoints = Path(config["work"]) / "checkpoints"
        rank = train.get_context().get_world_rank()
        if killed.exists():
            seen.write_text(" ".join(sorted(p.name for p in checkpoints.iterdir())))

        def kill_after_a_checkpoint() -> None:
            while not list(checkpoints.glob("checkpoint_*.pt")):
                time.sleep(0.001)
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

        if rank == 1 and not killed.exists():
            threading.Thread(target=kill_after_a_checkpoint, daemon=True).start()
        return _train_worker(config)

    @ray.remote(max_retries=0)
    def gang_task(
        step: Step, context: Context, limit: None, folder: Path, use_gpu: bool
    ) -> Outcome:
        """As `_gang_task`, in whose process the worker's function is another."""
        from lussweep.backend.cluster import training

        training._train_worker, original = train_worker, training._train_worker
        try:
            training.train_on_workers(step, context, folder, use_gpu)
        finally:
            training._train_worker = original
        return Outcome(step.ref)

    monkeypatch.setattr(module, "_gang_task", gang_task)
    needed = plan.ancestors(gan) | {gan}
    part = Plan({ref: step for ref, step in plan.steps.items() if ref in needed})
    again = ArtifactStore(tmp_path / "artifacts")
    context = Context(again, "cpu", checkpoint_minutes=0.0)
    with module.ClusterExecutor(part, context, tmp_path / "ray") as executor:
        progress = run_plan(part, again, executor)
    assert not progress.failed, [o.traceback for o in progress.failed.values()]
    assert killed.exists()
    assert "checkpoint_" in seen.read_text()
    for epoch in ("0001", "0006"):
        name = f"snapshots/epoch_{epoch}.safetensors"
        first, second = (load_file(s.open(gan) / name) for s in (store, again))
        for tensor, weights in first.items():
            if "running" not in tensor and "num_batches" not in tensor:
                assert torch.equal(weights, second[tensor]), (epoch, tensor)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["gan.n_workers=8", "gan.batch_size=8"],
            r"8 worker\(s\) of 1 CPU asked, the cluster's nodes hold 2",
        ),
        (["compute.n_threads=4"], r"1 worker\(s\) of 4 CPU asked, .* hold 0"),
    ],
)
def test_what_the_cluster_cannot_hold_is_refused_at_the_start(
    overrides: list[str], message: str, tmp_path: Path, local_ray: None
) -> None:
    """Ray itself would wait for ever, in silence."""
    from lussweep.backend.cluster.executor import ClusterExecutor

    study = load_study(TINY, overrides=[*overrides, "grid.n_patients=[2]"])
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True)
    context = Context(ArtifactStore(tmp_path / "artifacts"), "cpu")
    with pytest.raises(InputError, match=message):
        ClusterExecutor(plan, context, tmp_path / "ray")


def test_that_no_node_is_left_for_a_step_is_told_once(
    plan: Plan,
    tmp_path: Path,
    local_ray: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Until one has come and gone again."""
    import ray

    from lussweep.backend.cluster.executor import ClusterExecutor

    nodes = ray.nodes()
    executor = ClusterExecutor(plan, Context(ArtifactStore(tmp_path), "cpu"), tmp_path / "ray")
    executor.admission.begin(next(s for s in plan.steps.values() if s.stage == "trial"))
    for alive, n_told in [(True, 0), (False, 1), (False, 1), (True, 1), (False, 2)]:
        found = [{**node, "Alive": alive} for node in nodes]
        monkeypatch.setattr(ray, "nodes", lambda found=found: found)
        executor._warn_of_missing_nodes()
        told = [
            r.getMessage() for r in caplog.records if "too few nodes with 1 CPU" in r.getMessage()
        ]
        assert len(told) == n_told


def test_a_step_whose_process_dies_each_time_fails_alone_and_with_the_reason(
    tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trial kills its worker whenever it runs; the other cell of the same run is done."""
    from lussweep.backend.cluster import tuning
    from lussweep.backend.cluster.executor import ClusterExecutor

    study = load_study(TINY, overrides=["grid.n_patients=[2, 3]"])
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True, only={"variant": ["baseline"]})
    victim = next(r for r, s in plan.steps.items() if s.name == "trial 1 n=2 r=1 baseline")
    original = tuning._run_step

    def run_step(config: dict, pieces: list, context: Context, limit: object) -> None:
        import os
        import signal

        if config["ref"] == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        original(config, pieces, context, limit)

    monkeypatch.setattr(tuning, "_run_step", run_step)
    store = ArtifactStore(tmp_path / "artifacts")
    with ClusterExecutor(plan, Context(store, "cpu"), tmp_path / "ray") as executor:
        progress = run_plan(plan, store, executor, lost_again=1)
    assert set(progress.failed) == {victim}
    assert "WorkerLost: the process of this step was lost: " in progress.failed[victim].error
    blocked, done = plan.cells[0].refs["evaluate"], plan.cells[1].refs["evaluate"]
    assert progress.blocked[blocked] == victim
    assert done in progress.done


def test_a_gang_takes_whole_gpus_and_leaves_single_gans_their_share() -> None:
    """Fake numbers: no GPU is here."""
    study = load_study(
        TINY.replace("grid: {n_patients: [2, 3], replicates: 1}", VARIANT_WITH_A_GANG),
        overrides=["gan.gpus=0.5"],
    ).with_embedders(False)
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True)
    admission = Admission([], Resources(cpus=4, gpus=4))
    gans = [step for step in plan.steps.values() if step.stage == "gan"]
    needs = {step.workers.n: admission.needs(step) for step in gans}
    assert (needs[1].gpus, needs[2].gpus) == (0.5, 2.0)


VARIANT_WITH_A_GANG = """
grid: {n_patients: [2], variants: [gang, pure_synthetic]}
variants: {gang: {pos: [synthetic], neg: [synthetic], gan: {n_workers: 2}}}
"""
