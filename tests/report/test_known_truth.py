"""What the report says of variants of known worth is compared with the truth."""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks.bench_known_truth import (
    SEEDS,
    differences,
    found_by,
    mean_difference,
    n_false,
    n_held,
)
from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step
from lussweep.study.spec import StudySpec, load_study

OVERSAMPLE = "oversample: {pos: [real, real], neg: [real]}"
STUDY = load_study(f"{{name: a, variants: {{{OVERSAMPLE}}}}}")
READ = ("contrasts", "worth", "multiplier", "controls", "memorisation")


def known(study: StudySpec = STUDY, *, phantom: bool = True, **rows: Any) -> list[dict[str, Any]]:
    """The rows of `known_truth`, from rows of the tables that it reads."""
    plan, nowhere = Plan(), Path("nowhere")
    if phantom:
        plan.add(Step("shard", 1, {"phantom": {}}))
    made = {name: tables.in_schema(rows.get(name, []), SECTIONS[name].schema) for name in READ}
    collected = Collected(
        reported=Reported(nowhere, study, plan, ArtifactStore(nowhere), str),
        sections=SECTIONS,
        outcomes=pa.table({}),
        made=made,
    )
    return collected.table("known_truth").to_pylist()


def contrast(variant: str, difference: float, p_holm: float | None, **more: Any) -> dict[str, Any]:
    reference = "oversample" if variant == "memoriser" else "baseline"
    row = {"n_patients": 6, "variant": variant, "reference": reference}
    return row | {"difference": difference, "p_holm": p_holm, "status": "done"} | more


@pytest.mark.parametrize(
    ("row", "truth", "verdict", "outcome"),
    [
        (contrast("again", 0.01, 0.4), "none", "none", "right"),
        (contrast("again", 0.09, 0.049), "none", "above", "wrong"),
        (contrast("again", -0.09, 0.01), "none", "below", "wrong"),
        (contrast("again", 0.01, None, reason="few"), "none", None, "withheld"),
        (contrast("memoriser", 0.0, None, reason="no variance"), "none", "none", "right"),
        (contrast("ideal", 0.09, 0.01), "not below", "above", "right"),
        (contrast("ideal", 0.09, 0.2), "not below", "none", "withheld"),
        (contrast("doubled", -0.09, 0.01), "not below", "below", "wrong"),
    ],
)
def test_a_difference_is_right_if_it_is_the_true_one(
    row: dict[str, Any], truth: str, verdict: str | None, outcome: str
) -> None:
    (found,) = known(contrasts=[row])
    assert (found["truth"], found["verdict"], found["outcome"]) == (truth, verdict, outcome)
    assert (found["reason"] is not None) == (outcome == "withheld")
    assert (found["subject"], found["reference"]) == (row["variant"], row["reference"])


def worth(variant: str, n: int, low: float | None, high: float | None) -> dict[str, Any]:
    return {"variant": variant, "n_patients": n, "interval_low": low, "interval_high": high,
            "interval": "text", "reason": None if low is not None else "one replicate"}  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "low", "high", "outcome"),
    [
        ("doubled", 6.0, 12.0, "right"),
        ("doubled", 12.0, math.inf, "right"),
        ("doubled", -math.inf, 11.9, "wrong"),
        ("doubled", 12.1, math.inf, "wrong"),
        ("doubled", -math.inf, math.inf, "withheld"),
        ("doubled", None, None, "withheld"),
        ("again", 5.0, 7.0, "right"),
        ("again", 6.1, 12.0, "wrong"),
    ],
)
def test_a_worth_is_right_if_its_interval_holds_the_true_one(
    variant: str, low: float | None, high: float | None, outcome: str
) -> None:
    (found,) = known(worth=[worth(variant, 6, low, high)])
    assert (found["truth"], found["outcome"]) == ("12" if variant == "doubled" else "6", outcome)
    assert (found["reason"] is not None) == (outcome == "withheld")


