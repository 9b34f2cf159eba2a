"""The command line: parse, build the spec, call. Heavy imports wait until they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lussweep.arguments import Data, make_context, open_arguments, parse_box
from lussweep.errors import InputError
from lussweep.spec import PreprocessSpec, SplitSpec, parse

if TYPE_CHECKING:
    from lussweep.backend.driver import Executor, Progress
    from lussweep.plan import Plan
    from lussweep.run import Run
    from lussweep.spec import StudySpec
    from lussweep.stages import Context

app = typer.Typer(
    help="How much are synthetic images worth? A sweep over patients, replicates and variants.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_EXPERIMENT = "quickstart"
BACKENDS = ("ray", "inline")
INTERIM_S, INTERIM_SHARE = 60.0, 0.02
"""Interim results are written so far apart at least, and take no larger share of the time."""
OK, CELLS_MISSING, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

Experiment = Annotated[
    str,
    typer.Argument(help="A YAML file, or the name of one that ships with lussweep."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="A manifest (CSV, Parquet) or a store made by `ingest`; else the phantom."),
]
LabelOption = Annotated[str | None, typer.Option(help="The manifest's label column.")]
AnnotationsOption = Annotated[
    Path | None, typer.Option(help="Frame annotations: a table of video_id, frame, label.")
]
OutOption = Annotated[Path | None, typer.Option(help="Run folder [lussweep-runs/NAME].")]
StoreOption = Annotated[
    Path | None, typer.Option(help="Artifacts here, to share them between experiments.")
]
ReplicatesOption = Annotated[int | None, typer.Option(min=1, help="Draws of patients a count.")]
OnlyOption = Annotated[
    list[str] | None, typer.Option(help="Cells to do, such as variant=baseline,n_patients=6.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change the experiment: gan.n_epochs=5.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray: local, auto or HOST:PORT [$RAY_ADDRESS, else local].")
]
BackendOption = Annotated[str, typer.Option(help="ray, or inline: one step at a time, no Ray.")]
CpusOption = Annotated[int | None, typer.Option(min=1, help="CPUs of a local Ray [all].")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="ImageNet ResNet-34 weights, torchvision's format.")
]
DashboardOption = Annotated[bool, typer.Option(help="Start the dashboard of a local Ray.")]
SkipOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable", help="Leave out videos that cannot be opened (ingest: or decoded)."
    ),
]
AbsoluteOption = Annotated[
    bool,
    typer.Option(
        "--allow-absolute", help="Trust paths in the data and the experiment that leave its folder."
    ),
]
RevealOption = Annotated[
    bool, typer.Option("--reveal-ids", help="Name patients and files in logs and failures.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


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
    allow_absolute: AbsoluteOption = False,
    reveal_ids: RevealOption = False,
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    with _clear_errors(debug):
        if backend not in BACKENDS:
            raise InputError(f"--backend {backend} is neither ray nor inline")
        run, found = open_arguments(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable, allow_absolute, reveal_ids,
        )  # fmt: skip
        context = make_context(run, found, device, weights)
        raise typer.Exit(_run_grid(run, context, found, address, backend, cpus, dashboard))


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
    address: AddressOption = None,
    backend: BackendOption = "ray",
    cpus: CpusOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    dashboard: DashboardOption = True,
    skip_unreadable: SkipOption = False,
    allow_absolute: AbsoluteOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what `grid` with the same arguments would do, without doing it."""
    with _clear_errors(debug):
        run, _ = open_arguments(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable, allow_absolute,
        )  # fmt: skip
        from lussweep.terminal import print_plan

        print_plan(run)


@app.command()
def ingest(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet; see the README.")],
    out: Annotated[Path, typer.Option(help="The store to make or to extend.")],
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
    debug: DebugOption = False,
) -> None:
    """Decode, crop, mask and resize the videos of a manifest into a store."""
    with _clear_errors(debug):
        if backend not in BACKENDS:
            raise InputError(f"--backend {backend} is neither ray nor inline")
        from lussweep.ingest import ingest_manifest
        from lussweep.terminal import print_table1

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

        def run_steps(plan: Plan, context: Context) -> Progress:
            from lussweep.backend.driver import run_plan

            with (
                _executor(plan, context, out, address, backend, cpus, False) as executor,
                _display() as on_change,
            ):
                return run_plan(plan, context.store, executor, on_change)

        index, skipped = ingest_manifest(
            manifest, out, label=label, annotations=annotations, preprocess=preprocess,
            split=split, seed=seed, skip_unreadable=skip_unreadable, run_steps=run_steps,
            allow_absolute=allow_absolute,
        )  # fmt: skip
        print_table1(index, skipped)
        typer.echo(f"store: {out}")


