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
        (["gan.n_workers=8", "gan.batch_size=8"], "gan.n_workers 8 needs 8 CPU, the cluster has 2"),
        (["compute.n_threads=4"], "compute.n_threads 4 needs as many CPUs on one node"),
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