@pytest.mark.parametrize(
    ("variant", "n", "ends", "outcome"),
    [
        ("again", 6, math.inf, "wrong"),
        ("again", 58, math.inf, "wrong"),
        ("again", 6, -math.inf, "wrong"),
        ("doubled", 29, math.inf, "wrong"),
        ("doubled", 58, math.inf, "right"),
    ],
)
def test_an_interval_beyond_all_patient_counts_is_a_verdict(
    variant: str, n: int, ends: float, outcome: str
) -> None:
    """It says "> 58" or "< 6", which is not the same as "< 6 to > 58"."""
    baseline = [worth("baseline", k, k, k) | {"worth": str(k)} for k in (6, 29, 58)]
    (found,) = known(worth=[*baseline, worth(variant, n, ends, ends)])
    assert (found["outcome"], found["reason"]) == (outcome, None)


def test_multipliers_masks_and_releases_are_compared_too() -> None:
    card = {"n_patients": 6, "replicate": 2, "class": "pos", "verdict": "passed"}
    found = known(
        multiplier=[{"variant": "doubled", "low": 1.2, "high": 1.9}, {"variant": "again"}],
        controls=[
            {"n_patients": 6, "variant": "mask_only", "verdict": "above chance"},
            {"n_patients": 15, "variant": "mask_only", "verdict": "chance"},
        ],
        memorisation=[
            card | {"gan": "copies"},
            card | {"gan": "simulated"},
            card | {"gan": "copies", "verdict": "unjudged", "verdict_because": "too few patients"},
            card | {"gan": "base"},
        ],
    )
    assert [(row["subject"], row["truth"], row["outcome"]) for row in found] == [
        ("doubled", "2", "wrong"),
        ("again", "1", "withheld"),
        ("mask_only", "chance", "wrong"),
        ("mask_only", "chance", "right"),
        ("copies pos", "must not be released", "wrong"),
        ("simulated pos", "may be released", "right"),
        ("copies pos", "must not be released", "withheld"),
    ]
    assert found[-1]["reason"] == "too few patients"


def test_a_rounded_interval_does_not_deny_its_outcome() -> None:
    rows = [{"variant": "again", "low": 0.6, "high": 0.9965},
            {"variant": "doubled", "low": 2.004, "high": math.inf}]  # fmt: skip
    found = known(multiplier=rows)
    assert [row["verdict"] for row in found] == ["0.60 to 0.997", "2.004 to inf"]
    assert [row["outcome"] for row in found] == ["wrong", "wrong"]


def test_on_other_data_masks_may_tell_the_class() -> None:
    control = {"n_patients": 6, "variant": "mask_only", "verdict": "above chance"}
    again = contrast("again", 0.01, 0.4)
    (found,) = known(phantom=False, controls=[control], contrasts=[again])
    assert found["subject"] == "again"


def test_nothing_is_known_of_a_variant_that_a_study_has_redefined() -> None:
    own = "again: {pos: [real, real], neg: [real]}, oversample: {pos: [real], neg: [real]}"
    study = load_study(f"{{name: a, variants: {{{own}}}}}")
    rows = [contrast("again", 0.09, 0.01), contrast("memoriser", 0.09, 0.01)]
    assert known(study, contrasts=rows, worth=[worth("again", 6, 7, 8)]) == []
    assert len(known(contrasts=rows)) == 2


def test_a_gate_that_lets_everything_out_gives_no_verdict() -> None:
    study = load_study("{name: a, memorisation: {release_gate: null}}")
    card = {"n_patients": 6, "replicate": 2, "class": "pos", "verdict": "passed", "gan": "copies"}
    assert known(study, memorisation=[card]) == []


# --- twenty studies -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_verdicts_are_right_where_the_truth_is_known(tmp_path: Path) -> None:
    """The bounds were fixed before any seed was run; RESULTS.md holds what came out."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(partial(found_by, folder=tmp_path), SEEDS))
    assert len(found) == 20
    assert n_false(differences(found, "again", "baseline")) <= 3
    assert n_false(differences(found, "memoriser", "oversample")) <= 3
    assert n_false(differences(found, "unpaired", "oversample")) <= 3
    assert n_held(found, "doubled", 8, 16) >= 17
    assert mean_difference(differences(found, "ideal", "baseline")) > 0
