"""Plans whose steps hold other shares of a GPU."""

from __future__ import annotations

from dataclasses import replace

from lussweep.study.plan import Plan, Step, Workers

GPU_STAGES = ("gan", "trial", "features", "score", "floor", "synth", "memorisation", "evaluate")
SHARES = {**dict.fromkeys(GPU_STAGES, 0.25), "gan": 1.0}
"""The share of a GPU that a step of each stage holds where an experiment does not say."""


def holding(step: Step, **shares: float) -> Step:
    """The step with the share of a GPU that its stage holds."""
    share = {**SHARES, **shares}.get(step.stage, 0.0)
    return replace(step, workers=Workers(step.workers.n, share))


def sharing(plan: Plan, **shares: float) -> Plan:
    """The plan with the shares of some stages changed."""
    return Plan({ref: holding(s, **shares) for ref, s in plan.steps.items()}, plan.cells)
