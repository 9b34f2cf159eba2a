"""The paper's grid in miniature, as a user runs it, and what it foretells of the whole.

    python tests/gpu/run_grid.py --rows FILE --out RUN [--backend inline] [--device cuda] [--smoke]

`experiments/paper.yaml` with the phantom in place of patients: its networks, image size and search
space, two patient counts, one replicate and a few hundred steps a GAN. `plan --from` then says how
long the whole grid of Figure 5 takes on one such card, for as many frames as were published.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
from arguments import Given, parse

MINIATURE = (
    "data.phantom={train_patients: 15, val_patients: 3, holdout_patients: 3, videos_per_patient: 2,"
    " frames_per_video: 24}",
    "gan.n_epochs=10", "gan.snapshot_every=5", "gan.precision=bf16",
    "classifier.n_epochs=5", "classifier.patience=5", "classifier.precision=bf16",
    "search.n_trials=1", "score.n_images=200", "grid.n_patients=[6, 15]",
    "analysis.n_resamples=100",
)  # fmt: skip
"""180 steps a GAN at 6 patients, 450 at 15: two sizes tell a step's own cost from an image's."""
PUBLISHED_COUNTS = (
    "data.phantom={train_patients: 122, val_patients: 150, holdout_patients: 123,"
    " videos_per_patient: 1, frames_per_video: 740}",
    "gan.precision=bf16", "classifier.precision=bf16",
)  # fmt: skip
"""About 740 positive frames a training patient, 222,000 for validation, 182,000 on holdout."""
SHARES = ("gan.gpus=0.5", "search.gpus_per_trial=0.25")
"""On Ray, steps share the card."""
ROOM_S = 20.0
"""Of the time of this part: what stays for an end in good order, and for the forecast."""
NO_NETWORK = ("score.embedders=[detector]",)
"""ImageNet's weights are not here."""
SMOKE = (
    "data.preprocess.image_size=64", "gan.ngf=2", "gan.ndf=2", "gan.images_per_epoch=16",
    "gan.precision=fp32", "classifier.precision=fp32", "search.channels=[1]", "search.n_trials=1",
    "grid.n_patients=[2, 3]", "score.n_images=8", "classifier.n_epochs=1", "gan.n_epochs=2",
    "data.phantom={train_patients: 3, val_patients: 2, holdout_patients: 2, frames_per_video: 4}",
)  # fmt: skip


def main() -> None:
    given = parse(__doc__, add_arguments)
    backend, folder = given.others.backend, given.others.out
    smoke = SMOKE if given.smoke else ()
    shares = SHARES if backend == "ray" else ()
    changes = options("--set", (*NO_NETWORK, *MINIATURE, *shares, *smoke))
    started = time.perf_counter()
    code = run_until(given.limit_s - ROOM_S, [
        "grid", "paper", "--replicates", "1", "--out", str(folder), "--backend", backend,
        "--device", given.device.type, "--no-dashboard", *changes,
    ])  # fmt: skip
    seconds = time.perf_counter() - started
    results = folder / "results.parquet"
    states = Counter(pq.read_table(results)["status"].to_pylist()) if results.exists() else {}
    told = ", ".join(f"{n} {state}" for state, n in states.items()) or "no results"
    if code is None:
        given.rows.fail(
            f"grid, {backend}", f"stopped for want of time after {seconds:.0f} s: {told}"
        )
    elif code or set(states) != {"done"}:
        given.rows.fail(f"grid, {backend}", f"lussweep grid ended with {code}: {told}")
    else:
        given.rows.add(f"grid, {backend}", seconds, "s", told)
    report_stages(given, folder, backend)
    if backend == "inline" and code == 0:
        foretell(given, folder, smoke)


def run_until(limit_s: float, arguments: list[str]) -> int | None:
    """The exit code of `lussweep ...`; None where it was interrupted at the limit."""
    process = subprocess.Popen([sys.executable, "-m", "lussweep", *arguments])
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it leaves what is done, and its records
    try:
        process.wait(ROOM_S / 2)
    except subprocess.TimeoutExpired:
        process.kill()
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument("--backend", default="inline", choices=("inline", "ray"))


def report_stages(given: Given, run: Path, backend: str) -> None:
    """Mean seconds of the stages that train or judge, how steps ran, and the host's memory."""
    by_stage = defaultdict(list)
    for path in run.glob("artifacts/*/*/record.json"):
        record = json.loads(path.read_text())
        by_stage[record["stage"]].append(record)
    for stage in ("gan", "trial", "score", "features", "evaluate"):
        name, records = f"grid, {backend}, {stage}", by_stage[stage]
        if not records:
            given.rows.fail(name, "no step of it is done")
            continue
        ways = sorted({w for r in records if (w := way(r["summary"]))})
        seconds = [r["circumstances"]["seconds"] for r in records]
        peak = max(r["circumstances"]["peak_memory_bytes"] or 0 for r in records) / 1e9
        note = f"mean of {len(records)} steps, slowest {max(seconds):.1f} s, host {peak:.1f} GB"
        given.rows.add(name, sum(seconds) / len(seconds), "s", "; ".join([note, *ways]))
        if given.device.type == "cuda" and ways not in ([], ["captured"]):
            given.rows.fail(name, f"steps that should be captured ran {', '.join(ways)}")


def way(summary: dict[str, object]) -> str:
    """How the steps of a training ran: captured, or eager and why. Empty for other stages."""
    told = summary.get("step") or summary.get("how") or ""
    assert isinstance(told, str)
    return told


def foretell(given: Given, run: Path, smoke: tuple[str, ...]) -> None:
    """What this run makes of the whole grid, into the log, and its line of hours as a row."""
    same = [s for s in smoke if s.split("=")[0] in SAME_PRICE]
    changes = options("--set", (*NO_NETWORK, *PUBLISHED_COUNTS, *same))
    code, output = lussweep(
        "plan", "paper", "--replicates", "3", "--from", str(run), "--gpus", "1", *changes
    )  # fmt: skip
    lines = [line.strip() for line in output.splitlines() if "1 GPU" in line]
    if code or not lines:
        given.rows.fail("plan of Figure 5", f"lussweep plan --from ended with {code}")
        return
    given.rows.tell("plan of Figure 5", lines[0])


SAME_PRICE = {
    "data.preprocess.image_size", "gan.ngf", "gan.ndf", "gan.precision", "classifier.precision",
    "search.channels",
}  # fmt: skip
"""What a step costs depends on these: the plan has the run's."""


def options(name: str, values: tuple[str, ...]) -> list[str]:
    return [part for value in values for part in (name, value)]


def lussweep(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command, which is printed too."""
    command = [sys.executable, "-m", "lussweep", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


if __name__ == "__main__":
    main()
