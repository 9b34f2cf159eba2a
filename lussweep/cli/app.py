"""The command line: parse, build the spec, call. Heavy imports wait until they are needed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lussweep.backend.stop import INTERRUPTED
from lussweep.cli.arguments import make_context, open_arguments, parse_box
from lussweep.cli.exits import OK, clear_errors
from lussweep.cli.options import (
    COST,
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
    ReplicatesOption,
    RetriesOption,
    RevealOption,
    SetOption,
    SkipOption,
    StoreOption,
    TimeoutOption,
    UnusedAddress,
    UnusedBackend,
    UnusedCpus,
    UnusedDashboard,
    UnusedRetries,
    UnusedReveal,
    UnusedTimeout,
    WeightsOption,
)
from lussweep.cli.submit import COMMANDS
from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec, SplitSpec, parse

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.backend.stop import Stop
    from lussweep.stages import Context
    from lussweep.study.plan import Plan

app = typer.Typer(
    help="How much are synthetic images worth? A sweep over patients, replicates and variants.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_EXPERIMENT = "quickstart"
PROBLEM_FOUND = 1


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"lussweep {metadata.version('lussweep')}")
        except metadata.PackageNotFoundError:
            typer.echo("lussweep, version unknown: it is not installed")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Handles the options that stand before a command."""


@app.command()
def grid(
    experiment: Experiment = DEFAULT_EXPERIMENT,
    data: DataOption = None,
    label: LabelOption = None,
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
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: RevealOption = False,
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    with clear_errors(debug):
        from lussweep.run.drive import How, run_alone

        how = How(address, backend, cpus, dashboard, retries, step_timeout)
        run, found = open_arguments(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable, allow_absolute, reveal_ids,
        )  # fmt: skip
        context = make_context(run, found, device, weights)
        raise typer.Exit(run_alone(run, context, found, how))


@app.command()
def plan(
    experiment: Experiment = DEFAULT_EXPERIMENT,
    data: DataOption = None,
    label: LabelOption = None,
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
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Say how long the grid takes on so many GPUs.",
            metavar="N",
            rich_help_panel=COST,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Say what the grid costs, at this price of a GPU and hour.",
            metavar="PRICE",
            rich_help_panel=COST,
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Take the seconds of a step from this earlier run.",
            metavar="RUN",
            rich_help_panel=COST,
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Take the seconds of a step from a few short ones, run here.",
            rich_help_panel=COST,
        ),
    ] = False,
    retries: UnusedRetries = 1,
    step_timeout: UnusedTimeout = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: UnusedReveal = False,
    debug: DebugOption = False,
) -> None:
    """Say what `grid` with the same arguments would do, and cost, without doing it."""
    with clear_errors(debug):
        wanted = calibrate or any(option is not None for option in (gpus, price, from_))
        if wanted and calibrate == (from_ is not None):
            raise InputError(
                "how long steps take is not known from the plan alone: give either --from RUN, an "
                "earlier run with records, or --calibrate, which runs a few short steps here"
            )
        run, found = open_arguments(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable, allow_absolute, reveal_ids,
        )  # fmt: skip
        from lussweep.cli.plan_table import print_plan

        print_plan(run)
        if wanted:
            from lussweep.cli.plan import estimate_run, notes_on, print_costs
            from lussweep.run.calibration import calibrate as run_short
            from lussweep.run.measuring import differences, measured_run

            if from_ is not None:
                measured, differ = measured_run(from_), differences(from_, run.study)
            else:
                context = make_context(run, found, device, weights)
                measured = run_short(run, context, lambda line: typer.echo(line, err=True))
                differ = []
            costs = estimate_run(run, measured, gpus or 1)
            print_costs(run, measured, costs, price, notes_on(run, measured, differ))


