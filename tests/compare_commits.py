"""Compares the tables of a small grid made by two commits of this repository.

    python tests/compare_commits.py BEFORE [AFTER]

BEFORE and AFTER are anything that git can check out; AFTER is the working tree where it is left
out. Each runs the same small grid on the inline backend, with the libraries of this Python. Every
Parquet table must have the same columns, types and rows (numbers to 1e-9) but for seconds, times,
hosts, versions and commit, and every artifact the same key. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
CIRCUMSTANCE = ("seconds", "started", "host", "version", "commit", "peak_memory")
"""A column whose name holds one of these may differ."""
TOLERANCE = 1e-9
GRID = """
name: compared
data:
  phantom: {train_patients: 5, val_patients: 2, holdout_patients: 4, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {n_epochs: 2, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8}
classifier: {n_epochs: 2}
search: {n_trials: 2, channels: [1], learning_rates: [0.003, 0.001], dropouts: [0.25]}
analysis: {n_resamples: 200}
variants:
  oversample: {pos: [real, real], neg: [real]}
grid:
  n_patients: [2, 3, 4]
  replicates: 2
  variants: [baseline, combined, positive_synthetic, pure_synthetic, oversample]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", help="a commit; else the working tree")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lussweep-compare-") as scratch:
        folder = Path(scratch)
        (folder / "grid.yaml").write_text(GRID)
        runs = []
        for name, revision in (("before", given.before), ("after", given.after)):
            with checkout(revision, folder / f"{name}-tree") as tree:
                runs.append(run_grid(tree, folder / "grid.yaml", folder / name))
        differing = compare(*runs)
    for line in differing:
        print(line)
    print(f"{given.before} and {given.after or 'the working tree'}: {len(differing)} differences")
    return 1 if differing else 0


@contextmanager
def checkout(revision: str | None, folder: Path) -> Iterator[Path]:
    """A work tree of a revision; the working tree itself for None."""
    if revision is None:
        yield ROOT
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def run_grid(tree: Path, experiment: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "lussweep", "grid", str(experiment), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    subprocess.run([*command, "--backend", "inline"], env=environment, cwd=out.parent, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return out


def compare(before: Path, after: Path) -> list[str]:
    """A line for everything that differs between two run folders."""
    differing, n_rows = [], 0
    for what, pattern in (("tables", "*.parquet"), ("artifacts", "artifacts/*/*")):
        mine, other = names(before, pattern), names(after, pattern)
        print(f"{len(mine)} {what}")
        differing += [f"{name}: only before" for name in sorted(mine - other)]
        differing += [f"{name}: only after" for name in sorted(other - mine)]
    for path in sorted(before.glob("*.parquet")):
        if (after / path.name).exists():
            lines, n = compare_tables(path, after / path.name)
            differing += lines
            n_rows += n
    print(f"{n_rows} rows compared")
    return differing


def names(run: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(run)) for path in run.glob(pattern)}


def compare_tables(before: Path, after: Path) -> tuple[list[str], int]:
    """Lines that differ, and the number of rows compared."""
    mine, other = pq.read_table(before), pq.read_table(after)
    if not mine.schema.equals(other.schema):
        return [f"{before.name}: schema"], 0
    kept = [n for n in mine.column_names if not any(word in n for word in CIRCUMSTANCE)]
    first, second = (table.select(kept).to_pylist() for table in (mine, other))
    if len(first) != len(second):
        return [f"{before.name}: {len(first)} rows before, {len(second)} after"], 0
    lines = [
        f"{before.name}: row {k}, {name}: {one[name]!r} before, {two[name]!r} after"
        for k, (one, two) in enumerate(zip(first, second, strict=True))
        for name in kept
        if not same(one[name], two[name])
    ]
    return lines, len(first)


def same(one: Any, two: Any) -> bool:
    """Equal, numbers to TOLERANCE; NaN is the same as NaN."""
    if isinstance(one, float) and isinstance(two, float):
        close = math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return close or (math.isnan(one) and math.isnan(two))
    if isinstance(one, Sequence) and not isinstance(one, str | bytes):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


if __name__ == "__main__":
    sys.exit(main())
