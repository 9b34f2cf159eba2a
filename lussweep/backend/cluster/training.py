"""Trains a generator on several workers with Ray Train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lussweep.models.generators.seam import TrainingEnded
from lussweep.stages import Context, Summary, execute
from lussweep.stages.training import hand_over, train_into
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import GanStep
from lussweep.study.plugins import require_plugins

MAX_FAILURES = 3
"""How often a gang is started again, from its latest checkpoint, before its step fails."""


def train_on_workers(step: Step, context: Context, folder: Path, use_gpu: bool) -> None:
    """Train and commit one generator on the workers of its step (gloo on CPU, NCCL on GPU).

    `folder` is for Ray's own files. Raises TrainingEnded if the training cannot succeed.
    """

    def stage(step: Step, context: Context, out: Path) -> Summary:
        return _fit(step, context, out, folder, use_gpu)

    execute(step, context, stage)


def _fit(step: Step, context: Context, out: Path, folder: Path, use_gpu: bool) -> Summary:
    """Train in the step's workplace, where a restarted gang finds its checkpoint."""
    with context.store.workplace(step.ref) as work:
        summary = _train_gang(step, context, work, folder, use_gpu)
        context.store.fetch_workplace(step.ref, work)  # the first worker may be on another node
        hand_over(work, out)
    return {**summary, "n_workers": step.workers.n}


def _train_gang(step: Step, context: Context, work: Path, folder: Path, use_gpu: bool) -> Summary:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    per_worker: dict[str, float] = {"CPU": GanStep.of(step).n_threads}
    if use_gpu:
        per_worker["GPU"] = 1
    trainer = TorchTrainer(
        _train_worker,  # type: ignore[arg-type]  # annotated for Train V1: a loop returns nothing
        train_loop_config={
            "step": step,
            "context": context,
            "work": str(work),
            "root": str(context.store.root),
        },
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=step.workers.n,
            use_gpu=use_gpu,
            resources_per_worker=per_worker,
        ),
        run_config=RunConfig(
            name=step.key,
            storage_path=str((folder / "train").absolute()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    result = trainer.fit()
    summary: Summary = result.return_value  # type: ignore[attr-defined]  # annotated for Train V1
    if "ended" in summary:
        ended: TrainingEnded = summary["ended"]
        raise ended
    return summary


def _train_worker(config: dict[str, Any]) -> Summary:
    import torch
    from ray import train

    step: Step = config["step"]
    context: Context = config["context"]
    require_plugins(context.plugins)
    n_threads = GanStep.of(step).n_threads
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    torch.set_num_threads(n_threads)
    world = train.get_context()
    # The root of an object store is a folder of this node, so it may differ from the driver's.
    work = context.store.root / Path(config["work"]).relative_to(config["root"])
    work.mkdir(parents=True, exist_ok=True)
    context.store.fetch_workplace(step.ref, work)
    if world.get_world_rank() == 0:
        # Upload a checkpoint that an earlier attempt could not upload. Other workers may not see it
        # in this start, but they will in the next one.
        context.store.keep_workplace(step.ref, work)
    try:
        summary = train_into(
            step, context, work, rank=world.get_world_rank(), world_size=world.get_world_size()
        )
        if world.get_world_rank() == 0:
            context.store.keep_workplace(step.ref, work)
        return summary
    except TrainingEnded as ended:
        # It is returned, because every rank raises it in the same epoch and a restart would not
        # help. Any other error of a rank must reach Ray, which ends the ranks that wait for it.
        return {"ended": ended}
