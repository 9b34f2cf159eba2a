"""What a user must know at the end of a run, for each kind of fact."""

from __future__ import annotations

from typing import Any

from lussweep.data.rows import NO_LABEL
from lussweep.run.board import Board
from lussweep.run.drive import RunOutcome, _last_notices
from lussweep.run.events import Noted, Warned
from lussweep.run.notices import (
    Generator,
    RunFacts,
    cell_notices,
    generator_notices,
    notices,
    release_notices,
    skipped_lines,
    skipped_notices,
    snapshot_notices,
    splits_notices,
    unwritten_notices,
)
from lussweep.study.coordinates import Draw


def event(kind: str, n: int = 6, label: str = "pos", attempt: int = 1) -> dict[str, Any]:
    return {
        "n_patients": n, "replicate": 1, "class": label, "gan": "base", "attempt": attempt,
        "epoch": 3, "kind": kind, "message": "",
    }  # fmt: skip


def card(verdict: str, n: int = 6, gan: str = "base") -> dict[str, Any]:
    return {
        "n_patients": n, "replicate": 1, "class": "neg", "gan": gan, "gan_epoch": 10,
        "verdict": verdict,
    }  # fmt: skip


def test_each_kind_of_event_is_a_warning_in_plain_words() -> None:
    rows = [event("not_finite"), event("low_diversity", 15), event("not_learned", 29)]
    assert generator_notices([*rows, event("exploded", 44)], 30, {}) == [
        Warned(message="1 of 30 generators diverged in training (pos n=6 r=1): "
                       "see gan_events.parquet"),
        Warned(message="1 of 30 generators collapsed in training (pos n=15 r=1): "
                       "see gan_events.parquet"),
        Warned(message="1 of 30 generators did not learn (pos n=29 r=1): see gan_events.parquet"),
        Warned(message="1 of 30 generators had the event exploded (pos n=44 r=1): "
                       "see gan_events.parquet"),
    ]  # fmt: skip
    assert generator_notices([], 30, {}) == []


def test_a_generator_counts_once_and_only_the_first_are_named() -> None:
    """Both signals of a collapse may come in one training."""
    twice = [event("discriminator_won"), event("low_diversity")]
    more = [event("low_diversity", n) for n in (15, 29, 44, 58)]
    (line,) = generator_notices([*twice, *more], 10, {})
    assert line.message == (
        "5 of 10 generators collapsed in training (pos n=6 r=1, pos n=15 r=1, pos n=29 r=1, "
        "2 more): see gan_events.parquet"
    )


def test_a_generator_that_was_trained_again_with_success_is_no_warning() -> None:
    rows = [event("not_learned", attempt=1), event("not_learned", 15, attempt=2)]
    place = {n: Generator(Draw(n, 1), "pos", "base") for n in (6, 15)}
    mended, broken = generator_notices(rows, 2, {place[6]: 2, place[15]: 2})
    assert mended == Noted(
        message="1 of 2 generators did not learn, but a later attempt ended well (pos n=6 r=1)"
    )
    assert isinstance(broken, Warned)
    assert "pos n=15 r=1" in broken.message


def test_sets_that_may_not_be_exported_are_named_with_their_verdict() -> None:
    rows = [card("passed"), card("refused", 15), card("unjudged", 29), card("unjudged", 44)]
    assert [line.message for line in release_notices(rows)] == [
        "1 of 4 synthetic sets failed the release gate and may not be exported "
        "(neg n=15 r=1 epoch 10): see memorisation.parquet",
        "2 of 4 synthetic sets cannot be judged by the release gate, which has too few holdout "
        "patients (neg n=29 r=1 epoch 10, neg n=44 r=1 epoch 10): see memorisation.parquet",
    ]
    assert release_notices([card("passed")]) == []


def test_sets_that_are_made_to_be_refused_are_no_warning() -> None:
    assert release_notices([card("refused", gan="copies"), card("passed")]) == []


def test_videos_are_counted_by_reason_and_named_only_if_ids_are_revealed() -> None:
    skipped = [("P1", "v1", NO_LABEL), ("P2", "v2", "v2.mp4 ends early"), ("P3", "v3", NO_LABEL)]
    hidden, revealed = (
        [line.message for line in skipped_notices(skipped, reveal)] for reveal in (False, True)
    )
    assert hidden == [
        "2 videos are left out, each because it has no label: see skipped.parquet",
        "1 video is left out, because it cannot be read: see skipped.parquet",
    ]
    assert revealed == [
        "2 videos are left out (v1 of P1, v3 of P3), each because it has no label: "
        "see skipped.parquet",
        "1 video is left out (v2 of P2), because v2.mp4 ends early: see skipped.parquet",
    ]
    assert skipped_notices([], True) == []


def test_every_video_is_named_where_no_file_lists_them() -> None:
    skipped = [(f"P{i}", f"v{i}", NO_LABEL) for i in range(5)]
    (some,), (every,) = (skipped_lines(skipped, True, n_named=n) for n in (3, None))
    assert some == (
        "5 videos are left out (v0 of P0, v1 of P1, v2 of P2, 2 more), each because it has no label"
    )
    assert all(f"{video} of {patient}" in every for patient, video, _ in skipped)


def test_the_log_says_what_is_not_written_as_the_terminal_does() -> None:
    outcome = RunOutcome(None, {}, {"auroc.png": "OSError: no font"}, broken="interrupted")
    not_written, early, end = _last_notices(outcome, Board())
    assert [not_written] == unwritten_notices(outcome.unwritten)
    assert not_written.message == (
        "not written: auroc.png: OSError: no font: the same command again tries it again"
    )
    assert early == Warned(message="ended early: interrupted")
    assert end == Noted(message="finished: 0 of 0 cells done, 0 steps failed")


def test_splits_are_a_note_unless_the_phantom_makes_them() -> None:
    assert splits_notices("drawn by patient") == [Noted(message="splits: drawn by patient")]
    assert splits_notices("") == []


def test_cells_of_snapshots_that_have_not_learned_are_counted() -> None:
    rows = [{"has_learned": value} for value in (True, False, None, False)]
    (line,) = snapshot_notices(rows)
    assert line.message.startswith("2 of 3 cells with synthetic frames have them from a snapshot")
    assert snapshot_notices(rows[:1]) == []


def test_cells_that_are_not_done_are_counted_by_reason() -> None:
    statuses = ["done", "failed", "blocked", "blocked", "refused", "missing"]
    (line,) = cell_notices([{"status": status} for status in statuses])
    assert line.message == (
        "1 of 6 cells are done: 1 failed, 2 wait for a step that failed, 1 have scores without an "
        "AUC-ROC, 1 were not reached: see the column reason of results.parquet"
    )
    assert cell_notices([{"status": "done"}]) == []


def test_a_sound_run_has_no_warning_and_notes_come_first() -> None:
    sound = RunFacts(results=[{"status": "done", "has_learned": True}], splits="read")
    assert notices(sound) == [Noted(message="splits: read")]
    facts = RunFacts(
        results=[{"status": "missing", "has_learned": None}],
        gan_events=[event("not_finite")],
        memorisation=[card("refused")],
        n_generators=2,
        splits="drawn",
        unused=["not trained on: 3 of 9 negative training videos"],
        skipped=[("P1", "v1", NO_LABEL)],
    )
    found = notices(facts)
    assert [type(line) for line in found] == [Noted, Noted, Warned, Warned, Warned, Warned]
    assert found[1] == Noted(message="not trained on: 3 of 9 negative training videos")