@app.command("export-synthetic")
def export_synthetic(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
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
    with _clear_errors(debug):
        from lussweep.release import release

        if format_ not in ("png", "parquet"):
            raise InputError(f"--format {format_} is neither png nor parquet")
        asked = {
            "n_patients": n_patients, "replicate": replicate, "class": label, "gan": gan,
            "gan_epoch": gan_epoch,
        }  # fmt: skip
        chosen = {name: value for name, value in asked.items() if value is not None}
        for folder in release(run, out, format_, chosen, store):
            typer.echo(str(folder))


# --- running ------------------------------------------------------------------------------


def _run_grid(
    run: Run,
    context: Context,
    data: Data,
    address: str | None,
    backend: str,
    cpus: int | None,
    dashboard: bool,
) -> int:
    from lussweep.backend.driver import BackendError
    from lussweep.outputs import write_report
    from lussweep.run import (
        check_room,
        claim,
        execute_data,
        execute_grid,
        is_claimed,
        is_done,
        write_failure_logs,
    )
    from lussweep.terminal import (
        print_failures,
        print_outputs,
        print_statistics,
        print_summary,
    )

    check_room(run)
    watch = _Watch(run)
    broken = ""
    try:
        if not is_done(run):
            _check_weights(run, context)
            folder = run.folder / "ray"
            with (
                _executor(
                    run.asked,
                    context,
                    folder,
                    address,
                    backend,
                    cpus,
                    dashboard,
                    run.study,
                ) as executor,
                _display(run.store.progress) as watch.show,
            ):
                execute_data(run, executor, watch.show)
                claim(run)
                execute_grid(run, executor, watch)
        claim(run)
    except KeyboardInterrupt:  # steps in hand are lost, what is done stays
        broken = "interrupted"
    except BackendError as error:
        broken = str(error)
    if broken and not is_claimed(run.folder):
        typer.echo(f"{broken} before anything was trained: run the same command again", err=True)
        return INTERRUPTED
    write_failure_logs(run, watch.progress)
    failures = {ref: o.error or "" for ref, o in watch.progress.failed.items()}
    results = write_report(run, failures, watch.progress.blocked, data.skipped)
    print_summary(results, run.study, data.source)
    print_statistics(run.folder)
    print_failures(run, failures)
    print_outputs(run.folder)
    if broken:
        typer.echo(f"{broken}: run the same command again to go on", err=True)
        return INTERRUPTED if broken == "interrupted" else CELLS_MISSING
    done = set(results["status"].to_pylist()) == {"done"} and not failures
    return OK if done else CELLS_MISSING


class _Watch:
    """Shows the progress, remembers it, and keeps the results so far on disk."""

    def __init__(self, run: Run) -> None:
        from lussweep.backend.driver import Progress

        self.run = run
        self.progress = Progress(run.asked)
        self.show: Callable[[Progress], None] = lambda progress: None
        self.next_interim = time.monotonic() + INTERIM_S

    def __call__(self, progress: Progress) -> None:
        from lussweep.outputs import write_interim

        self.progress = progress
        self.show(progress)
        judged = any(ref.startswith("evaluate/") for ref in progress.latest)
        if judged and time.monotonic() > self.next_interim:
            started = time.monotonic()
            write_interim(self.run, {ref: o.error or "" for ref, o in progress.failed.items()})
            self.next_interim = time.monotonic() + max(
                INTERIM_S, (time.monotonic() - started) / INTERIM_SHARE
            )


def _check_weights(run: Run, context: Context) -> None:
    """A wrong or missing weights file is found before anything is trained."""
    if "imagenet" in run.study.score.embedders:
        from lussweep.models.resnet import load_resnet34

        load_resnet34(context.weights)


@contextmanager
def _executor(
    plan: Plan,
    context: Context,
    folder: Path,
    address: str | None,
    backend: str,
    cpus: int | None,
    dashboard: bool,
    study: StudySpec | None = None,
) -> Iterator[Executor]:
    if backend == "inline":
        from lussweep.backend.inline import InlineExecutor

        yield InlineExecutor(plan, context)
    else:
        from lussweep.backend.cluster.session import ray_session

        with ray_session(address, n_cpus=cpus, dashboard=dashboard) as url:
            from lussweep.backend.cluster.executor import ClusterExecutor, GpuShares

            if url:
                typer.echo(f"Ray dashboard: {url}", err=True)
            shares = GpuShares()
            if study is not None:
                shares = GpuShares(study.gan.gpus or GpuShares.gan, study.search.gpus_per_trial)
            with ClusterExecutor(plan, context, folder, shares) as executor:
                yield executor


@contextmanager
def _display(
    told: Callable[[str], str] = lambda ref: "",
) -> Iterator[Callable[[Progress], None]]:
    from lussweep.terminal import live_progress

    with live_progress(told) as on_change:
        yield on_change


@contextmanager
def _clear_errors(debug: bool) -> Iterator[None]:
    """One clear line per problem, exit code 2; a traceback only with --debug."""
    try:
        yield
    except InputError as error:
        if debug:
            raise
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def main() -> Any:
    return app()