@app.command()
def ingest(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet; see docs/data.md.")],
    out: Annotated[
        str, typer.Option(help="The store to make or to extend: a folder, or s3://BUCKET/PREFIX.")
    ],
    label: Annotated[str, typer.Option(help="The manifest's label column.")] = "label",
    annotations: AnnotationsOption = None,
    image_size: Annotated[int, typer.Option(help="64, 128 or 256 pixels.")] = 256,
    crop: Annotated[str, typer.Option(help="auto, none or x0,y0,x1,y1.")] = "auto",
    mask_box: Annotated[
        list[str] | None, typer.Option(help="x0,y0,x1,y1 to blank, before the crop.")
    ] = None,
    mask_outside_sector: Annotated[bool, typer.Option(help="Blank what is not sector.")] = True,
    frame_stride: Annotated[int, typer.Option(min=1, help="Keep every k-th frame.")] = 1,
    val: Annotated[float, typer.Option(help="Share of patients, unless the manifest says.")] = 0.2,
    holdout: Annotated[
        float, typer.Option(help="Share of patients, unless the manifest says.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(help="For the split.")] = 2023,
    skip_unreadable: SkipOption = False,
    allow_absolute: AbsoluteOption = False,
    address: AddressOption = None,
    backend: BackendOption = "ray",
    cpus: CpusOption = None,
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    debug: DebugOption = False,
) -> None:
    """Decode, crop, mask and resize the videos of a manifest into a store."""
    with clear_errors(debug):
        from lussweep.backend.driver import run_plan
        from lussweep.cli.terminal import live_progress, print_table1
        from lussweep.run.drive import How, executor_of, say_again
        from lussweep.run.ingest import ingest_manifest

        how = How(address, backend, cpus, False, retries, step_timeout)
        preprocess = parse(
            PreprocessSpec,
            {
                "image_size": image_size,
                "crop": parse_box(crop) if "," in crop else crop,
                "mask_boxes": [parse_box(box) for box in mask_box or []],
                "mask_outside_sector": mask_outside_sector,
                "frame_stride": frame_stride,
            },
            "ingest",
        )
        split = parse(SplitSpec, {"val": val, "holdout": holdout}, "ingest")

        def run_steps(plan: Plan, context: Context, folder: Path, stop: Stop) -> Progress:
            with (
                executor_of(plan, context, folder, how, stop=stop) as executor,
                live_progress(executor.told) as on_change,
            ):
                stop.listen()  # as in a grid
                store = context.store.surveyed()
                return run_plan(plan, store, executor, on_change, retries=retries, stop=stop)

        try:
            index, skipped = ingest_manifest(
                manifest, out, label=label, annotations=annotations, preprocess=preprocess,
                split=split, seed=seed, skip_unreadable=skip_unreadable, run_steps=run_steps,
                allow_absolute=allow_absolute,
            )  # fmt: skip
        except KeyboardInterrupt:  # frames of whole patients stay
            say_again("interrupted: run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
        print_table1(index, skipped)
        typer.echo(f"store: {out}")


@app.command("export-synthetic")
def export_synthetic(
    run: Annotated[str, typer.Argument(help="The folder of a run, or its URL.")],
    out: Annotated[Path, typer.Option(help="Images go to OUT/n_patients/replicate/class.")],
    n_patients: Annotated[int | None, typer.Option(help="Of this patient count alone.")] = None,
    replicate: Annotated[int | None, typer.Option(help="Of this replicate alone.")] = None,
    label: Annotated[str | None, typer.Option("--class", help="pos or neg alone.")] = None,
    gan: Annotated[
        str | None, typer.Option(help="Of several GANs, this one (memorisation.parquet, gan).")
    ] = None,
    gan_epoch: Annotated[int | None, typer.Option(help="Of several epochs, this one.")] = None,
    format_: Annotated[str, typer.Option("--format", help="png or parquet.")] = "png",
    store: StoreOption = None,
    debug: DebugOption = False,
) -> None:
    """Write synthetic frames with their memorisation card, unless the release gate refuses."""
    with clear_errors(debug):
        from lussweep.report.release import release

        if format_ not in ("png", "parquet"):
            raise InputError(f"--format {format_} is neither png nor parquet")
        asked = {
            "n_patients": n_patients, "replicate": replicate, "class": label, "gan": gan,
            "gan_epoch": gan_epoch,
        }  # fmt: skip
        chosen = {name: value for name, value in asked.items() if value is not None}
        for folder in release(run, out, format_, chosen, store):
            typer.echo(str(folder))


@app.command()
def doctor(
    address: AddressOption = None,
    out: Annotated[
        str | None, typer.Option(help="The run folder of a run to come, or its URL.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="The folder of its artifacts, or its URL.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="For machines: a list of findings.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Check a cluster, or this machine: who gets in, versions, clocks, GPUs, room, storage."""
    with clear_errors(debug):
        from lussweep.backend.doctor import examine, is_sound, show

        findings = examine(address, [place for place in (store, out) if place])
        typer.echo(show(findings, json_))
        raise typer.Exit(OK if is_sound(findings) else PROBLEM_FOUND)


for command in COMMANDS:
    app.command()(command)


def main() -> Any:
    return app()
