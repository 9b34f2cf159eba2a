"""`lussweep ingest`: decode the videos of a manifest into a frame store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lussweep.backend.stop import INTERRUPTED
from lussweep.cli.exits import clear_errors
from lussweep.cli.options import (
    DATA,
    FRAMES,
    SPLITS,
    AbsoluteOption,
    AddressOption,
    AnnotationsOption,
    CpusOption,
    CropOption,
    DebugOption,
    IngestBackendOption,
    KeepOutsideOption,
    MaskBoxOption,
    PluginOption,
    PositiveOption,
    RetriesOption,
    SkipOption,
    StrideOption,
    TimeoutOption,
    UnlabelledOption,
)
from lussweep.run.arguments import preprocess_spec
from lussweep.run.request import IngestRequest, Trust
from lussweep.study.spec import SplitSpec, parse

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.backend.stop import Stop
    from lussweep.stages import Context
    from lussweep.study.plan import Plan


def ingest(
    manifest: Annotated[Path, typer.Argument(help="CSV, Parquet or XLSX; see docs/data.md.")],
    out: Annotated[
        str,
        typer.Option(
            help="The store to make or to extend: a folder, or s3://BUCKET/PREFIX.", metavar="PATH"
        ),
    ],
    label: Annotated[
        str,
        typer.Option(
            help="The column of the manifest that holds the labels.",
            metavar="COLUMN",
            rich_help_panel=DATA,
        ),
    ] = "label",
    positive: PositiveOption = None,
    plugin: PluginOption = None,
    annotations: AnnotationsOption = None,
    image_size: Annotated[
        int,
        typer.Option(
            help="Side of the frames: 64, 128 or 256 pixels.",
            metavar="PIXELS",
            rich_help_panel=FRAMES,
        ),
    ] = 256,
    crop: CropOption = "auto",
    mask_box: MaskBoxOption = None,
    keep_outside_sector: KeepOutsideOption = False,
    frame_stride: StrideOption = 1,
    val: Annotated[
        float,
        typer.Option(
            help="Share of patients in val, if the manifest has no split.",
            metavar="SHARE",
            rich_help_panel=SPLITS,
        ),
    ] = 0.2,
    holdout: Annotated[
        float,
        typer.Option(
            help="Share of patients in holdout, if the manifest has no split.",
            metavar="SHARE",
            rich_help_panel=SPLITS,
        ),
    ] = 0.3,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the draw of splits.", metavar="N", rich_help_panel=SPLITS),
    ] = 2023,
    skip_unreadable: SkipOption = False,
    skip_unlabelled: UnlabelledOption = False,
    allow_absolute: AbsoluteOption = False,
    address: AddressOption = None,
    backend: IngestBackendOption = None,
    cpus: CpusOption = None,
    retries: RetriesOption = 1,
    step_timeout: TimeoutOption = None,
    debug: DebugOption = False,
) -> None:
    """Decode, crop, mask and resize the videos of a manifest into a store."""
    with clear_errors(debug):
        from lussweep.backend.choose import ExecutionOptions, backend_of_ingest, executor_of
        from lussweep.backend.driver import run_plan
        from lussweep.cli.data_table import print_data
        from lussweep.cli.live import live_progress
        from lussweep.cli.terminal import notify, say_again
        from lussweep.run.ingest import ingest_manifest

        backend = backend or backend_of_ingest(address, cpus, step_timeout)
        options = ExecutionOptions(address, backend, cpus, False, retries, step_timeout)
        preprocess = preprocess_spec(
            "ingest", crop, mask_box, not keep_outside_sector, frame_stride, image_size
        )
        split = parse(SplitSpec, {"val": val, "holdout": holdout}, "ingest")
        request = IngestRequest(
            manifest, out, label, preprocess, split, seed, annotations, skip_unreadable,
            Trust(allow_absolute), positive or (), skip_unlabelled, plugin or (),
        )  # fmt: skip

        def run_steps(plan: Plan, context: Context, folder: Path, stop: Stop) -> Progress:
            with (
                executor_of(plan, context, folder, options, stop=stop, notify=notify) as executor,
                live_progress(executor.progress_text) as on_change,
            ):
                stop.listen()  # Ray has set its own handler of SIGTERM when it started
                store = context.store.surveyed()
                return run_plan(
                    plan, store, executor, on_change, retries=options.retries, stop=stop
                )

        try:
            ingested = ingest_manifest(request, run_steps)
        except KeyboardInterrupt:  # the frames of finished patients stay
            say_again("interrupted: run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
        print_data(
            ingested.manifest, ingested.splits, notes=ingested.notes, frames=ingested.index,
            skipped=ingested.skipped, stride=frame_stride,
        )  # fmt: skip
        typer.echo(f"store: {out}")
