"""`lussweep preview`: show what preprocessing keeps of each video of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lussweep.cli.arguments import preprocess_spec
from lussweep.cli.exits import clear_errors
from lussweep.cli.options import (
    AbsoluteOption,
    CropOption,
    DebugOption,
    MaskBoxOption,
    MaskOutsideOption,
    SkipOption,
    StrideOption,
)
from lussweep.errors import InputError
from lussweep.study.spec import SplitSpec


def preview(
    manifest: Annotated[Path, typer.Argument(help="CSV or Parquet; see docs/data.md.")],
    out: Annotated[Path, typer.Option(help="The HTML page to write.")] = Path("preview.html"),
    label: Annotated[str, typer.Option(help="The manifest's label column.")] = "label",
    crop: CropOption = "auto",
    mask_box: MaskBoxOption = None,
    mask_outside_sector: MaskOutsideOption = True,
    frame_stride: StrideOption = 1,
    skip_unreadable: SkipOption = False,
    allow_absolute: AbsoluteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write contact sheets that show the crop and the mask of each video."""
    with clear_errors(debug):
        from lussweep.data.manifest import read_manifest
        from lussweep.data.preview import look_at
        from lussweep.data.readers.decode import read_frames
        from lussweep.report.preview import write_preview

        if out.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--out {out} is no HTML page: give a name that ends in .html")
        spec = preprocess_spec("preview", crop, mask_box, mask_outside_sector, frame_stride)
        videos, refused = read_manifest(
            manifest,
            label=label,
            split=SplitSpec(),
            seed=0,
            skip_unreadable=skip_unreadable,
            allow_absolute=allow_absolute,
        )
        looked_at = []
        for video in videos.videos:
            try:
                frames = read_frames(Path(video.path or ""), spec.frame_stride)
                looked_at.append((video, look_at(frames, spec)))
            except InputError as error:
                refused.append((video.patient_id, video.video_id, str(error)))
        for page in write_preview(looked_at, refused, out):
            typer.echo(f"preview: {page}")
        typer.echo("It shows pixels of patients: look at it, and do not share it.")
