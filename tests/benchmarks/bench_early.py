"""How early the cells of a finished run had an AUC: `python tests/benchmarks/bench_early.py RUN`.

Reads state.json, plan.json and the records of the steps. The time runs from the start of the
command to the end of its last step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

PARTS = (0.1, 0.25, 0.5, 0.75, 0.9)


def shares_by(
    ends: Mapping[str, float], cells: Sequence[str], parts: Sequence[float]
) -> list[float]:
    """The share of cells that have an AUC after each part of the time of all steps.

    `ends`: when each step ended, in seconds from the start, by ref. `cells`: the ref of each cell's
    evaluation.
    """
    wall_s = max(ends.values())
    return [sum(ends[ref] <= part * wall_s for ref in cells) / len(cells) for part in parts]


def ends_of(run: Path) -> tuple[dict[str, float], list[str]]:
    """Seconds from the start of the command to the end of each step, and the cells' evaluations.

    Raises SystemExit if more than one command has worked on the run.
    """
    state = json.loads((run / "state.json").read_text())
    plan = json.loads((run / "plan.json").read_text())
    ends = {}
    for ref in plan["steps"]:
        record = json.loads((run / state["store"] / ref / "record.json").read_text())
        how = record["circumstances"]
        began_s = datetime.fromisoformat(how["started"]).timestamp() - state["started"]
        if began_s < -1:  # records hold whole seconds
            raise SystemExit(f"{run}: an earlier command has worked on it: give a run of one")
        ends[ref] = began_s + how["seconds"]
    return ends, [cell["refs"]["evaluate"] for cell in plan["cells"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the --out of a `lussweep grid`")
    run = parser.parse_args().run
    ends, cells = ends_of(run)
    first, last = min(ends[ref] for ref in cells), max(ends.values())
    print(f"{len(cells)} cells; first AUC after {first:.0f} s, last step after {last:.0f} s")
    for part, share in zip(PARTS, shares_by(ends, cells, PARTS), strict=True):
        print(f"after {part:4.0%} of the time {share:4.0%} of the cells have an AUC")


if __name__ == "__main__":
    main()
