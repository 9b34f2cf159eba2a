"""A GAN on two workers through Ray Train, with gloo on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from lussweep.backend.driver import run_plan
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.plan import make_plan
from lussweep.spec import load_study
from lussweep.stages import Context
from lussweep.store import ArtifactStore
from support import TINY


def test_two_workers_train_one_gan_beside_the_trials(tmp_path: Path, local_ray: None) -> None:
    from lussweep.backend.cluster.executor import ClusterExecutor

    study = load_study(
        TINY, overrides=["gan.n_workers=2", "gan.batch_size=8", "grid.n_patients=[2]"]
    ).with_embedders(False)
    plan = make_plan(
        study,
        phantom_manifest(study.data.phantom, study.seed),
        phantom=True,
        only={"variant": ["positive_synthetic"]},
    )
    store = ArtifactStore(tmp_path / "artifacts")
    with ClusterExecutor(plan, Context(store, "cpu"), tmp_path / "ray") as executor:
        progress = run_plan(plan, store, executor)
    assert not progress.failed, [o.traceback for o in progress.failed.values()]
    assert progress.done == set(plan.steps)
    gan = next(ref for ref in plan.steps if ref.startswith("gan/"))
    assert store.record(gan)["summary"]["n_workers"] == 2
    losses = pq.read_table(store.open(gan) / "losses.parquet").to_pylist()
    n_frames = store.record(gan)["summary"]["n_frames"]
    assert [row["n_images_seen"] for row in losses] == [n_frames, 2 * n_frames]
    assert all(np.isfinite([row["loss_g"] for row in losses]))
    weights = load_file(store.open(gan) / "snapshots" / "epoch_0002.safetensors")
    assert all(torch.isfinite(t).all() for t in weights.values())


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

    def run_step(config: dict, steps: dict, context: Context) -> None:
        import os
        import signal

        if config["ref"] == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        original(config, steps, context)

    monkeypatch.setattr(tuning, "_run_step", run_step)
    store = ArtifactStore(tmp_path / "artifacts")
    with ClusterExecutor(plan, Context(store, "cpu"), tmp_path / "ray") as executor:
        progress = run_plan(plan, store, executor)
    assert set(progress.failed) == {victim}
    assert "WorkerLost: the process of this step was lost: " in progress.failed[victim].error
    blocked, done = plan.cells[0].refs["evaluate"], plan.cells[1].refs["evaluate"]
    assert progress.blocked[blocked] == victim
    assert done in progress.done
