"""`lussweep plan`: print what a grid would do, and what it would cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import (
    COST,
    DEFAULT_EXPERIMENT,
    AbsoluteOption,
    AnnotationsOption,
    DataOption,
    DebugOption,
    DeviceOption,
    Experiment,
    LabelOption,
    OnlyOption,
    OutOption,
    PositiveOption,
    ReplicatesOption,
    SetOption,
    SkipOption,
    StoreOption,
    UnlabelledOption,
    UnusedAddress,
    UnusedBackend,
    UnusedCpus,
    UnusedDashboard,
    UnusedJson,
    UnusedQuiet,
    UnusedRetries,
    UnusedReveal,
    UnusedTimeout,
    WeightsOption,
)
from lussweep.cli.status import duration
from lussweep.errors import InputError
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.request import RunRequest, Trust
from lussweep.study.costs import (
    HOUR_S,
    CostEstimate,
    Measured,
    estimate,
    plan_tasks,
    step_seconds,
    unknown_gans,
)
from lussweep.study.plan import STAGES
from lussweep.study.plan.words import stage_words

if TYPE_CHECKING:
    from lussweep.store.artifacts import ArtifactStore
    from lussweep.study.plan import Plan
    from lussweep.study.spec import StudySpec

HOW = (
    "A GAN and a trial take seconds in proportion to the images that they see (a validation frame "
    "counts as a third of one), scores, synthetic sets, cards and judgement to their frames, "
    "beside a part that is the same for every step where the measured ones can tell it."
)


def plan(
    experiment: Experiment = DEFAULT_EXPERIMENT,
    data: DataOption = None,
    label: LabelOption = None,
    positive: PositiveOption = None,
    annotations: AnnotationsOption = None,
    out: OutOption = None,
    store: StoreOption = None,
    replicates: ReplicatesOption = None,
    only: OnlyOption = None,
    set_: SetOption = None,
    address: UnusedAddress = None,
    backend: UnusedBackend = "ray",
    cpus: UnusedCpus = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    dashboard: UnusedDashboard = True,
    skip_unreadable: SkipOption = False,
    skip_unlabelled: UnlabelledOption = False,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Estimate how long the grid takes on this number of GPUs.",
            metavar="N",
            rich_help_panel=COST,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Estimate what the grid costs, at this price per GPU and hour.",
            metavar="PRICE",
            rich_help_panel=COST,
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Take the seconds of each step from this earlier run.",
            metavar="RUN",
            rich_help_panel=COST,
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Measure the seconds of each step: run a few short steps now.",
            rich_help_panel=COST,
        ),
    ] = False,
    power: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Estimate how many replicates detect this difference of AUC-ROC.",
            metavar="DIFFERENCE",
            rich_help_panel=COST,
        ),
    ] = None,
    retries: UnusedRetries = 1,
    step_timeout: UnusedTimeout = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: UnusedReveal = False,
    quiet: UnusedQuiet = False,
    as_json: UnusedJson = False,
    debug: DebugOption = False,
) -> None:
    """Say what `grid` with the same arguments would do, and cost, without doing it."""
    with clear_errors(debug):
        from lussweep.cli.cohort_table import print_cohorts
        from lussweep.cli.data_table import frame_index, print_given

        wanted = calibrate or any(option is not None for option in (gpus, price, from_))
        if calibrate and from_ is not None:
            raise InputError("--from and --calibrate exclude each other: leave out either")
        if wanted and not calibrate and from_ is None:
            raise InputError(
                "the plan does not know how long steps take: give either --from RUN, an earlier "
                "run with records, or --calibrate, which runs a few short steps now"
            )
        request = RunRequest(
            experiment, data, label, annotations, out, store, replicates, only or (), set_ or (),
            weights, skip_unreadable, Trust(allow_absolute, reveal_ids), positive or (),
            skip_unlabelled,
        )  # fmt: skip
        run, run_data = open_arguments(request)
        print_given(run, run_data)
        phantom = run.study.data.phantom if run_data.is_phantom else None
        print_cohorts(run.requested, run.manifest, phantom, frame_index(run))
        print_plan(run.study.name, run.requested, run.store, run.folder.place)
        if power:
            print_power(power, from_)
        if wanted:
            from lussweep.backend.choose import ExecutionOptions
            from lussweep.cli.terminal import notify
            from lussweep.run.calibration import calibrate as run_short
            from lussweep.run.measuring import differences, measured_run, scaled_to

            if from_ is not None:
                measured = scaled_to(measured_run(from_), from_, run.study, run.requested)
                differ = differences(from_, run.study)
            else:
                options = ExecutionOptions(backend="inline", device=device)
                context = make_context(run, run_data, options.device, request.weights)
                measured = run_short(run.study, run.manifest, run.requested, context, notify)
                differ = []
            costs = estimate_plan(run.requested, run.store, measured, gpus or 1)
            print_costs(
                measured, costs, price, notes_on(run.study, run.requested, measured, differ)
            )


def print_plan(name: str, plan: Plan, store: ArtifactStore, place: str) -> None:
    """Print how many steps each stage has, how many are saved by sharing, and how many are done.

    `name` is the study's, `place` the run folder or its URL. Does not import PyTorch.
    """
    store = store.surveyed()
    wanted: Counter[str] = Counter()
    for ref, cells in plan.cells_by_step():
        wanted[plan.steps[ref].stage] += len(cells)
    done = Counter(step.stage for ref, step in plan.steps.items() if store.has(ref))
    table = Table(title=f"{name}: {len(plan.cells)} cells", title_justify="left")
    for heading in ("stage", "steps", "saved by sharing", "done", "to do"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    counts = plan.counts()
    for stage in STAGES:
        n = counts[stage]
        if not n:
            continue
        saved = max(0, wanted[stage] - n)
        table.add_row(stage_words(stage), *map(str, (n, saved, done[stage], n - done[stage])))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"run folder: {place}", soft_wrap=True)


def print_power(difference: float, run: Path | None) -> None:
    """Print how many replicates detect a difference, from a run's variances or assumed ones."""
    from lussweep.cli.power import power_table
    from lussweep.report.power import assumed_components, measured_components

    console = Console(highlight=False)
    if run is None:
        console.print("No run is given (--from), so these variances are assumed, not measured:")
    components = assumed_components() if run is None else measured_components(run)
    console.print(power_table(components, difference))


