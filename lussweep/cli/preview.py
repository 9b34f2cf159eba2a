"""`lussweep preview`: show what preprocessing keeps of each video of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import (
    AbsoluteOption,
    CropOption,
    DebugOption,
    KeepOutsideOption,
    MaskBoxOption,
    PluginOption,
    PositiveOption,
    SkipOption,
    StrideOption,
    UnlabelledOption,
)
from lussweep.errors import InputError
from lussweep.run.arguments import preprocess_spec
from lussweep.study.plugins import load_plugins


def preview(
    manifest: Annotated[Path, typer.Argument(help="CSV, Parquet or XLSX; see docs/data.md.")],
    out: Annotated[Path, typer.Option(help="The HTML page to write.")] = Path("preview.html"),
    label: Annotated[
        str, typer.Option(help="The column of the manifest that holds the labels.")
    ] = "label",
    positive: PositiveOption = None,
    plugin: PluginOption = None,
    crop: CropOption = "auto",
    mask_box: MaskBoxOption = None,
    keep_outside_sector: KeepOutsideOption = False,
    frame_stride: StrideOption = 1,
    skip_unreadable: SkipOption = False,
    skip_unlabelled: UnlabelledOption = False,
    allow_absolute: AbsoluteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write pages that show the crop and the mask of each video."""
    with clear_errors(debug):
        from lussweep.data.manifest import read_manifest
        from lussweep.data.preview import look_at
        from lussweep.data.readers.decode import read_loop
        from lussweep.report.preview import write_preview

        if out.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--out {out} is not an HTML page: give a name that ends in .html")
        spec = preprocess_spec("preview", crop, mask_box, not keep_outside_sector, frame_stride)
        load_plugins(plugin or ())
        reading = read_manifest(
            manifest,
            label=label,
            positive=positive or (),
            split=None,
            seed=0,
            skip_unreadable=skip_unreadable,
            skip_unlabelled=skip_unlabelled,
            allow_absolute=allow_absolute,
        )
        looked_at, refused = [], list(reading.skipped)
        for video in reading.manifest.videos:
            try:
                loop = read_loop(Path(video.path or ""), spec.frame_stride)
                look = look_at(loop.pixels, spec.of_video(video), loop.extremes)
                looked_at.append((video, look))
            except InputError as error:
                refused.append((video.patient_id, video.video_id, str(error)))
        for note in reading.notes:
            typer.echo(note)
        for page in write_preview(looked_at, refused, out):
            typer.echo(f"preview: {page}")
        typer.echo("It shows pixels of patients: look at it, and do not share it.")
