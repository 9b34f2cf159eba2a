"""How often the release gate is right on phantom studies whose answer is known.

    PYTHONPATH=.:tests python tests/benchmarks/bench_gate.py --out FOLDER --seeds 100-139

Each set with copies should be refused, each set of fresh patients passed. FOLDER keeps the verdicts
of each seed, so that the command goes on where it was stopped. A seed takes about 12 s of one core.
`--holdout 5` gives every study five holdout patients. `--beyond` asks for changes of copies that
the gate is not made for.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lussweep.metrics.copies import find_copies, ratios, yardstick
from support.gate_studies import BEYOND, CHANGES, COUNTS, judge_sets, rendered

Words = Mapping[str, Mapping[str, str]]
"""Verdicts by study and by set."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="100-139")
    parser.add_argument("--holdout", type=int)
    parser.add_argument("--beyond", action="store_true")
    parser.add_argument("--time", action="store_true", help="time one card of 2,000 frames a set")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.time:
        print(time_of_card(2000))
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    counts = [(n, chosen.holdout or m) for n, m in COUNTS]
    first, last = map(int, chosen.seeds.split("-"))
    every = []
    for seed in range(first, last + 1):
        name = f"{seed}-{'beyond' if chosen.beyond else 'changes'}-{chosen.holdout or 'all'}.json"
        path = chosen.out / name
        if not path.exists():
            words = words_of(seed, counts, chosen.out, beyond=chosen.beyond)
            scratch = path.with_suffix(".part")
            scratch.write_text(json.dumps(words))
            os.replace(scratch, path)
        every.append(json.loads(path.read_text()))
    print(table(every, [str(place) for place in counts]))


def words_of(
    seed: int, counts: Iterable[tuple[int, int]], cache: Path | None = None, *, beyond: bool = False
) -> Words:
    """The verdict on each set of each study of one seed."""
    splits, changes = rendered(seed, cache), CHANGES | (BEYOND if beyond else {})
    judged = {(n, m): judge_sets(splits, n, m, seed, changes) for n, m in counts}
    return {str(at): {name: j.word for name, j in sets.items()} for at, sets in judged.items()}


def table(every: Sequence[Words], places: Sequence[str]) -> str:
    """How many of the seeds were refused, unjudged and passed, by set and by study."""
    lines = ["refused / unjudged / passed | " + " | ".join(places)]
    for name in every[0][places[0]]:
        cells = []
        for place in places:
            counted = Counter(words[place][name] for words in every)
            cells.append(" / ".join(str(counted[w]) for w in ("refused", "unjudged", "passed")))
        lines.append(f"{name} | " + " | ".join(cells))
    return "\n".join(lines)


def time_of_card(n: int) -> str:
    """Seconds of the search for copies in a set of n frames, beside n training and n holdout
    frames."""
    rng = np.random.default_rng(0)
    train, holdout, synthetic = (rng.integers(0, 256, (n, 64, 64), np.uint8) for _ in range(3))
    patient = np.arange(n) // 8
    began = time.process_time()
    by = yardstick(train, holdout, patient, seed=0)
    calibrated = time.process_time()
    find_copies(ratios(by, synthetic), by.threshold, patient.astype(str))
    done = time.process_time()
    return f"calibration {calibrated - began:.0f} s, copies {done - calibrated:.0f} s of one core"


if __name__ == "__main__":
    main()
