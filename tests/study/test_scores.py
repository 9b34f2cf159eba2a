"""Scores and embedders in an experiment, their goals, and what they do to keys."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.study.plan import Plan, Step, make_plan
from lussweep.study.spec import (
    EMBEDDERS,
    SCORES,
    Embedder,
    Goal,
    Score,
    ScoreSpec,
    StudySpec,
    dump_study,
    load_study,
)
from lussweep.study.spec.scores import BUILT_IN_SCORES
from support.commands import TINY, environment
from support.pages import section

SHARP = "score.extra_metrics=[sharpness]"
BOTH = "score.embedders=[thumbs, detector]"


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "sharpness": Score(goal=Goal("maximise"), function=lambda pair: 1.0, spaces=("pixel",)),
        "spread": Score(goal=None, function=lambda pair: 1.0),
        "likeness": Score(goal=Goal("maximise"), function=lambda pair: 1.0, embedders=("thumbs",)),
    }
    for name, score in own.items():
        monkeypatch.setitem(SCORES, name, score)
    monkeypatch.setitem(EMBEDDERS, "thumbs", Embedder(function=lambda *given: None, digest="a"))


def tiny(*overrides: str) -> StudySpec:
    return load_study(TINY, overrides=list(overrides)).with_embedders(False)


def plan(*overrides: str, weights: str | None = None) -> Plan:
    study = load_study(TINY, overrides=list(overrides)).with_embedders(weights is not None)
    manifest = phantom_manifest(study.data.phantom, 1)
    return make_plan(study, manifest, phantom=True, weights_digest=weights)


def problem(*overrides: str) -> str:
    """What is wrong with the tiny experiment after some changes, read and planned."""
    with pytest.raises(InputError) as caught:
        plan(*overrides)
    (line,) = str(caught.value).splitlines()
    return line


def steps(made: Plan, stage: str) -> list[Step]:
    return [step for step in made.steps.values() if step.stage == stage]


# --- goals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "best_first"),
    [
        (Goal("minimise"), [-0.5, 0.0, 0.2, 3.0]),
        (Goal("minimise", 0.0), [-0.5, 0.0, 0.2, 3.0]),
        (Goal("maximise"), [3.0, 0.2, 0.0, -0.5]),
        (Goal("maximise", 1.0), [3.0, 0.2, 0.0, -0.5]),
        (Goal("reach", 0.5), [0.2, 0.0, -0.5, 3.0]),
    ],
)
def test_a_goal_orders_scores(goal: Goal, best_first: list[float]) -> None:
    assert sorted([0.0, 3.0, -0.5, 0.2], key=goal.shortfall) == best_first


def test_a_goal_in_words() -> None:
    assert str(Goal("reach", 0.5)) == str(Goal("maximise", 0.5)) == "goal 0.5"
    assert str(Goal("minimise")) == "smaller is better"
    assert str(Goal("maximise")) == "larger is better"
    with pytest.raises(ValueError, match="needs its value"):
        Goal("reach")


def test_every_result_of_a_comparison_is_a_score() -> None:
    """A result that is not registered would be in no table."""
    from lussweep.metrics.comparison import Comparison

    assert set(Comparison._fields) <= set(SCORES)


# --- experiments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "score.extra_metrics=[sharpnes]",
            "'sharpnes': no score has this name: did you mean sharpn",
        ),
        ("score.extra_metrics=[kmmd]", "kmmd is always computed: leave it out"),
        ("score.extra_metrics=[spread, spread]", "a score is named twice: remove one"),
        ("score.embedders=[thumb]", "'thumb': no embedder has this name: did you mean thumbs?"),
        ("score.embedders=[]", "name at least one embedder"),
        ("select={best: sharpnes}", "metric: no score has this name: did you mean sharpness?"),
        ("select={best: kid_low}", "this score has no goal"),
        ("select={best: confidence}", "this score is defined for pos alone"),
        ("select={best: kmmd, embedder: thumb}", "select.embedder: no embedder has this name"),
        (
            "select={best: kmmd, embedder: thumbs}",
            "the embedder thumbs has no space softmax: known are features",
        ),
        (
            "select={best: fid}",
            "fid is not computed in the space softmax of imagenet: it is computed in conv or "
            "features of every embedder",
        ),
        (
            "select={best: sharpness, embedder: thumbs, space: features}",
            "sharpness is not computed in the space features of thumbs: it is computed in pixel",
        ),
        ("select={best: likeness}", "likeness is not computed in the space softmax of imagenet"),
    ],
)
def test_names_and_places_are_checked_when_an_experiment_is_read(
    override: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_study(TINY, overrides=[override])
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_an_experiment_with_own_names_can_be_written_and_read() -> None:
    study = tiny(SHARP, BOTH, "select={best: sharpness, space: pixel}")
    assert load_study(dump_study(study)) == study
    assert study.score.metrics == (*ScoreSpec().metrics, "sharpness")


def test_a_selection_needs_scores_that_are_computed() -> None:
    assert plan(SHARP, "select={best: sharpness, space: pixel}").cells
    assert problem("select={best: sharpness, space: pixel}") == (
        "select takes sharpness, which is not computed: add sharpness to score.extra_metrics"
    )
    in_thumbs = "select={best: kmmd, embedder: thumbs, space: features}"
    assert plan(BOTH, in_thumbs).cells
    assert problem(in_thumbs) == (
        "select takes kmmd in thumbs features, score.embedders has detector: add thumbs there"
    )
    assert problem("select={best: fid, space: conv}").endswith(
        "add imagenet there and give --weights FILE"
    )


def test_a_score_of_one_embedder_needs_it() -> None:
    assert plan("score.extra_metrics=[likeness]", BOTH).cells
    assert problem("score.extra_metrics=[likeness]") == (
        "likeness is a score of the embedder thumbs, score.embedders has detector: add thumbs there"
    )


def test_an_embedder_that_has_seen_the_patients_selects_with_permission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Embedder(function=lambda *given: None, digest="a", has_seen=True)
    monkeypatch.setitem(EMBEDDERS, "thumbs", seen)
    select = "best: kmmd, embedder: thumbs, space: features"
    with pytest.raises(InputError, match="the embedder thumbs has seen all training patients"):
        tiny(f"select={{{select}}}")
    assert tiny(f"select={{{select}, allow_detector: true}}").select.embedder == "thumbs"


def test_an_embedder_of_the_detector_cannot_hide_what_that_has_seen() -> None:
    with pytest.raises(ValueError, match="the detector has seen all training patients"):
        Embedder(function=lambda *given: None, needs="detector")
    assert Embedder(function=lambda *given: None, needs="detector", has_seen=True).has_seen


def test_an_embedder_is_identified_and_has_spaces() -> None:
    with pytest.raises(ValueError, match="needs either a digest"):
        Embedder(function=lambda *given: None)
    with pytest.raises(ValueError, match="needs either a digest"):
        Embedder(function=lambda *given: None, digest="a", needs="weights")
    for spaces in ((), ("pixel",)):
        with pytest.raises(ValueError, match="needs one or more spaces"):
            Embedder(function=lambda *given: None, digest="a", spaces=spaces)


def test_an_experiment_with_scores_is_read_without_pytorch() -> None:
    code = (
        "import sys; from lussweep.study.spec import load_study;"
        "load_study('{name: a, select: {best: fid, space: conv}}');"
        "print([name for name in ('torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


# --- keys -------------------------------------------------------------------------------------


def test_extra_scores_enter_the_key_of_scores_alone() -> None:
    assert "extra_metrics" not in ScoreSpec().key_fields()
    assert ScoreSpec(extra_metrics=("sharpness",)).key_fields()["extra_metrics"] == ["sharpness"]
    before, after = plan(), plan(SHARP)
    changed = {after.steps[ref].stage for ref in after.steps.keys() - before.steps.keys()}
    assert changed == {"score", "floor"}


def test_the_digest_of_an_embedder_enters_the_keys_of_its_features_and_of_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = plan(BOTH)
    own = [step for step in steps(before, "features") if step.spec["embedder"] == "thumbs"]
    assert own
    for step in own:
        assert step.spec["weights"] == "a"
        assert "detector" not in step.inputs
    monkeypatch.setitem(EMBEDDERS, "thumbs", Embedder(function=lambda *given: None, digest="b"))
    after = plan(BOTH)
    changed = [after.steps[ref] for ref in after.steps.keys() - before.steps.keys()]
    assert {(step.stage, step.spec.get("embedder")) for step in changed} == {
        ("features", "thumbs"),
        ("score", None),
        ("floor", None),
    }


def test_what_an_embedder_needs_is_in_its_step() -> None:
    made = plan("score.embedders=[imagenet, detector]", weights="b627a593")
    for step in steps(made, "features"):
        is_detector = step.spec["embedder"] == "detector"
        assert ("detector" in step.inputs) == is_detector
        assert step.spec["weights"] == (None if is_detector else "b627a593")
    assert {step.spec["weights"] for step in steps(made, "score")} == {"b627a593"}
    assert {step.spec["weights"] for step in steps(plan(BOTH), "score")} == {None}


# --- the page ---------------------------------------------------------------------------------


def test_the_page_of_statistics_has_every_built_in_score_with_its_goal_and_spaces() -> None:
    described = {}
    for line in section("statistics.md", "Scores of a GAN").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+)`", cells[1]) if len(cells) == 4 else ():
            described[name] = (cells[2], cells[3])
    expected = {}
    for name in BUILT_IN_SCORES:
        score = SCORES[name]
        spaces = ", ".join(f"`{space}`" for space in score.spaces) or "every space"
        owner = "".join(f" of `{embedder}`" for embedder in score.embedders)
        expected[name] = (str(score.goal or "none").removeprefix("goal "), spaces + owner)
    assert described == expected
