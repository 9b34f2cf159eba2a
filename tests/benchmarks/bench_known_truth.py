"""Verdicts on variants of known worth, over twenty small studies.

`PYTHONPATH=.:tests python tests/benchmarks/bench_known_truth.py` prints them. Each seed is one
study of 63 cells, on patients of its own. A false verdict is a difference with a p-value below 0.05
after Holm's adjustment where there is none, as in `known_truth.parquet`. The bounds of
`test_known_truth.py` were fixed before a seed was run. With `--out FOLDER` the command goes on
where it was stopped; `--seeds 1 6` runs the first six.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lussweep.store.files import write_whole
from support.known_studies import N_PATIENTS, study_of, tables_of

SEEDS = range(1, 21)
DIFFERENCES = (
    ("again", "baseline"), ("memoriser", "oversample"), ("unpaired", "oversample"),
    ("ideal", "baseline"), ("doubled", "baseline"),
)  # fmt: skip
Found = dict[str, list[dict[str, Any]]]
"""The rows of `contrasts`, `worth` and `known_truth` of one seed."""


def found_by(seed: int, folder: Path) -> Found:
    """The tables of one seed's study: those in the folder, or else new ones.

    The artifacts of a study lie in the folder until its tables do.
    """
    kept, artifacts = folder / f"{seed}.json", folder / f"{seed}-artifacts"
    if not kept.exists():
        found = tables_of(study_of(seed), artifacts, "contrasts", "worth", "known_truth")
        write_whole(kept, json.dumps(found))
        shutil.rmtree(artifacts)
    result: Found = json.loads(kept.read_text())
    return result


def differences(found: Iterable[Found], variant: str, reference: str) -> list[dict[str, Any]]:
    """The contrasts of a pair, of every seed and patient count."""
    pair = (variant, reference)
    return [
        row
        for one in found
        for row in one["contrasts"]
        if (row["variant"], row["reference"]) == pair
    ]


def n_false(rows: Sequence[dict[str, Any]]) -> int:
    """How many of some contrasts without a true difference were found to have one."""
    return sum(row["p_holm"] is not None and row["p_holm"] < 0.05 for row in rows)


def mean_difference(rows: Sequence[dict[str, Any]]) -> float:
    """The mean difference of AUC-ROC over seeds and patient counts."""
    return float(sum(row["difference"] for row in rows) / len(rows))


def n_held(found: Iterable[Found], variant: str, n_patients: int, truth: int) -> int:
    """In how many seeds the interval of a worth holds the true one. A withheld one does not."""
    rows = [
        row
        for one in found
        for row in one["worth"]
        if (row["variant"], row["n_patients"]) == (variant, n_patients)
    ]
    return sum(
        row["interval_low"] is not None and row["interval_low"] <= truth <= row["interval_high"]
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(SEEDS[0], SEEDS[-1]))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        first, last = arguments.seeds
        print_found([found_by(seed, folder) for seed in range(first, last + 1)])


def print_found(found: Sequence[Found]) -> None:
    print(f"{len(found)} seeds, {', '.join(map(str, N_PATIENTS))} patients of each class")
    for variant, reference in DIFFERENCES:
        rows = differences(found, variant, reference)
        beside = sum(row["low"] is not None and not row["low"] <= 0 <= row["high"] for row in rows)
        print(
            f"{variant} - {reference}: mean {mean_difference(rows):+.4f}; of {len(rows)} contrasts "
            f"{n_false(rows)} found (Holm), {beside} intervals without 0"
        )
    for variant, times in (("again", 1), ("doubled", 2)):
        for n in N_PATIENTS:
            held = n_held(found, variant, n, times * n)
            print(
                f"worth of {variant} at {n}: interval holds {times * n} in {held} of {len(found)}"
            )
    outcomes = [row["outcome"] for one in found for row in one["known_truth"]]
    counts = {name: outcomes.count(name) for name in ("right", "wrong", "withheld")}
    print(f"known_truth: {counts}")


if __name__ == "__main__":
    main()
