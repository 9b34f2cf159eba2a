"""The command line: parse, build the spec, call. Heavy imports wait until they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lussweep.arguments import Data, make_context, open_arguments, parse_box
from lussweep.commands import COMMANDS
from lussweep.errors import InputError
from lussweep.exits import CELLS_MISSING, INTERRUPTED, OK, clear_errors
from lussweep.spec import PreprocessSpec, SplitSpec, parse
from lussweep.storage import StorageError
from lussweep.store import ArtifactStore

if TYPE_CHECKING:
    from lussweep.alone import Hold
    from lussweep.backend.driver import Executor, Progress
    from lussweep.backend.stop import Stop
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
PROBLEM_FOUND = 1
OPEN_CLUSTER = "warning: whoever reaches this Ray can run code on its nodes: see `lussweep doctor`"

Experiment = Annotated[
    str,
    typer.Argument(help="A YAML file, or the name of one that ships with lussweep."),
]
DataOption = Annotated[
    str | None,
    typer.Option(help="A manifest (CSV, Parquet) or a store made by `ingest`; else the phantom."),
]
LabelOption = Annotated[str | None, typer.Option(help="The manifest's label column.")]
AnnotationsOption = Annotated[
    Path | None, typer.Option(help="Frame annotations: a table of video_id, frame, label.")
]
OutOption = Annotated[
    str | None, typer.Option(help="Run folder, or s3://BUCKET/PREFIX [lussweep-runs/NAME].")
]
StoreOption = Annotated[
    str | None, typer.Option(help="Artifacts here (a folder or a URL), to share them.")
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
RetriesOption = Annotated[
    int, typer.Option(min=0, help="A step that fails is tried again so often.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        help="Minutes after which a step that hangs is ended (Ray) [none].", metavar="MINUTES"
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
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: RevealOption = False,
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    with clear_errors(debug):
        if backend not in BACKENDS:
            raise InputError(f"--backend {backend} is neither ray nor inline")
        if step_timeout is not None:
            _check_timeout(step_timeout, backend)
        run, found = open_arguments(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable, allow_absolute, reveal_ids,
        )  # fmt: skip
        context = make_context(run, found, device, weights)
        how = _How(address, backend, cpus, dashboard, retries, step_timeout)
        raise typer.Exit(_run_alone(run, context, found, how))


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
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Say how long it takes on so many GPUs.")
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Say what it costs, at so much a GPU and hour.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="How long steps take: as in this earlier run.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="How long steps take: run a few short ones here.")
    ] = False,
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    allow_absolute: AbsoluteOption = False,
    reveal_ids: RevealOption = False,
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
        from lussweep.plan_table import print_plan

        print_plan(run)
        if wanted:
            from lussweep.calibration import calibrate as run_short
            from lussweep.cost_table import estimate_run, notes_on, print_costs
            from lussweep.measuring import differences, measured_run

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
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet; see the README.")],
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
        if backend not in BACKENDS:
            raise InputError(f"--backend {backend} is neither ray nor inline")
        if step_timeout is not None:
            _check_timeout(step_timeout, backend)
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

        how = _How(address, backend, cpus, False, retries, step_timeout)

        def run_steps(plan: Plan, context: Context, folder: Path, stop: Stop) -> Progress:
            from lussweep.backend.driver import run_plan

            with (
                _executor(plan, context, folder, how, stop=stop) as executor,
                _display(executor.told) as on_change,
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
            _say_again("interrupted: run the same command again to go on")
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


@app.command()
def doctor(
    address: AddressOption = None,
    out: OutOption = None,
    store: StoreOption = None,
    json_: Annotated[
        bool, typer.Option("--json", help="For machines: a list of findings.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Check a cluster, or this machine: who gets in, versions, clocks, GPUs, room, storage."""
    with clear_errors(debug):
        from lussweep.doctor import examine, is_sound, show

        findings = examine(address, [place for place in (store, out) if place])
        typer.echo(show(findings, json_))
        raise typer.Exit(OK if is_sound(findings) else PROBLEM_FOUND)


for command in COMMANDS:
    app.command()(command)


# --- running ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _How:
    """Where and how steps run: changes no result."""

    address: str | None
    backend: str
    cpus: int | None
    dashboard: bool
    retries: int = 0
    step_minutes: float | None = None


def _check_timeout(minutes: float, backend: str) -> None:
    if minutes <= 0:
        raise InputError(f"--step-timeout {minutes:g}: give more than 0 minutes")
    if backend == "inline":
        raise InputError(
            "--step-timeout ends the process of a step, and --backend inline has but one: leave "
            "out either"
        )


def _run_alone(run: Run, context: Context, data: Data, how: _How) -> int:
    """Run with the folder's lease in hand, and stop in order when a signal asks for it."""
    from lussweep.alone import alone_in
    from lussweep.disk import room_named
    from lussweep.run import check_room

    check_room(run)
    with room_named(run.folder), alone_in(run.folder, run.mirror) as hold:
        return _run_grid(run, context, data, how, hold)


