"""The answer: one short paragraph that says what the tables show, for every kind of outcome."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lussweep.report.page.answer import answer
from lussweep.report.page.details import details
from lussweep.report.page.outcomes import KINDS
from lussweep.report.page.sentences import Facts, text_of
from support.answers import (
    GAIN,
    LOSS,
    MISSING,
    NON_INFERIOR,
    REFUSED,
    UNADJUSTED,
    WITHHELD,
    contrast,
    control,
    event,
    facts,
    known,
    results,
)

MOST_WORDS = 100
"""Words that are read in 20 s, at 300 words a minute."""
SUBJECT = "adding synthetic positives (combined against baseline)"
ROWS = {
    "gain": (GAIN, f"{SUBJECT} raised the AUC-ROC of frames by 0.030 (95 % over patients and "
             "trainings: +0.012 to +0.048)."),
    "loss": (LOSS, f"{SUBJECT} lowered the AUC-ROC of frames by 0.030 (95 % over patients and "
             "trainings: -0.048 to -0.012)."),
    "non_inferior": (NON_INFERIOR, "no difference was shown, and a loss of more than 0.02 is "
                     "excluded, unadjusted."),
    "unadjusted": (UNADJUSTED, "no difference was shown after adjustment for every planned "
                   "contrast; before adjustment, this study could have detected 0.030."),
    "nothing": ({}, f"{SUBJECT} changed the AUC-ROC of frames by +0.004 (95 % over patients and "
                "trainings: -0.011 to +0.019): no difference was shown; before adjustment, this "
                "study could have detected 0.030."),
    "withheld": (WITHHELD, "changed the AUC-ROC of frames by +0.004; a verdict is withheld (one "
                 "replicate has no training variance)."),
    "refused": (REFUSED, "cannot be judged (one class alone)."),
    "missing": (MISSING, "is not judged yet: cells are missing."),
}  # fmt: skip


def said_of(*contrasts: dict[str, Any], **others: Any) -> str:
    return text_of(answer(facts(*contrasts, **others)))


@pytest.mark.parametrize("kind", KINDS)
def test_each_outcome_of_the_main_contrast_is_one_sentence(kind: str) -> None:
    changes, end = ROWS[kind]
    said = said_of(contrast(**changes))
    assert said.startswith(f"With 15 patients a class, {SUBJECT}")
    assert said.endswith(end) and said.count(". ") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_stands_out(kind: str) -> None:
    (sentence,) = answer(facts(contrast(**ROWS[kind][0])))
    before, verdict, after = sentence.parts
    assert verdict and before and f"{before}{verdict}{after}" == sentence.text


def test_patient_counts_that_say_the_same_share_a_sentence() -> None:
    counts = ((6, -0.01), (15, 0.0), (29, 0.0002))
    assert said_of(*(contrast(n, difference=d) for n, d in counts)) == (
        f"With 6 to 29 patients a class, {SUBJECT} changed the AUC-ROC of frames by -0.010 to "
        "0.000 (95 % intervals within -0.011 to +0.019): no difference "
        "was shown; before adjustment, this study could have detected 0.030."
    )


def test_what_fails_after_adjustment_shows_nothing_either() -> None:
    said = said_of(contrast(6, **UNADJUSTED), contrast(15), contrast(29, **GAIN))
    assert said.startswith(f"With 29 patients a class, {SUBJECT} raised")
    assert "With 6 and 15 patients a class, it changed the AUC-ROC of frames by +0.030 and" in said
    assert said.count("With ") == 2


def test_sizes_run_from_the_smallest_to_the_largest() -> None:
    losses = ((6, -0.2, -0.25, -0.15), (15, -0.05, -0.09, -0.01), (29, -0.1, -0.15, -0.05))
    rows = [contrast(n, **LOSS | {"difference": d, "low": a, "high": b}) for n, d, a, b in losses]
    assert "by 0.050 to 0.200 (95 % intervals within -0.250 to " in (said_of(*rows))


def test_a_count_whose_own_interval_leaves_out_0_is_named() -> None:
    loss = UNADJUSTED | {"difference": -0.053, "low": -0.104, "high": -0.003}
    said = said_of(contrast(6, **loss), contrast(15), contrast(29), contrast(44))
    assert (
        "within -0.104 to +0.019): no difference was shown after adjustment for every planned "
        "contrast (before it, the interval leaves out 0 with 6 patients a class: -0.104 to -0.003);"
    ) in said
    three = said_of(*(contrast(n, **loss) for n in (6, 15, 29)), contrast(44))
    assert "(before it, the interval leaves out 0 with 6, 15 and 29 patients a class)" in three
    pair = said_of(contrast(6, **loss), contrast(15))
    assert "(before it, the interval leaves out 0 with 6 patients a class)" in pair


def test_only_the_main_contrast_is_in_the_answer() -> None:
    other = contrast(variant="classic", reference="baseline", **LOSS)
    assert "classic" not in said_of(contrast(), other)
    assert "classic" in said_of(contrast(**MISSING), other), "the first with cells is the main one"


def test_a_gan_epoch_is_named() -> None:
    assert "baseline), at GAN epoch 10, changed" in said_of(contrast(gan_epoch=10))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"m": 1.1, "low": 0.8, "high": 1.4},
         "A patient's data counted as 1.1 (95 % 0.80 to 1.4) patients over all counts, "
         "unadjusted."),
        ({"m": 0.67, "low": 0.23, "high": 0.999},
         "A patient's data counted as 0.67 (95 % 0.23 to 0.999) patients over all counts, "
         "unadjusted: fewer than one."),
        ({"m": None, "low": None, "high": None, "status": "withheld", "reason": "it is flat"},
         "How many patients one patient counts as is withheld (it is flat)."),
    ],
)  # fmt: skip
def test_worth_is_one_sentence(row: dict[str, Any], said: str) -> None:
    whole = {"variant": "combined", "status": "done", "reason": None} | row
    assert said_of(contrast(), multiplier=[whole]).endswith(said)


def test_controls_of_known_truth_are_one_sentence() -> None:
    chance = [control("chance")]
    verdicts = [*known(0, 0, 5, "contrasts"), *known(15, 0, 1)]
    said = said_of(contrast(), controls=chance, known_truth=verdicts)
    assert said.endswith(
        " Controls: shuffled labels gave chance; known truth tested contrasts (5 withheld) "
        "and release gate (15 right, 1 withheld)."
    )


def test_sector_masks_are_not_shuffled_labels() -> None:
    masks = "sector masks"
    told = answer(
        facts(contrast(), controls=[control("chance"), control("above chance", masks, 6)])
    )
    assert [(s.about, s.text) for s in told[1:]] == [
        ("control", "Controls: shuffled labels gave chance."),
        ("distrust", "Sector masks alone scored above chance with 6 patients a class, so "
         "classifiers may have used them."),
    ]  # fmt: skip
    assert said_of(contrast(), controls=[control("chance", masks)]).endswith(
        " Controls: sector masks were not shown to score above chance."
    )


def test_what_must_not_be_trusted_is_one_sentence() -> None:
    sets = [{"gan": "base", "verdict": v} for v in ("passed", "refused", "refused", "unjudged")]
    said = answer(
        facts(
            contrast(),
            controls=[control("not chance")],
            known_truth=[*known(5, 0, 0), *known(10, 1, 1, "multiplier")],
            gan_events=[event(), event()],
            gans=30,
            memorisation=[*sets, {"gan": "copies", "verdict": "refused"}],
        )
    )
    assert said[-1].weight == "warning"
    assert said[-1].text == (
        "Do not trust any number of this run (shuffled labels did not give chance with 15 patients "
        "a class), the verdicts of this run (with known truth, 1 of 12 on worth of one patient is "
        "wrong) and 1 of 30 generators (low diversity); do not share 3 of 4 synthetic sets, which "
        "the release gate refused (2) or could not judge (1)."
    )
    assert "gave chance;" not in text_of(said)


def test_without_a_reason_nothing_is_distrusted() -> None:
    sets = [{"gan": "base", "verdict": "passed"}, {"gan": "copies", "verdict": "refused"}]
    said = said_of(contrast(), memorisation=sets, known_truth=known(3, 0, 0), gans=4)
    assert "Do not" not in said


def test_a_run_that_goes_on_says_so_and_has_no_verdict_without_a_cell() -> None:
    said = answer(facts(contrast(**MISSING), results=results(0, missing=6)))
    assert [s.about for s in said] == ["progress"] and said[0].weight == "warning"
    half = said_of(contrast(), contrast(29, **MISSING), results=results(3, missing=3))
    assert half.startswith("This run is not whole: 3 of 6 cells are done, 3 are not there.")
    assert "With 29 patients a class, it is not judged yet" in half


def test_without_a_contrast_there_is_no_verdict() -> None:
    assert said_of() == "No contrast is planned: this run gives no verdict."


def test_a_run_that_has_not_come_to_its_contrasts_does_not_deny_them() -> None:
    said = answer(facts(has_contrasts_ahead=True, results=results(3, missing=3)))
    assert [s.about for s in said] == ["progress", "missing"]
    assert said[1].text == "There is no verdict yet: contrasts are computed when the run ends."
    told = text_of(details(facts(has_contrasts_ahead=True)))
    assert said[1].text in told and "planned" not in told


def test_a_whole_answer_is_read_in_20_seconds() -> None:
    everything: Facts = facts(
        *(contrast(n) for n in (6, 15, 29, 44, 58)),
        is_phantom=True,
        multiplier=[{"variant": "combined", "m": 1.1, "low": 0.8, "high": 1.4, "status": "done",
                     "reason": None}],
        controls=[control("chance")],
        known_truth=known(11, 0, 1),
        gan_events=[event()],
        gans=30,
        memorisation=[{"gan": "base", "verdict": "refused"}, {"gan": "base", "verdict": "passed"}],
    )  # fmt: skip
    said = answer(everything)
    assert [s.about for s in said] == ["data", "nothing", "multiplier", "control", "distrust"]
    assert len(re.findall(r"[\w'.]*\w", text_of(said))) <= MOST_WORDS
