"""Defines the options that several commands share, so that each has one wording."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from lussweep.cli import completion

DEFAULT_EXPERIMENT = "quickstart"

DATA, GRID, RESULTS = "Data", "Part of the grid", "Results"
FRAMES, SPLITS = "Frames", "Splits"
RUNNING, COST = "How it runs", "Cost"
"""Panels of the help, in the order in which their first options are declared."""


def hidden(option: Any) -> Any:
    """Return the typer.Option of an annotated type, left out of the help."""
    declared = copy(get_args(option)[1])
    declared.hidden = True
    return declared


Experiment = Annotated[
    str,
    typer.Argument(
        help="A YAML file, or the name of one that ships with lussweep.",
        autocompletion=completion.experiments,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        help="A manifest (CSV, Parquet, XLSX) or a store made by `ingest`.",
        metavar="PATH",
        show_default="the phantom",
        rich_help_panel=DATA,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        help="The column of the manifest that holds the labels.",
        metavar="COLUMN",
        rich_help_panel=DATA,
    ),
]
PositiveOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A label that counts as positive; all others are negative. May be repeated.",
        metavar="LABEL",
        rich_help_panel=DATA,
    ),
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(
        help="A table of labelled frames: video_id, frame (7, 10-24, 1.5s-3s), label.",
        metavar="FILE",
        rich_help_panel=DATA,
    ),
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        help="An installed plugin that reads another format.",
        metavar="NAME",
        rich_help_panel=DATA,
    ),
]
CropOption = Annotated[
    str,
    typer.Option(
        help="auto (the sector), none, or x0,y0,x1,y1 in pixels.",
        metavar="BOX",
        rich_help_panel=FRAMES,
    ),
]
MaskBoxOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A box x0,y0,x1,y1 to blank before the crop. May be repeated.",
        metavar="BOX",
        rich_help_panel=FRAMES,
    ),
]
KeepOutsideOption = Annotated[
    bool,
    typer.Option(
        "--no-mask-outside-sector",
        help="Keep what lies outside the sector, in place of blanking it.",
        rich_help_panel=FRAMES,
    ),
]
StrideOption = Annotated[
    int, typer.Option(min=1, help="Keep every k-th frame.", metavar="K", rich_help_panel=FRAMES)
]
OutOption = Annotated[
    str | None,
    typer.Option(
        help="Run folder, or s3://BUCKET/PREFIX.",
        metavar="PATH",
        show_default="lussweep-runs/NAME",
        rich_help_panel=RESULTS,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        help="Folder or URL of the artifacts, if not in the run folder. Runs can share it.",
        metavar="PATH",
        rich_help_panel=RESULTS,
    ),
]
ReplicatesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of draws of patients for each patient count.",
        metavar="N",
        rich_help_panel=GRID,
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Run only these cells, such as variant=baseline,n_patients=6,15.",
        metavar="CELLS",
        rich_help_panel=GRID,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a value, such as gan.n_epochs=5 or grid.n_patients=3,6,12.",
        metavar="KEY=VALUE",
        autocompletion=completion.settings,
        rich_help_panel=GRID,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="The Ray to use: local, auto or HOST:PORT.",
        metavar="ADDRESS",
        show_default="$RAY_ADDRESS, else local",
        rich_help_panel=RUNNING,
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        help="ray, or inline: one step at a time, without Ray.",
        metavar="NAME",
        rich_help_panel=RUNNING,
    ),
]
IngestBackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="inline: one patient at a time; or ray: on all cores, or on a cluster.",
        metavar="NAME",
        show_default="inline, or ray with an option for it",
        rich_help_panel=RUNNING,
    ),
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of CPUs of a local Ray.",
        metavar="N",
        show_default="all",
        rich_help_panel=RUNNING,
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu or cuda.", metavar="NAME", rich_help_panel=RUNNING)
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="Weights of ResNet-34 for ImageNet, in torchvision's format.",
        metavar="FILE",
        rich_help_panel=DATA,
    ),
]
DashboardOption = Annotated[
    bool, typer.Option(help="Start the dashboard of a local Ray.", rich_help_panel=RUNNING)
]
SkipOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Leave out videos that cannot be opened (ingest: or decoded).",
        rich_help_panel=DATA,
    ),
]
UnlabelledOption = Annotated[
    bool,
    typer.Option(
        "--skip-unlabelled",
        help="Leave out rows of the manifest without a label.",
        rich_help_panel=DATA,
    ),
]
RetriesOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="How often a step that fails is tried again.",
        metavar="N",
        rich_help_panel=RUNNING,
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        help="Minutes after which a step that hangs is ended (Ray only).",
        metavar="MINUTES",
        show_default="never",
        rich_help_panel=RUNNING,
    ),
]
AbsoluteOption = Annotated[
    bool,
    typer.Option(
        "--allow-absolute",
        help="Allow paths in the manifest and the experiment that leave their folder.",
        rich_help_panel=DATA,
    ),
]
RevealOption = Annotated[
    bool,
    typer.Option(
        "--reveal-ids",
        help="Name patients and files in logs and failures, in place of hashes.",
        rich_help_panel=RESULTS,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        help="Print errors, warnings and the final report only.",
        rich_help_panel=RESULTS,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON event a line, for programs.",
        rich_help_panel=RESULTS,
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or its URL.")]

UnusedAddress = Annotated[str | None, hidden(AddressOption)]
UnusedBackend = Annotated[str, hidden(BackendOption)]
UnusedCpus = Annotated[int | None, hidden(CpusOption)]
UnusedDashboard = Annotated[bool, hidden(DashboardOption)]
UnusedRetries = Annotated[int, hidden(RetriesOption)]
UnusedTimeout = Annotated[float | None, hidden(TimeoutOption)]
UnusedReveal = Annotated[bool, hidden(RevealOption)]
UnusedQuiet = Annotated[bool, hidden(QuietOption)]
UnusedJson = Annotated[bool, hidden(JsonOption)]
"""Options that `plan` accepts and ignores, so that it takes the same arguments as `grid`."""