def estimate_plan(
    plan: Plan, store: ArtifactStore, measured: Measured, n_gpus: int
) -> CostEstimate:
    """Estimate the GPU-hours of all steps, and the wall time of the missing ones on `n_gpus`."""
    from lussweep.backend.simulated import wall_seconds

    done = [ref for ref in plan.steps if store.has(ref)]
    if not measured.on_gpu:  # the seconds were measured with one whole worker per step
        plan = plan.on_whole_gpus()
    seconds = step_seconds(plan, measured)
    wall_s = wall_seconds(plan, plan_tasks(plan, seconds), n_gpus, done)
    return estimate(plan, seconds, done, n_gpus, wall_s)


def print_costs(
    measured: Measured, costs: CostEstimate, price: float | None, notes: list[str]
) -> None:
    """Print a row for each stage, then the wall time with its two bounds, and the price."""
    table = Table(title=f"GPU-hours, from {measured.source}", title_justify="left")
    for heading in ("stage", "steps", "s each", "GPU-hours", "saved by sharing", "to do"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for cost in costs.stages:
        hours = (cost.gpu_hours, cost.unshared_gpu_hours - cost.gpu_hours, cost.left_gpu_hours)
        table.add_row(
            stage_words(cost.stage), str(cost.n_steps), f"{cost.mean_s:.2f}", *map(_hours, hours)
        )
    whole, alone, left = (
        costs.total(name) for name in ("gpu_hours", "unshared_gpu_hours", "left_gpu_hours")
    )
    table.add_section()
    table.add_row("all", str(costs.n_steps), "", *map(_hours, (whole, alone - whole, left)))
    console = Console(highlight=False)
    console.print(table)
    for line in (*wall_lines(costs, price), HOW, *notes):
        console.print(line, soft_wrap=True, markup=False)


def wall_lines(costs: CostEstimate, price: float | None) -> list[str]:
    """The wall time with its bounds, and the price, one line each."""
    least = costs.bounds
    lines = [
        f"{costs.n_gpus} GPU{'s' if costs.n_gpus > 1 else ''}: about {duration(costs.wall_s)} "
        f"(no schedule takes less than {duration(least.no_less_s)}: the work divided evenly is "
        f"{duration(least.work_s)}, the longest chain of steps {duration(least.chain_s)})"
    ]
    if price is not None:
        used = costs.total("left_gpu_hours") * price
        lines.append(
            f"cost: {costs.price(price):.2f} for {costs.n_gpus} x {costs.wall_s / HOUR_S:.2f} h at "
            f"{price:g} per GPU and hour, of which {used:.2f} are used"
        )
    return lines


def notes_on(study: StudySpec, plan: Plan, measured: Measured, differ: list[str]) -> list[str]:
    """Reasons why the estimate may be wrong, one line each.

    `differ` names the settings that differ in the measured run.
    """
    notes = []
    if differ:
        notes.append(
            f"NOTE: the run of --from has another {', '.join(differ)}: its seconds may not fit here"
        )
    if n := unknown_gans(plan, measured):
        notes.append(
            f"NOTE: {n} GANs are of a kind that was not measured: they count like the others"
        )
    if measured.on_gpu and measured.alone and study.search.gpus_per_trial < 1:
        notes.append(
            "NOTE: trials were measured one at a time, so trials that share a GPU are assumed to "
            "be as quick as one alone: --from an earlier run on GPUs measures it"
        )
    if not measured.on_gpu:
        notes.append(
            "NOTE: the seconds were measured on a CPU, so a GPU in this table is one worker on "
            "such a CPU: give a run made on GPUs, or use --calibrate on a machine with a GPU"
        )
    return notes


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours >= 0.1 or not hours else f"{hours:.4f}"
