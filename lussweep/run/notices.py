"""Says what a user must know at the end of a run, one line each. Pure functions of table rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lussweep.data.rows import NO_LABEL, Skipped
from lussweep.report.page.wording import counted
from lussweep.run.events import Noted, Warned
from lussweep.study.coordinates import Draw
from lussweep.study.spec import KNOWN

Row = Mapping[str, Any]
Notice = Warned | Noted
N_NAMED = 3
"""Most generators or videos that one line names."""


@dataclass(frozen=True)
class Generator:
    """One generator of a run."""

    draw: Draw
    label: str
    """pos, neg or both."""
    gan: str
    """`base`, or what differs from the study's GAN."""

    @classmethod
    def of_row(cls, row: Row) -> Generator:
        """The generator of a row of `gan_events` or `memorisation`."""
        return cls(Draw.of_row(row), row["class"], row["gan"])

    def __str__(self) -> str:
        other = "" if self.gan == "base" else f" {self.gan}"
        return f"{self.label} {self.draw}{other}"


@dataclass(frozen=True)
class RunFacts:
    """What the notices are made from."""

    results: Sequence[Row]
    gan_events: Sequence[Row] = ()
    memorisation: Sequence[Row] = ()
    n_generators: int = 0
    """Generators that the run trains."""
    attempts: Mapping[Generator, int] | None = None
    """How many attempts the generators took that are done."""
    splits: str = ""
    """The origin of the splits, in words; empty for the phantom."""
    unused: Sequence[str] = ()
    """A line for each kind of video or frame that is not used."""
    skipped: Sequence[Skipped] = ()
    """Videos that were left out: patient, video, reason."""
    reveal_ids: bool = False


def notices(facts: RunFacts) -> list[Notice]:
    """The lines in the order in which they are shown: the warnings last."""
    return [
        *splits_notices(facts.splits),
        *(Noted(message=line) for line in facts.unused),
        *skipped_notices(facts.skipped, facts.reveal_ids),
        *generator_notices(facts.gan_events, facts.n_generators, facts.attempts or {}),
        *snapshot_notices(facts.results),
        *release_notices(facts.memorisation),
        *cell_notices(facts.results),
    ]


def splits_notices(splits: str) -> list[Notice]:
    """Whether splits were read or drawn."""
    return [Noted(message=f"splits: {splits}")] if splits else []


def skipped_lines(
    skipped: Sequence[Skipped], reveal_ids: bool, n_named: int | None = N_NAMED
) -> list[str]:
    """How many videos are left out, for each reason.

    With `reveal_ids` the first `n_named` of each reason are named, all of them if it is None.
    """
    videos_of: dict[str, list[str]] = {}
    for patient, video, reason in skipped:
        public = reason if reveal_ids or reason == NO_LABEL else "it cannot be read"
        videos_of.setdefault(public, []).append(f"{video} of {patient}")
    lines = []
    for reason, videos in videos_of.items():
        named = f" ({_some(videos, n_named)})" if reveal_ids else ""
        are, each = ("is", "") if len(videos) == 1 else ("are", "each ")
        subject = f"{counted(len(videos), 'video')} {are} left out{named}"
        lines.append(f"{subject}, {each}because {reason}")
    return lines


def skipped_notices(skipped: Sequence[Skipped], reveal_ids: bool) -> list[Notice]:
    """How many videos are left out, for each reason. With `reveal_ids` some are named."""
    lines = skipped_lines(skipped, reveal_ids)
    return [Warned(message=f"{line}: see skipped.parquet") for line in lines]


def unwritten_notices(unwritten: Mapping[str, str]) -> list[Warned]:
    """Each file or part of the report that could not be made, with its error."""
    return [
        Warned(message=f"not written: {name}: {error}: the same command again tries it again")
        for name, error in unwritten.items()
    ]


