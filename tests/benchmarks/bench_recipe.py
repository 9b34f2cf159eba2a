"""What an experiment's recipe does on other seeds: `python tests/benchmarks/bench_recipe.py`.

    python tests/benchmarks/bench_recipe.py [EXPERIMENT] [--seeds 1 2 3] [--patients 6 58]
        [--only variant=...] [--set NAME=VALUE] [--data MANIFEST] [--label COLUMN] [--out FOLDER]

Runs one replicate of the grid for each seed in this process. Recipes are tuned on these seeds, and
never on the seed that is reported. Prints the spectral gap of every synthetic set (above 0.5 the
GAN has not learned), the AUC-ROC of every variant and its mean difference from `baseline`, and the
seconds of each stage, in CPU time of the process. The folder --out holds a run for each
seed, which the same command continues, and a sheet of real and synthetic frames to look at.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from lussweep.backend.driver import run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.cohort import of_class
from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.spectral_gap import RealPattern
from lussweep.report.sheet import sample_sheet
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.folder import Run
from lussweep.run.request import RunRequest
from lussweep.stages import table
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.plan import SYNTHETIC_ROLES
from lussweep.study.spec.generators import SPECTRAL_GAP_CEILING

N_SHOWN = 10
ENLARGED = 2
"""A sheet shows each pixel as so many pixels a side."""
Seconds = dict[str, list[float]]


def run_seed(arguments: argparse.Namespace, seed: int, out: Path) -> Run:
    """One replicate of the experiment under a seed, in this process. Raises if a step fails."""
    changes = [f"seed={seed}", *arguments.changes]
    if arguments.patients:
        changes.append(f"grid.n_patients={arguments.patients}")
    request = RunRequest(
        arguments.experiment,
        data=arguments.data,
        label=arguments.label,
        out=str(out),
        replicates=1,
        only=arguments.only,
        overrides=changes,
    )
    run, found = open_arguments(request)
    executor = InlineExecutor(run.requested, make_context(run, found, "cpu", None))
    progress = run_plan(run.requested, run.store, executor)
    if progress.failed:
        raise RuntimeError(f"seed {seed}: {progress.failed}")
    return run


def seconds_of(run: Run, seconds: Seconds) -> None:
    """Adds the CPU seconds of every step to those of its stage."""
    for step in run.requested.steps.values():
        seconds[step.stage].append(run.store.record(step.ref)["circumstances"]["seconds"])


def look_at(run: Run, seed: int, sheet: Path) -> int:
    """Prints the spectral gap of each GAN's set and draws the set. Counts the sets above 0.5."""
    groups, n_not_learned, done = [], 0, set()
    for cell in run.requested.cells:
        for label, role in SYNTHETIC_ROLES.items():
            ref = cell.refs.get(role)
            # Not every set comes from a GAN: the frames of new phantom patients do not.
            if ref is None or ref in done or "gan" not in run.requested.steps[ref].inputs:
                continue
            done.add(ref)
            cohort = tables.read_frames(run.store.open(cell.refs["cohort"]) / names.COHORT)
            frames = of_class(cohort, label)
            real, masks = load_pixels(run.store, frames), load_masks(run.store, frames)
            synthetic = np.array(read_array(run.store.open(ref) / names.SYNTHETIC, np.uint8))
            gap = RealPattern.of(real, masks, seed).gap(synthetic)
            gan = run.store.record(run.requested.steps[ref].inputs["gan"])
            n_not_learned += gap > SPECTRAL_GAP_CEILING
            n = cell.coordinates.n_patients
            print(
                f"seed {seed} n={n:<3} {label}: gap {gap:.2f}, {gan['summary']['n_events']} "
                f"events, {gan['circumstances']['seconds']:.1f} s",
                flush=True,
            )
            spread = np.linspace(0, len(real) - 1, min(N_SHOWN, len(real))).astype(int)
            groups += [
                (f"real {label}, n = {n}, seed {seed}", _enlarged(real[spread])),
                (f"synthetic {label}, gap {gap:.2f}", _enlarged(synthetic[:N_SHOWN])),
            ]
    sample_sheet(groups, sheet)
    return n_not_learned


def _enlarged(frames_NSS: np.ndarray) -> np.ndarray:
    return frames_NSS.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)


def aurocs_of(run: Run) -> dict[tuple[int, str], float]:
    """The AUC-ROC of every cell by patient count and variant."""
    return {
        (cell.coordinates.n_patients, cell.coordinates.variant): run.store.record(
            cell.refs["evaluate"]
        )["summary"]["auroc"]
        for cell in run.requested.cells
    }


def print_aurocs(of_seed: dict[int, dict[tuple[int, str], float]]) -> None:
    """The AUC-ROC of every cell, the means, and their differences from the baseline's."""
    variants = list(dict.fromkeys(v for aurocs in of_seed.values() for _, v in aurocs))
    print(f"\n{'AUC-ROC':16}" + "".join(f"{v:>20}" for v in variants))
    rows = []
    for seed, aurocs in of_seed.items():
        for n in dict.fromkeys(n for n, _ in aurocs):
            rows.append([aurocs[n, v] for v in variants])
            print(f"seed {seed} n={n:<8}" + "".join(f"{a:20.3f}" for a in rows[-1]))
    means = np.array(rows).mean(axis=0)
    print(f"{'mean':16}" + "".join(f"{a:20.3f}" for a in means))
    if "baseline" in variants:
        less = means - means[variants.index("baseline")]
        print(f"{'- baseline':16}" + "".join(f"{a:+20.3f}" for a in less))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--patients", type=int, nargs="+", help="default: the experiment's")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--data")
    parser.add_argument("--label")
    parser.add_argument("--out", type=Path, default=Path("recipe"), help="runs and sheets")
    arguments = parser.parse_args()
    table.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    seconds: Seconds = defaultdict(list)
    aurocs, n_not_learned = {}, 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        run = run_seed(arguments, seed, arguments.out / f"seed-{seed}")
        seconds_of(run, seconds)
        n_not_learned += look_at(run, seed, arguments.out / f"seed-{seed}.png")
        aurocs[seed] = aurocs_of(run)
    print_aurocs(aurocs)
    print(f"\n{n_not_learned} GANs have not learned; sheets are in {arguments.out}")
    for stage, taken in sorted(seconds.items(), key=lambda item: -sum(item[1])):
        print(f"{stage:14}{len(taken):5} steps{sum(taken):9.1f} s{np.mean(taken):9.3f} s each")


if __name__ == "__main__":
    main()
