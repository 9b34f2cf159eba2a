"""The command line: parse, build the spec, call. Heavy imports wait until they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lussweep
from lussweep.errors import InputError
from lussweep.spec import (
    Manifest,
    PreprocessSpec,
    SplitSpec,
    StudySpec,
    load_study,
    parse,
    read_text,
)

if TYPE_CHECKING:
    from lussweep.backend.driver import Executor, Progress
    from lussweep.plan import Plan
    from lussweep.run import Run
    from lussweep.stages import Context

app = typer.Typer(
    help="How much are synthetic images worth? A sweep over patients, replicates and variants.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_EXPERIMENT = "quickstart"
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
    bool, typer.Option("--skip-unreadable", help="Go on without videos that cannot be read.")
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
    debug: DebugOption = False,
) -> None:
    """Run patient counts x replicates x variants; the same command again does what is missing."""
    with _clear_errors(debug):
        run, context_of, skipped = _open(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable,
        )  # fmt: skip
        raise typer.Exit(
            _run_grid(run, context_of(device), skipped, address, backend, cpus, dashboard)
        )


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
    debug: DebugOption = False,
) -> None:
    """Say what `grid` with the same arguments would do, without doing it."""
    with _clear_errors(debug):
        run, _, _ = _open(
            experiment, data, label, annotations, out, store, replicates, only, set_, weights,
            skip_unreadable,
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
    address: AddressOption = None,
    backend: BackendOption = "ray",
    cpus: CpusOption = None,
    debug: DebugOption = False,
) -> None:
    """Decode, crop, mask and resize the videos of a manifest into a store."""
    with _clear_errors(debug):
        from lussweep.ingest import ingest_manifest
        from lussweep.terminal import print_table1

        preprocess = parse(
            PreprocessSpec,
            {
                "image_size": image_size,
                "crop": _box(crop) if "," in crop else crop,
                "mask_boxes": [_box(box) for box in mask_box or []],
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
        )  # fmt: skip
        print_table1(index, skipped)
        typer.echo(f"store: {out}")


# --- from arguments to a run --------------------------------------------------------------


def _open(
    experiment: str,
    data: Path | None,
    label: str | None,
    annotations: Path | None,
    out: Path | None,
    store: Path | None,
    replicates: int | None,
    only: list[str] | None,
    overrides: list[str] | None,
    weights: Path | None,
    skip_unreadable: bool,
) -> tuple[Run, Callable[[str], Context], Sequence[tuple[str, str, str]]]:
    from lussweep.run import open_run

    changes = list(overrides or ())
    if replicates is not None:
        changes.append(f"grid.replicates={replicates}")
    if label is not None:
        changes.append(f"data.label={label}")
    study = load_study(_experiment_text(experiment), overrides=changes, where=experiment)
    study, manifest, also_read, skipped = _find_data(study, data, annotations, skip_unreadable)
    study = study.with_embedders(weights is not None)
    weights_digest = None
    if "imagenet" in study.score.embedders:
        from lussweep.models.resnet import weights_digest as digest_of

        weights_digest = digest_of(weights)
    run = open_run(
        (out or Path("lussweep-runs") / study.name).absolute(),
        study,
        manifest,
        phantom=data is None,
        store=store,
        also_read=also_read,
        weights_digest=weights_digest,
        only=_only(only),
    )

    def context_of(device: str) -> Context:
        from lussweep.stages import Context

        _check_device(device)
        paths = {v.sha256: v.path for v in manifest.videos if v.path}
        return Context(run.store, device, paths, weights.absolute() if weights else None)

    return run, context_of, skipped


def _experiment_text(experiment: str) -> str:
    path = Path(experiment)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return read_text(path)
    folder = _shipped_experiments()
    shipped = sorted(p.stem for p in folder.glob("*.yaml"))
    if experiment not in shipped:
        raise InputError(
            f"no experiment {experiment}: give a YAML file, or one of {', '.join(shipped)}"
        )
    return (folder / f"{experiment}.yaml").read_text(encoding="utf-8")


def _shipped_experiments() -> Path:
    """Package data where lussweep is installed, the folder beside the package in a checkout."""
    package = Path(lussweep.__file__).parent
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parent / "experiments"


def _find_data(
    study: StudySpec, data: Path | None, annotations: Path | None, skip_unreadable: bool
) -> tuple[StudySpec, Manifest, Sequence[Path], Sequence[tuple[str, str, str]]]:
    if data is None:
        from lussweep.data.phantom import phantom_manifest

        return study, phantom_manifest(study.data.phantom, study.seed), (), ()
    if data.is_dir():
        from lussweep.ingest import open_store

        manifest, preprocess = open_store(data)
        section = study.data.model_copy(update={"preprocess": preprocess})
        return study.model_copy(update={"data": section}), manifest, (data / "artifacts",), ()
    from lussweep.data.manifest import read_manifest

    manifest, skipped = read_manifest(
        data,
        label=study.data.label,
        annotations=annotations,
        split=study.data.split,
        seed=study.seed,
        skip_unreadable=skip_unreadable,
    )
    return study, manifest, (), skipped


def _only(texts: list[str] | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in ",".join(texts or ()).split(","):
        axis, equals, value = part.partition("=")
        if equals and axis and value:
            found.setdefault(axis.strip(), []).append(value.strip())
        elif part:
            raise InputError(f"--only {part!r} is not of the form axis=value")
    return found


def _box(text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"the box {text!r} is not of the form x0,y0,x1,y1 in pixels")
    return [int(part) for part in parts]


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device} is none of auto, cpu, cuda")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InputError("--device cuda, but PyTorch sees no GPU here: use --device auto")


# --- running ------------------------------------------------------------------------------


def _run_grid(
    run: Run,
    context: Context,
    skipped: Sequence[tuple[str, str, str]],
    address: str | None,
    backend: str,
    cpus: int | None,
    dashboard: bool,
) -> int:
    from lussweep.outputs import write_report
    from lussweep.run import execute_data, execute_grid, is_done, start
    from lussweep.terminal import print_failures, print_outputs, print_summary

    start(run)
    failures: dict[str, str] = {}
    blocked: dict[str, str] = {}
    interrupted = False
    try:
        if not is_done(run):
            with (
                _executor(
                    run.asked, context, run.folder / "ray", address, backend, cpus, dashboard
                ) as executor,
                _display() as on_change,
            ):
                execute_data(run, executor, on_change)
                progress = execute_grid(run, executor, on_change)
            failures = {ref: o.error or "" for ref, o in progress.failed.items()}
            blocked = progress.blocked
    except KeyboardInterrupt:  # steps in hand are lost, what is done stays
        interrupted = True
    results = write_report(run, failures, blocked, skipped)
    print_summary(results)
    print_failures(run, failures)
    print_outputs(run.folder)
    if interrupted:
        typer.echo("interrupted: run the same command again to go on", err=True)
        return INTERRUPTED
    return OK if set(results["status"].to_pylist()) == {"done"} else CELLS_MISSING


@contextmanager
def _executor(
    plan: Plan,
    context: Context,
    folder: Path,
    address: str | None,
    backend: str,
    cpus: int | None,
    dashboard: bool,
) -> Iterator[Executor]:
    if backend == "inline":
        from lussweep.backend.inline import InlineExecutor

        yield InlineExecutor(context)
    elif backend == "ray":
        from lussweep.backend.cluster.session import ray_session

        with ray_session(address, n_cpus=cpus, dashboard=dashboard) as url:
            from lussweep.backend.cluster.executor import ClusterExecutor

            if url:
                typer.echo(f"Ray dashboard: {url}", err=True)
            with ClusterExecutor(plan, context, folder) as executor:
                yield executor
    else:
        raise InputError(f"--backend {backend} is neither ray nor inline")


@contextmanager
def _display() -> Iterator[Callable[[Progress], None]]:
    from lussweep.terminal import live_progress

    with live_progress() as on_change:
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