EVENT_WORDS = {
    "not_finite": "diverged in training",
    "discriminator_won": "collapsed in training",
    "low_diversity": "collapsed in training",
    "not_learned": "did not learn",
}
"""What the events of GANs mean. The event of a plugin's generator is named by its kind."""


def generator_notices(
    events: Iterable[Row], n_generators: int, attempts: Mapping[Generator, int]
) -> list[Notice]:
    """Names the generators that diverged, collapsed or did not learn, and those that were mended.

    A generator whose last attempt had no event is mended: its policy has trained it again.
    """
    last_event: dict[tuple[str, Generator], int] = {}
    for row in events:
        words = EVENT_WORDS.get(row["kind"], f"had the event {row['kind']}")
        key = (words, Generator.of_row(row))
        last_event[key] = max(last_event.get(key, 0), row["attempt"] or 1)
    of_outcome: dict[tuple[str, bool], list[Generator]] = {}
    for (words, generator), attempt in last_event.items():
        is_mended = attempts.get(generator, 0) > attempt
        of_outcome.setdefault((words, is_mended), []).append(generator)
    lines: list[Notice] = []
    for (words, is_mended), generators in of_outcome.items():
        subject = f"{len(generators)} of {counted(n_generators, 'generator')} {words}"
        named = _some(map(str, generators))
        if is_mended:
            lines.append(Noted(message=f"{subject}, but a later attempt ended well ({named})"))
        else:
            lines.append(Warned(message=f"{subject} ({named}): see gan_events.parquet"))
    return lines


def snapshot_notices(results: Iterable[Row]) -> list[Notice]:
    """Counts the cells whose synthetic frames are of a snapshot that has not learned."""
    learned = [row["has_learned"] for row in results if row["has_learned"] is not None]
    n = sum(not has for has in learned)
    if not n:
        return []
    line = (
        f"{n} of {counted(len(learned), 'cell')} with synthetic frames have them from a snapshot "
        "that has not learned: see spectral_gap_pos and spectral_gap_neg in results.parquet"
    )
    return [Warned(message=line)]


NOT_PASSED = {
    "refused": "failed the release gate and may not be exported",
    "unjudged": "cannot be judged by the release gate, which has too few holdout patients",
}


def release_notices(memorisation: Iterable[Row]) -> list[Notice]:
    """Names the synthetic sets that the release gate has refused or cannot judge.

    Sets of variants of known worth are left out: some are made to be refused.
    """
    sets = [row for row in memorisation if row["gan"] not in KNOWN]
    lines = []
    for verdict, words in NOT_PASSED.items():
        named = [_set_name(row) for row in sets if row["verdict"] == verdict]
        if named:
            subject = f"{len(named)} of {counted(len(sets), 'synthetic set')}"
            lines.append(f"{subject} {words} ({_some(named)}): see memorisation.parquet")
    return [Warned(message=line) for line in lines]


def _set_name(row: Row) -> str:
    epoch = f" epoch {row['gan_epoch']}" if row["gan_epoch"] else ""
    return f"{Generator.of_row(row)}{epoch}"


CELL_WORDS = {
    "failed": "failed",
    "blocked": "wait for a step that failed",
    "refused": "have scores without an AUC-ROC",
    "missing": "were not reached",
}


def cell_notices(results: Sequence[Row]) -> list[Notice]:
    """How many cells are done, if not all are, and why the others are not."""
    counts = Counter(row["status"] for row in results)
    others = [f"{counts[word]} {words}" for word, words in CELL_WORDS.items() if counts[word]]
    if not others:
        return []
    done = f"{counts['done']} of {counted(len(results), 'cell')} are done"
    return [
        Warned(message=f"{done}: {', '.join(others)}: see the column reason of results.parquet")
    ]


def _some(names: Iterable[str], n: int | None = N_NAMED) -> str:
    """The first `n` names, and how many more there are. All names if `n` is None."""
    every = list(names)
    first = every[:n]
    more = [f"{len(every) - len(first)} more"] if len(every) > len(first) else []
    return ", ".join([*first, *more])
