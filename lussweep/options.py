"""Options that commands share: one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
