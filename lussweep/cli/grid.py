"""`lussweep grid`: run an experiment in a run folder, and print its report."""

from __future__ import annotations

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
    JsonOption,
    LabelOption,
    OnlyOption,
    OutOption,
    PositiveOption,
    QuietOption,
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
from lussweep.cli.output import output_of
from lussweep.errors import InputError
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.request import RunRequest, Trust

if TYPE_CHECKING:
    from lussweep.run.drive import RunOutcome


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
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    output = output_of(quiet, as_json)
    with output.ending(), clear_errors(debug, output.refuse):
        from lussweep.backend.choose import ExecutionOptions
        from lussweep.run.drive import drive

        if quiet and as_json:
            raise InputError("--quiet and --json exclude each other: leave out either")
        options = ExecutionOptions(address, backend, cpus, dashboard, retries, step_timeout, device)
        request = RunRequest(
            experiment, data, label, annotations, out, store, replicates, only or (), set_ or (),
            weights, skip_unreadable, Trust(allow_absolute, reveal_ids), positive or (),
            skip_unlabelled,
        )  # fmt: skip
        run, run_data = open_arguments(request)
        context = make_context(run, run_data, options.device, request.weights)
        output.data(run, run_data)
        reported = run.reported(run_data.skipped)
        outcome = drive(run, reported, context, options, output.display, output.notify, output.tell)
        output.report(run, run_data, outcome)
        raise typer.Exit(_exit_code(outcome))


def _exit_code(outcome: RunOutcome) -> int:
    if outcome.is_interrupted:
        return INTERRUPTED
    return OK if outcome.is_complete else CELLS_MISSING
