"""What `lussweep plan` says of GPU-hours, wall time and cost."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from lussweep.backend.admission import GpuShares
from lussweep.backend.simulated import wall_seconds
from lussweep.cli.status import duration
from lussweep.run.folder import Run
from lussweep.study.costs import (
    GPU_STAGES,
    HOUR_S,
    Estimate,
    Measured,
    estimate,
    plan_tasks,
    step_seconds,
    unknown_gans,
)

HOW = (
    "A GAN and a trial take seconds in proportion to the images that they see (a validation frame "
    "counts as a third of one), scores, synthetic sets, cards and judgement to their frames, "
    "beside a part that is the same for every step where the measured ones can tell it."
)


def estimate_run(run: Run, measured: Measured, n_gpus: int) -> Estimate:
    """What all steps of the asked cells cost, and how long those that are not done take."""
    done = [ref for ref in run.asked.steps if run.store.has(ref)]
    held = GpuShares(run.study.gan.gpus or GpuShares.gan, run.study.search.gpus_per_trial)
    if not measured.on_gpu:  # what took the seconds was one worker, whatever its step
        held = GpuShares(1.0, 1.0, 1.0)
    shares = {stage: held.of(stage) for stage in GPU_STAGES}
    seconds = step_seconds(run.asked, measured)
    tasks = plan_tasks(run.asked, seconds, shares)
    wall_s = wall_seconds(run.asked, tasks, n_gpus, held, done)
    return estimate(run.asked, seconds, done, n_gpus, shares, wall_s)


def print_costs(
    run: Run, measured: Measured, found: Estimate, price: float | None, notes: list[str]
) -> None:
    """A row a stage, then the wall time with its two bounds, and what it costs."""
    table = Table(title=f"GPU-hours, from {measured.source}", title_justify="left")
    for heading in ("stage", "steps", "s each", "GPU-hours", "saved by sharing", "to do"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for cost in found.stages:
        hours = (cost.gpu_hours, cost.unshared_gpu_hours - cost.gpu_hours, cost.left_gpu_hours)
        table.add_row(cost.stage, str(cost.n_steps), f"{cost.mean_s:.2f}", *map(_hours, hours))
    whole, alone, left = (
        found.total(name) for name in ("gpu_hours", "unshared_gpu_hours", "left_gpu_hours")
    )
    table.add_section()
    table.add_row("all", str(len(run.asked.steps)), "", *map(_hours, (whole, alone - whole, left)))
    console = Console(highlight=False)
    console.print(table)
    for line in (*wall_lines(found, price), HOW, *notes):
        console.print(line, soft_wrap=True, markup=False)


def wall_lines(found: Estimate, price: float | None) -> list[str]:
    """Wall time, bounds and price in words."""
    least = found.bounds
    lines = [
        f"{found.n_gpus} GPU{'s' if found.n_gpus > 1 else ''}: about {duration(found.wall_s)} "
        f"(no schedule takes less than {duration(least.no_less_s)}: the work shared out is "
        f"{duration(least.work_s)}, the longest chain of steps {duration(least.chain_s)})"
    ]
    if price is not None:
        used = found.total("left_gpu_hours") * price
        lines.append(
            f"cost: {found.price(price):.2f} for {found.n_gpus} x {found.wall_s / HOUR_S:.2f} h at "
            f"{price:g} per GPU and hour, of which {used:.2f} are used"
        )
    return lines


def notes_on(run: Run, measured: Measured, differ: list[str]) -> list[str]:
    """What the reader must know before believing the numbers."""
    notes = []
    if differ:
        notes.append(
            f"NOTE: that run has another {', '.join(differ)}: its seconds may not carry over"
        )
    if n := unknown_gans(run.asked, measured):
        notes.append(f"NOTE: {n} GANs are of a kind that was not measured: estimated as the others")
    if measured.on_gpu and measured.alone and run.study.search.gpus_per_trial < 1:
        notes.append(
            "NOTE: measured one at a time: trials that share a GPU are taken to be as quick as one "
            "alone, which an earlier run on GPUs would tell"
        )
    if not measured.on_gpu:
        notes.append(
            "NOTE: measured on a CPU, so what is called a GPU here is one worker on such a CPU: "
            "give a run made on GPUs, or --calibrate where there is one"
        )
    return notes


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours >= 0.1 or not hours else f"{hours:.4f}"
