"""`lussweep init`: write a manifest and an experiment for a folder of videos."""

from __future__ import annotations

import csv
import io
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption, PositiveOption, SkipOption
from lussweep.errors import InputError
from lussweep.run.arguments import experiment_text
from lussweep.study.spec import StudySpec, load_study

if TYPE_CHECKING:
    from lussweep.data.tree import Found

MANIFEST, EXPERIMENT = "manifest.csv", "experiment.yaml"
TEMPLATE = "pocus"
"""The shipped experiment for few patients, whose values a new experiment takes."""


def init(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the videos.")],
    pattern: Annotated[
        str | None,
        typer.Option(
            help="What the parts of a path mean, such as '{split}/{label}/{patient}_*'.",
            show_default="guessed, and shown",
        ),
    ] = None,
    positive: PositiveOption = None,
    skip_unreadable: SkipOption = False,
    debug: DebugOption = False,
) -> None:
    """Write manifest.csv and experiment.yaml into a folder of videos."""
    with clear_errors(debug):
        from lussweep.cli.data_table import print_data
        from lussweep.data.manifest import read_manifest
        from lussweep.data.tree import find_videos, guess_pattern, read_paths

        for name in (MANIFEST, EXPERIMENT):
            if (folder / name).exists():
                raise InputError(f"{folder / name} exists: move it away, or use it")
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give the one that holds the videos")
        paths = find_videos(folder)
        pattern = pattern or guess_pattern(paths)
        videos = read_paths(paths, pattern)
        typer.echo(f"pattern: {pattern} (--pattern gives another)")
        typer.echo(f"for example {_example(videos[0])}")
        for line in _counts_and_doubts(videos):
            typer.echo(line)
        _check_labels(videos, positive or ())
        template = load_study(experiment_text(TEMPLATE), where=TEMPLATE)
        manifest = folder / MANIFEST
        try:
            manifest.write_text(_table(videos), encoding="utf-8")
            read = read_manifest(
                manifest,
                positive=positive or (),
                split=template.data.split,
                seed=template.seed,
                skip_unreadable=skip_unreadable,
            )
            train = read.manifest.patients("train").values()
            classes = Counter(max(video.label for video in videos) for videos in train)
            text = _experiment(folder.resolve().name, positive or (), min(classes[0], classes[1]))
            (folder / EXPERIMENT).write_text(text, encoding="utf-8")
        except BaseException:  # one file without the other would stop the next attempt
            manifest.unlink(missing_ok=True)
            (folder / EXPERIMENT).unlink(missing_ok=True)
            raise
        print_data(read.manifest, read.splits, notes=read.notes, skipped=read.skipped)
        typer.echo(f"wrote {manifest} and {folder / EXPERIMENT}: look at both, then run")
        places = shlex.join([str(folder / EXPERIMENT), "--data", str(manifest)])
        typer.echo(f"lussweep plan {places}")


def _counts_and_doubts(videos: list[Found]) -> list[str]:
    """Lines with the numbers of videos and patients, and with signs of a wrong pattern."""
    labels: dict[str, set[str]] = {}
    for video in videos:
        labels.setdefault(video.patient, set()).add(video.label)
    lines = [f"{len(videos)} videos of {len(labels)} patients"]
    if len(labels) == len(videos):
        lines.append(
            "each video has a patient of its own: check that the pattern does not split a patient "
            "in two"
        )
    if n_several := sum(len(of_patient) > 1 for of_patient in labels.values()):
        lines.append(
            f"{n_several} patients have videos of several labels: check that the pattern does not "
            "merge two patients"
        )
    return lines


def _example(video: Found) -> str:
    split = f", split {video.split}" if video.split else ""
    return f"{video.path}: patient {video.patient}, label {video.label}{split}"


def _check_labels(videos: list[Found], positive: list[str] | tuple[()]) -> None:
    """Raise InputError that lists the labels if it is not known which are positive."""
    from lussweep.data.labels import parse_label

    counts = Counter(video.label for video in videos)
    try:
        for label in counts:
            parse_label(label, positive)
    except InputError:
        listed = ", ".join(f"{label} ({n})" for label, n in counts.most_common(20))
        raise InputError(
            f"the labels are {listed}: say which are positive with --positive LABEL, "
            "or give another --pattern"
        ) from None


def _table(videos: list[Found]) -> str:
    """The manifest as CSV."""
    names = ["patient_id", "video_id", "path", "label"]
    has_split = any(video.split for video in videos)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "split"] if has_split else names)
    for video in videos:
        row = [video.patient, video.video_id, video.path, video.label]
        writer.writerow([*row, video.split] if has_split else row)
    return text.getvalue()


def _experiment(name: str, positive: list[str] | tuple[()], n_patients: int) -> str:
    """An experiment whose largest cohort takes `n_patients` of each class."""
    counts = sorted({max(1, n_patients // 4), max(1, n_patients // 2), n_patients})
    values = yaml.safe_load(experiment_text(TEMPLATE))
    values["name"] = name
    values["description"] = f"Written by `lussweep init`, with the values of {TEMPLATE}."
    values["data"] |= {"label": "label", "positive": list(positive)}
    values["grid"]["n_patients"] = counts
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    study: StudySpec = load_study(text, where=EXPERIMENT)
    assert study.grid.n_patients == tuple(counts)
    return text