def _run_grid(run: Run, context: Context, data: Data, how: _How, hold: Hold) -> int:
    from lussweep.backend.driver import BackendError
    from lussweep.lease import TakenOver
    from lussweep.outputs import write_report
    from lussweep.run import (
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
                    how,
                    run.study,
                    hold.stop,
                    [] if run.mirror else [ArtifactStore(run.folder)],
                ) as executor,
                _display(executor.told) as watch.show,
                watch.heartbeat.asking(executor.told),
            ):
                hold.stop.listen()  # Ray, once started, handles SIGTERM in its own way
                write_failure_logs(run, watch.progress)  # those of an earlier command go
                run.publish()
                execute_data(run, executor, watch.look, how.retries, hold.stop)
                claim(run)
                execute_grid(run, executor, watch, how.retries, hold.stop)
        else:
            watch.heartbeat.settle()
        claim(run)
    except KeyboardInterrupt:  # steps in hand are lost, what is done stays
        broken = "interrupted"
    except (BackendError, StorageError) as error:
        broken = str(error)
    if hold.lost:  # the report is the other command's now
        raise TakenOver(hold.lost)
    if broken and not is_claimed(run.folder):
        _say_again(f"{broken} before anything was trained: run the same command again")
        return INTERRUPTED
    write_failure_logs(run, watch.progress)
    failures = {ref: o.error or "" for ref, o in watch.progress.failed.items()}
    results = write_report(run, failures, watch.progress.blocked, data.skipped)
    print_summary(results, run.study, data.source)
    print_statistics(run.folder)
    print_failures(run, failures)
    print_outputs(run)
    if broken:
        _say_again(f"{broken}: run the same command again to go on")
        return INTERRUPTED if broken == "interrupted" else CELLS_MISSING
    done = set(results["status"].to_pylist()) == {"done"} and not failures
    return OK if done else CELLS_MISSING


def _say_again(why: str) -> None:
    from lussweep.lease import own_command

    typer.echo(why, err=True)
    typer.echo(own_command(), err=True)


class _Watch:
    """Shows the progress, remembers it, and keeps the results so far on disk."""

    def __init__(self, run: Run) -> None:
        from lussweep.backend.driver import Progress
        from lussweep.heartbeat import Heartbeat
        from lussweep.terminal import time_left

        self.run = run
        self.heartbeat = Heartbeat(run, time_left)
        self.progress = Progress(run.asked)
        self.show: Callable[[Progress], None] = lambda progress: None
        self.logged: set[str] = set()
        self.next_interim = time.monotonic() + INTERIM_S

    def look(self, progress: Progress) -> None:
        """For those who watch: this terminal, and `lussweep status` elsewhere."""
        self.show(progress)
        self.heartbeat.take(progress)

    def __call__(self, progress: Progress) -> None:
        from lussweep.outputs import write_interim
        from lussweep.run import write_failure_log

        for ref in progress.failed.keys() - self.logged:
            self.run.show(write_failure_log(self.run, progress.failed[ref]))
            self.logged.add(ref)
        self.progress = progress
        self.look(progress)
        judged = any(ref.startswith("evaluate/") for ref in progress.latest)
        if judged and time.monotonic() > self.next_interim:
            started = time.monotonic()
            try:
                write_interim(self.run, {r: o.error or "" for r, o in progress.failed.items()})
            except StorageError as error:  # the next one, or the report, makes up for it
                typer.echo(f"{error}: the run goes on", err=True)
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
    how: _How,
    study: StudySpec | None = None,
    stop: Stop | None = None,
    shared: Sequence[ArtifactStore] = (),
) -> Iterator[Executor]:
    """`shared` are folders beside the context's store that every node must see."""
    if how.backend == "inline":
        from lussweep.backend.inline import InlineExecutor

        yield InlineExecutor(plan, context, stop)
    else:
        from lussweep.backend.cluster.session import ray_session

        with ray_session(how.address, n_cpus=how.cpus, dashboard=how.dashboard) as url:
            from lussweep.backend.admission import GpuShares
            from lussweep.backend.cluster.executor import ClusterExecutor
            from lussweep.backend.cluster.inspection import is_open
            from lussweep.backend.cluster.probe import check_nodes

            if url:
                typer.echo(f"Ray dashboard: {url}", err=True)
            if is_open():
                typer.echo(OPEN_CLUSTER, err=True)
            check_nodes([context.store, *shared])
            shares = GpuShares()
            if study is not None:
                shares = GpuShares(study.gan.gpus or GpuShares.gan, study.search.gpus_per_trial)
            with ClusterExecutor(plan, context, folder, shares, how.step_minutes, stop) as executor:
                yield executor


@contextmanager
def _display(
    told: Callable[[str], str] = lambda ref: "",
) -> Iterator[Callable[[Progress], None]]:
    from lussweep.terminal import live_progress

    with live_progress(told) as on_change:
        yield on_change


def main() -> Any:
    return app()
