"""The sentences say what the tables show, for every kind of outcome."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lussweep.report.page.answer import answer
from lussweep.report.page.details import details
from lussweep.report.page.outcomes import KINDS, kind_of
from lussweep.report.page.sentences import Sentence, text_of
from lussweep.study.spec.study import PAPER_VARIANTS, Recipe
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


def about(sentences: list[Sentence], kind: str) -> str:
    """The text of the only sentence about something."""
    (text,) = (s.text for s in sentences if s.about == kind)
    return text


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gain", GAIN), ("loss", LOSS), ("non_inferior", NON_INFERIOR), ("unadjusted", UNADJUSTED),
        ("nothing", {}), ("withheld", WITHHELD), ("missing", MISSING), ("refused", REFUSED),
        ("loss", LOSS | {"non_inferior": True}), ("gain", GAIN | {"non_inferior": True}),
        ("nothing", {"p_holm": 0.01}), ("withheld", {"p_holm": None}),
    ],
)  # fmt: skip
def test_an_outcome_follows_from_the_interval_and_the_adjusted_p_value(
    kind: str, changes: dict[str, Any]
) -> None:
    assert kind_of(contrast(**changes)) == kind
    assert about(details(facts(contrast(**changes))), kind)


def test_every_kind_of_outcome_has_a_test() -> None:
    marks = test_an_outcome_follows_from_the_interval_and_the_adjusted_p_value.pytestmark
    assert {kind for mark in marks for kind, _ in mark.args[1]} == set(KINDS)


def test_nothing_shown_says_what_could_have_been_detected() -> None:
    assert about(details(facts(contrast())), "nothing") == (
        "Adding synthetic positives (combined against baseline) changed the AUC-ROC of frames with "
        "15 patients a class by +0.004 (95 % -0.011 to +0.019): no difference was shown; "
        "before adjustment, this study could have detected 0.030 (power 80 %)."
    )


def test_a_gain_and_a_loss_are_said_with_their_size_and_adjusted_p_value() -> None:
    said = details(facts(contrast(6, **GAIN), contrast(15, **LOSS)))
    assert (
        "raised the AUC-ROC of frames with 6 patients a class, by 0.030 (95 % +0.012 to +0.048)"
        in (about(said, "gain"))
    )
    assert "p = 0.0040" in about(said, "gain")
    assert about(said, "loss").startswith("It lowered the AUC-ROC of frames with 15 patients")


def test_a_non_inferior_variant_is_not_called_equal() -> None:
    said = about(details(facts(contrast(**NON_INFERIOR))), "non_inferior")
    assert "no difference was shown, and a loss of more than 0.02, the margin, is excluded" in said
    assert said.endswith(" before adjustment.")


def test_a_non_inferior_variant_may_differ_before_adjustment() -> None:
    row = contrast(**NON_INFERIOR, low=-0.015, high=-0.002, difference=-0.009)
    for sentences in (details(facts(row)), answer(facts(row))):
        said = about(sentences, "non_inferior")
        assert "no difference was shown after adjustment for every planned contrast, and a" in said


def test_an_interval_without_0_is_no_gain_before_adjustment() -> None:
    said = about(details(facts(contrast(**UNADJUSTED))), "unadjusted")
    assert "leaves out 0, but after adjustment for every planned contrast (p = 0.30)" in said


def test_a_rounded_number_does_not_deny_its_verdict() -> None:
    said = about(details(facts(contrast(**GAIN | {"low": 0.0004, "p_holm": 0.0497}))), "gain")
    assert "(95 % +0.0004 to +0.048)" in said and "p = 0.0497" in said
    said = about(details(facts(contrast(**UNADJUSTED | {"p_holm": 0.0502}))), "unadjusted")
    assert "(p = 0.0502)" in said
    rows = [contrast(n, low=low) for n, low in ((6, -0.00002), (15, 0.0), (29, -1e-9))]
    assert "intervals within -0.00002 to +0.019)" in about(details(facts(*rows)), "nothing")


def test_what_is_withheld_or_refused_has_its_reason_and_no_verdict() -> None:
    said = about(details(facts(contrast(**WITHHELD))), "withheld")
    assert "by +0.004, without an interval or a verdict (one replicate has no training" in said
    assert "cannot be judged with 15 patients a class (one class alone)" in about(
        details(facts(contrast(**REFUSED))), "refused"
    )
    for changes in (WITHHELD, REFUSED, MISSING):
        text = text_of(details(facts(contrast(**changes))))
        words = ("raised", "lowered", "o difference", "detected", "better", "worse", "cover")
        assert not any(word in text for word in words)


def test_patient_counts_with_one_outcome_share_a_sentence() -> None:
    rows = [contrast(n, difference=d) for n, d in ((6, -0.01), (15, 0.0), (58, 0.0002))]
    said = about(details(facts(*rows)), "nothing")
    assert "with 6, 15 and 58 patients a class by -0.010 to 0.000 (95 % intervals within" in said


def test_an_interval_of_one_cohort_covers_other_seeds_and_no_other_cohort() -> None:
    rows = [contrast(6, cohort_overlap=0.1), contrast(58, **GAIN, cohort_overlap=1.0)]
    assert (
        "Intervals cover other patients and other trainings, but with 58 patients a class other "
        "seeds alone: all replicates have the same cohort."
    ) in text_of(details(facts(*rows)))
    said = text_of(answer(facts(*rows)))
    assert "(95 % over patients and seeds: +0.012" in said
    assert "(95 % over patients and trainings: -0.011" in said


def test_a_run_that_is_not_whole_says_so_first() -> None:
    said = details(facts(contrast(), results=results(3, missing=2, failed=1)))
    assert said[0].about == "progress" and said[0].weight == "warning"
    assert said[0].text.startswith(
        "This run is not whole: 3 of 6 cells are done, 1 failed and 2 are not there."
    )


def test_without_a_cell_there_is_no_verdict() -> None:
    said = details(facts(contrast(**MISSING), results=results(0, missing=6)))
    assert [s.about for s in said] == ["progress"]


def test_without_a_contrast_there_is_no_verdict() -> None:
    assert "no verdict is given" in about(details(facts()), "missing")


def test_simulated_frames_are_no_patients() -> None:
    assert details(facts(contrast(), is_phantom=True))[0].text == (
        "The frames are simulated: these numbers say nothing about patients."
    )
    assert "simulated" not in text_of(details(facts(contrast())))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"m": 1.1, "low": 0.8, "high": 1.4}, "counted as 1.1 (95 % 0.80 to 1.4) patients of real "
         "frames alone, which is not shown to differ from one"),
        ({"m": 1.8, "low": 1.2, "high": math.inf}, "(95 % 1.2 to above what the grid can tell) "
         "patients of real frames alone: more than one"),
        ({"m": 0.4, "low": -math.inf, "high": 0.7}, "(95 % below what the grid can tell to 0.70) "
         "patients of real frames alone: fewer than one"),
        ({"m": 0.9, "low": -math.inf, "high": math.inf}, "0.90 (95 % without an end in this grid) "
         "patients of real frames alone: the interval leaves it open"),
        ({"m": 0.6, "low": 0.2, "high": 0.99996}, "(95 % 0.20 to just below 1) patients of real "
         "frames alone: fewer than one"),
        ({"m": None, "low": None, "high": None, "status": "withheld", "reason": "it is flat"},
         "is withheld: it is flat"),
    ],
)  # fmt: skip
def test_the_multiplier_is_said_with_its_interval_or_its_reason(
    row: dict[str, Any], said: str
) -> None:
    whole = {"variant": "combined", "status": "done", "reason": None} | row
    assert said in about(details(facts(contrast(), multiplier=[whole])), "multiplier")


def test_the_multiplier_is_told_apart_from_the_adjusted_verdicts() -> None:
    row = {"variant": "combined", "m": 0.67, "low": 0.23, "high": 0.9965, "status": "done"}
    shared = "replicates share 49 % of their training patients"
    said = about(details(facts(contrast(), multiplier=[row | {"reason": shared}])), "multiplier")
    assert said.endswith(
        ": fewer than one. This is over all patient counts, and not adjusted for other comparisons "
        f"({shared})."
    )


def test_the_multiplier_is_over_the_counts_inside_the_grid() -> None:
    row = {"variant": "combined", "m": 2.0, "low": 1.2, "high": 4.0, "status": "done"}
    rows = [contrast(n) for n in (6, 15, 29, 44, 58)]
    for n_counts, words in ((3, "3 of 5"), (5, "all")):
        table = [row | {"n_counts": n_counts, "reason": None}]
        said = facts(*rows, multiplier=table)
        assert f"This is over {words} patient counts" in about(details(said), "multiplier")
        assert f"over {words} counts, unadjusted" in about(answer(said), "multiplier")


def test_shuffled_labels_that_are_not_at_chance_are_a_warning() -> None:
    wrong = details(facts(contrast(), controls=[control("not chance")]))
    (warning,) = (s for s in wrong if s.about == "control")
    assert warning.weight == "warning" and "no number of this run can be trusted" in warning.text
    assert "true labels may reach training or selection. Without such a leak this" in warning.text
    right = about(details(facts(contrast(), controls=[control("chance")])), "control")
    assert right == "Shuffled labels gave chance with 15 patients a class."


def test_sector_masks_have_a_sentence_of_their_own() -> None:
    masks = [control("above chance", "sector masks", 6)] * 2  # two variants of masks
    rows = [control("chance"), *masks]
    right, wrong = (s for s in details(facts(contrast(), controls=rows)) if s.about == "control")
    assert right.text == "Shuffled labels gave chance with 15 patients a class."
    assert wrong.weight == "warning" and wrong.text.startswith(
        "Sector masks alone scored above chance with 6 patients a class: they tell the class"
    )
    wide = facts(contrast(), controls=[control("chance", "sector masks")])
    assert about(details(wide), "control") == (
        "Sector masks alone were not shown to score above chance with 15 patients a class."
    )


def test_verdicts_on_known_truth_are_counted() -> None:
    verdicts = [*known(0, 0, 5, "contrasts"), *known(11, 0, 1)]
    said = about(details(facts(contrast(), known_truth=verdicts)), "known_truth")
    assert said == (
        "Of 17 verdicts whose truth is known by construction, 11 are right, 0 wrong and 6 withheld "
        "(contrasts: 5 withheld; release gate: 11 right, 1 withheld)."
    )


def test_collapsed_generators_and_failed_cards_are_warnings() -> None:
    said = details(
        facts(
            contrast(),
            gan_events=[event(), event()],
            gans=30,
            memorisation=[
                {"gan": "base", "verdict": "refused"},
                {"gan": "base", "verdict": "unjudged"},
                {"gan": "copies", "verdict": "refused"},
            ],
        )
    )
    assert about(said, "gan").startswith(
        "1 of 30 generators had an event in training (low diversity)"
    )
    refused, unjudged = (s.text for s in said if s.about == "copies")
    assert refused.startswith("1 of 2 synthetic sets failed the release gate")
    assert unjudged.startswith("1 of 2 synthetic sets cannot be judged by the release gate")
    assert {s.about for s in said if s.weight == "warning"} == {"gan", "copies"}


@pytest.mark.parametrize(
    ("pos", "neg", "said"),
    [
        (("real", "synthetic"), ("real", "synthetic"),
         "Adding synthetic positives and synthetic negatives (new against baseline)"),
        (("synthetic",), ("real",),
         "Training on synthetic positives in place of real ones (new against baseline)"),
        (("real",), ("real",), "Using new in place of baseline"),
    ],
)  # fmt: skip
def test_a_sentence_begins_with_what_the_variant_changes(
    pos: tuple[str, ...], neg: tuple[str, ...], said: str
) -> None:
    recipes = {**PAPER_VARIANTS, "new": Recipe(pos=pos, neg=neg)}
    text = about(details(facts(contrast(variant="new"), recipes=recipes)), "nothing")
    assert text.startswith(f"{said} changed")


def test_further_contrasts_are_brief_and_counted() -> None:
    others = [contrast(variant=f"v{i}", **(LOSS if i == 0 else {})) for i in range(5)]
    said = [s.text for s in details(facts(contrast(), *others))]
    assert "Using v0 in place of baseline: worse with 15 patients a class (-0.030)." in said
    assert "2 further contrasts: see Contrasts." in said
