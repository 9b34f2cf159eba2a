"""Shares that change from step to step: of two CPUs here, of GPUs where there are any."""

from __future__ import annotations

from pathlib import Path

from lussweep.backend.admission import Resources
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step

SHARES = [0.4] * 5 + [2.0, 0.4, 1.1, 2.0, 0.4]


def test_no_idle_worker_keeps_a_corner_that_the_next_step_needs(
    local_ray: None, tmp_path: Path
) -> None:
    """Workers are kept for later steps of their share; a step of another gets their place."""
    import ray

    from lussweep.backend.cluster.tuning import TuneService

    plan, store = Plan(), ArtifactStore(tmp_path / "artifacts")
    steps = [plan.steps[plan.add(Step("trial", 1, {"i": i}))] for i in range(len(SHARES))]
    for step in steps:  # each is done, so that its worker has nothing to do
        with store.commit(step.ref, {"summary": {}}):
            pass
    service = TuneService(plan.steps, Context(store, "cpu"), tmp_path / "ray")
    for step, share in zip(steps, SHARES, strict=True):
        service.submit(step, Resources(share))
    ended = [service.searcher.ended.get(timeout=400) for _ in steps]
    service.close()
    groups = ray.util.placement_group_table().values()
    asked = {bundle["CPU"] for group in groups for bundle in group["bundles"].values()}
    assert {outcome.ref for outcome in ended} == plan.steps.keys()
    assert not [outcome for outcome in ended if outcome.error]
    assert set(SHARES) <= asked
