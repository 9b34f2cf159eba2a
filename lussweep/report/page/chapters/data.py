"""Chapters on the data: flow of patients with Table 1, cohorts, and the most confident errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from lussweep.data.frames import load_pixels
from lussweep.report.cells import BASELINE, DONE, Row
from lussweep.report.page.columns import N, share
from lussweep.report.page.pixels import frames_of, strip
from lussweep.report.page.seam import Chapter, Column, Context, PageSource, page_table
from lussweep.report.page.wording import counted, spread
from lussweep.study.keys import hashed_id

CLASS_WORDS = {1: "positive", 0: "negative"}
SPLIT_WORDS = {"train": "train", "val": "validation", "holdout": "holdout"}
MOST_ERRORS = 8


def _cohort(source: PageSource) -> Context | None:
    frames = source.rows("frames")
    if not frames:
        return None
    rows = table1_rows(frames)
    columns = [
        Column("split", "split", is_number=False),
        Column("class", "patient class", is_number=False),
        Column("patients", "patients"), Column("videos", "videos"), Column("frames", "frames"),
        Column("positive", "positive", "frames"), Column("unusable", "unusable", "frames"),
        Column("per_patient", "frames a patient", "median (range)"),
        Column("effective", "effective patients", "(sum m)^2 / sum m^2", "{:.1f}".format),
    ]  # fmt: skip
    caption = "Table 1: patients, videos and frames by split."
    skipped = len(source.rows_if_written("skipped"))
    cohorts = cohort_rows(source.rows_if_written("cohorts"))
    of_cohorts = [
        N, Column("replicates", "replicates"), Column("frames", "frames a class", "F"),
        Column("patients_used", "patients with frames", "both classes"),
    ]  # fmt: skip
    said = "Cohorts: patients and frames that the cells of a patient count trained on."
    return {
        "flow": flow(rows, skipped),
        "table": page_table("table1", caption, columns, rows, "frames.parquet"),
        "cohorts": page_table("cohorts-table", said, of_cohorts, cohorts, "cohorts.parquet")
        if cohorts
        else None,
    }


def table1_rows(frames: Sequence[Row]) -> list[Row]:
    """One row for each split and class of patients, from the rows of `frames`."""
    of: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in frames:
        of[row["split"], row["patient_class"]].append(row)
    rows = []
    for split in SPLIT_WORDS:
        for label, word in CLASS_WORDS.items():
            here = of.get((split, label), [])
            m: dict[str, int] = defaultdict(int)
            for row in here:
                m[row["patient_id"]] += row["label"] is not None
            counts = sorted(m.values())
            square = sum(n * n for n in counts)
            rows.append(
                {
                    "split": SPLIT_WORDS[split],
                    "class": word,
                    "patients": len(m),
                    "videos": len({(row["patient_id"], row["video_id"]) for row in here}),
                    "frames": len(here),
                    "positive": sum(row["label"] == 1 for row in here),
                    "unusable": sum(row["label"] is None for row in here),
                    "per_patient": f"{median(counts):g} ({counts[0]} to {counts[-1]})"
                    if counts
                    else None,
                    "effective": sum(counts) ** 2 / square if square else None,
                }
            )
    return rows


def flow(rows: Sequence[Row], skipped: int) -> list[tuple[str, str]]:
    """The flow of patients as pairs of a step and what it holds."""

    def total(rows: Sequence[Row]) -> str:
        patients = sum(row["patients"] for row in rows)
        videos, frames = (sum(row[name] for row in rows) for name in ("videos", "frames"))
        return (
            f"{counted(patients, 'patient')}, {counted(videos, 'video')}, "
            f"{counted(frames, 'frame')}"
        )

    steps = [("All data", total(rows))]
    if skipped:
        steps.append(("Left out", f"{counted(skipped, 'video')} that could not be read"))
    for word in SPLIT_WORDS.values():
        steps.append((word.capitalize(), total([row for row in rows if row["split"] == word])))
    return steps


def cohort_rows(cohorts: Sequence[Row]) -> list[Row]:
    """One row for each patient count, from the rows of `cohorts`."""
    draws: dict[int, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in cohorts:
        draws[row["n_patients"]][row["replicate"]].append(row)
    rows = []
    for n, of_n in sorted(draws.items()):
        frames = sorted(sum(row["label"] == 1 for row in draw) for draw in of_n.values())
        used = sorted(len({row["patient_id"] for row in draw}) for draw in of_n.values())
        rows.append(
            {
                "n_patients": n,
                "replicates": len(of_n),
                "frames": spread([f"{value:,}" for value in frames]),
                "patients_used": spread([str(value) for value in used]),
            }
        )
    return rows


def _gallery(source: PageSource) -> Context | None:
    done = [row for row in source.rows("results") if row["status"] == DONE]
    if not done:
        return None
    n = max(row["n_patients"] for row in done)
    variants = dict.fromkeys((BASELINE, *(v for v, _ in source.study.analysis.contrasts)))
    cells = [
        row
        for variant in list(variants)[:2]
        for row in done
        if (row["n_patients"], row["variant"]) == (n, variant)
    ]
    scores = source.rows("frame_scores")
    groups: list[Context] = []
    for variant in dict.fromkeys(row["variant"] for row in cells):
        replicate = min(row["replicate"] for row in cells if row["variant"] == variant)
        place = (n, replicate, variant)
        of_cell = [
            row for row in scores if (row["n_patients"], row["replicate"], row["variant"]) == place
        ]
        for label, word in ((0, "called positive, but negative"), (1, "missed, but positive")):
            errors = confident_errors(of_cell, label)
            if errors:
                groups.append(_errors(f"{variant}, {word}", errors, source, len(groups)))
    return {"groups": groups, "n": n} if groups else None


def confident_errors(rows: Sequence[Row], label: int) -> list[Row]:
    """The frames of a class with the scores that are furthest off, one for each patient."""
    wrong = [row for row in rows if row["label"] == label and (row["score"] > 0.5) == (label == 0)]
    wrong.sort(key=lambda row: row["score"], reverse=label == 0)
    first: dict[str, Row] = {}
    for row in wrong:
        first.setdefault(row["patient_id"], row)
    return list(first.values())[:MOST_ERRORS]


def _errors(title: str, errors: Sequence[Row], source: PageSource, index: int) -> Context:
    rows = [
        row | {"patient": hashed_id(row["patient_id"]), "video": hashed_id(row["video_id"])}
        for row in errors
    ]
    columns = [
        Column("patient", "patient", "hashed", is_number=False),
        Column("video", "video", "hashed", is_number=False), Column("frame", "frame"),
        share("score", "score"),
    ]  # fmt: skip
    table = page_table(f"errors-{index}", f"{title}.", columns, rows, "frame_scores.parquet")
    picture = None
    if not source.is_shareable:
        frames = frames_of(source.collected, errors)
        if frames is not None:
            picture = strip(title, load_pixels(source.collected.reported.store, frames))
    return {"title": title, "table": table, "strip": picture}


CHAPTERS = {
    "cohort": Chapter(
        title="Patients and frames", make=_cohort, nothing="No frame has been read yet."
    ),
    "gallery": Chapter(
        title="Most confident errors",
        make=_gallery,
        nothing="No frame of the holdout is on the wrong side of a score of 0.5.",
    ),
}
