"""Holds the examples in the help of each command."""

from __future__ import annotations

from rich.markup import escape

EXAMPLES: dict[str, tuple[str, ...]] = {
    "grid": (
        "lussweep grid",
        "lussweep grid pocus --data manifest.csv --label label --out run",
        "lussweep grid --set grid.n_patients=3,6,12 --set gan.n_epochs=5",
        "lussweep grid --only variant=combined,n_patients=6",
    ),
    "plan": (
        "lussweep plan --replicates 5",
        "lussweep plan paper --data manifest.csv --from run --gpus 8 --price 2.5",
    ),
    "init": ("lussweep init videos --pattern '{split}/{label}/{patient}_*'",),
    "preview": ("lussweep preview manifest.csv --label label",),
    "ingest": (
        "lussweep ingest manifest.csv --out frames --image-size 128",
        "lussweep ingest manifest.csv --out s3://BUCKET/frames --address auto",
    ),
    "export-synthetic": ("lussweep export-synthetic run --out frames --n-patients 15 --class pos",),
    "report": ("lussweep report run", "lussweep report run --shareable"),
    "compare": ("lussweep compare run-a run-b --html compare.html",),
    "show": (
        "lussweep show run",
        "lussweep show run/results.parquet --rows 5",
        "lussweep show run/artifacts/gan/03499dabc095ec5f",
    ),
    "doctor": ("lussweep doctor", "lussweep doctor --address auto --out s3://BUCKET/run"),
    "status": ("lussweep status run", "lussweep status s3://BUCKET/run --json"),
    "logs": ("lussweep logs run variant=combined,n_patients=6,replicate=1",),
    "cancel": ("lussweep cancel run",),
    "submit": ("lussweep submit paper -- --data s3://BUCKET/frames --out s3://BUCKET/run",),
    "schema": ("lussweep schema > experiment.schema.json",),
}
"""By command. Each fits a line of 80 columns."""


def epilog(command: str) -> str:
    """The end of a command's help: a line for each example."""
    return "\n\n".join(["Examples:", *(f"  {escape(line)}" for line in EXAMPLES[command])])
