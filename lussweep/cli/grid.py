"""`lussweep grid`: run an experiment in a run folder, and print its report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from lussweep.backend.stop import INTERRUPTED
from lussweep.cli.exits import CELLS_MISSING, OK, clear_errors
from lussweep.cli.options import (
    DEFAULT_EXPERIMENT,
    AbsoluteOption,
    AddressOption,
    AnnotationsOption,
    BackendOption,
    CpusOption,
    DashboardOption,
    DataOption,
    DebugOption,
    DeviceOption,
    Experiment,
    LabelOption,
    OnlyOption,
    OutOption,
    PositiveOption,
    ReplicatesOption,
    RetriesOption,
    RevealOption,
    SetOption,
    SkipOption,
    StoreOption,
    TimeoutOption,
    UnlabelledOption,
    WeightsOption,
)
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.request import RunRequest, Trust

if TYPE_CHECKING:
    from lussweep.run.drive import RunOutcome
    from lussweep.run.folder import Run


def grid(
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
    address: AddressOption = None,
    backend: BackendOption = "ray",
    cpus: CpusOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    dashboard: DashboardOption = True,
    skip_unreadable: SkipOption = False,
    skip_unlabelled: UnlabelledOption = False,
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: RevealOption = False,
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    with clear_errors(debug):
        from lussweep.backend.choose import ExecutionOptions
        from lussweep.cli.data_table import print_given
        from lussweep.cli.terminal import live_progress, notify
        from lussweep.run.drive import drive

        options = ExecutionOptions(address, backend, cpus, dashboard, retries, step_timeout, device)
        request = RunRequest(
            experiment, data, label, annotations, out, store, replicates, only or (), set_ or (),
            weights, skip_unreadable, Trust(allow_absolute, reveal_ids), positive or (),
            skip_unlabelled,
        )  # fmt: skip
        run, run_data = open_arguments(request)
        context = make_context(run, run_data, options.device, request.weights)
        is_counted = print_given(run, run_data)
        reported = run.reported(run_data.skipped)
        outcome = drive(run, reported, context, options, live_progress, notify)
        if not is_counted and outcome.tables is not None:
            print_given(run, replace(run_data, notes=()))
        _print_outcome(run, outcome, run_data.source)
        raise typer.Exit(_exit_code(outcome))


def _print_outcome(run: Run, outcome: RunOutcome, source: str) -> None:
    """Print the tables and files of the report, and how to go on if the run ended early."""
    from lussweep.cli.terminal import (
        print_failures,
        print_outputs,
        print_statistics,
        print_summary,
        print_unwritten,
        say_again,
    )

    if outcome.tables is None:
        say_again(f"{outcome.broken} before anything was trained: run the same command again")
        return
    print_summary(outcome.tables, run.study, source)
    print_statistics(outcome.tables)
    print_failures(run.plan, outcome.failures, run.conceal)
    print_outputs(run.folder)
    print_unwritten(outcome.unwritten)
    if outcome.broken:
        say_again(f"{outcome.broken}: run the same command again to go on")


def _exit_code(outcome: RunOutcome) -> int:
    if outcome.is_interrupted:
        return INTERRUPTED
    return OK if outcome.is_complete else CELLS_MISSING
