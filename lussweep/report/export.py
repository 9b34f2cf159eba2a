"""Writes synthetic frames as files for other programs, with the card of the set.

    out/images/000001.png ...    or out/images.parquet, one PNG a row
    out/patients.csv             hashed ids of the patients whose frames the generator saw
    out/card.json                how the set was made, and how much of it is memorised
    out/README.md                the card in words

`lussweep.data.external` reads the images and patients.csv back. The same frames and card give
the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lussweep.errors import InputError
from lussweep.store.files import whole_folder
from lussweep.store.versions import installed_versions
from lussweep.study.keys import hashed_id, is_hashed_id
from lussweep.study.spec import CLASS_WORDS

Kind = Literal["png", "parquet"]

PNG_LEVEL = 6
ROWS_PER_GROUP = 1000
"""Images in a row group, because a reader of the Parquet file holds one group at a time."""

MEMORISATION_LINES = {
    "copy_share": "share of the images that are copies of training frames; best 0",
    "frame_share": "copies of the training frame that is copied most often, as a share of the "
    "images; best 0",
    "recognisable_share": "share of the training patients of whom there is a copy; best 0",
    "nearer_train_share": "share of the images nearer to a training frame than to a frame of as "
    "many unseen patients; about 0.5 without memorisation",
    "ratio_median": "median distance to the nearest training frame, divided by that to the "
    "nearest frame of unseen patients; about 1 without memorisation, well below 1 with",
    "authenticity": "share of the images farther from their nearest training frame than that one "
    "is from its own nearest (Alaa et al. 2022); low where frames are repeated",
    "authenticity_across_patients": "the same with frames of other patients alone, as those of "
    "one patient are near-duplicates and hide repetition",
    "most_copies_of_a_patient": "copies of the patient who is copied most often; best 0",
    "copy_threshold": "an image is a copy if the nearest frame of unseen patients leaves so many "
    "times as much of its structure unexplained as the nearest training frame; hardly any frame of "
    "unseen patients does",
    "caught_share": "share of mirrored and zoomed training frames that copy_threshold catches; "
    "best 1",
    "n_holdout_patients": "unseen patients behind copy_threshold",
    "n_compared": "training frames, and as many of unseen patients, behind the first shares",
    "n_synthetic": "images looked at",
    "n_train": "frames that the generator saw",
}
"""One line of explanation for each number of the memorisation card."""


def write_images(
    frames_NSS: np.ndarray,
    out: Path,
    kind: Kind,
    *,
    card: Mapping[str, Any],
    patients: Sequence[str],
) -> None:
    """Writes a set into the fresh folder `out`, whole or not at all.

    `frames_NSS` are grey levels, uint8 (N, S, S), with N at least 1. `patients` are all patients
    whose frames the generator saw, as hashed ids or as plain ids, which are hashed here. `card`
    holds plain values. A float in it that is not finite becomes null, and an id of one of
    `patients` becomes its hash.

    Raises InputError if `out` is in use or cannot be written, and if `kind` is unknown. Raises
    ValueError for frames of another shape or type, and if `patients` is empty.
    """
    _check_frames(frames_NSS)
    if not patients:
        raise ValueError("no patients: give those whose frames the generator saw")
    if kind not in get_args(Kind):
        raise InputError(f"unknown kind of export {kind!r}: give {' or '.join(get_args(Kind))}")
    out = out.absolute()
    _check_free(out)
    try:
        with whole_folder(out, shared=True) as scratch:
            _write_all(frames_NSS, scratch, kind, _plain(card, set(patients)), patients)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {out}: {reason}; choose another folder") from None


def _check_frames(frames_NSS: np.ndarray) -> None:
    shape = frames_NSS.shape
    if frames_NSS.dtype != np.uint8 or len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise ValueError(f"frames must be uint8 (N, S, S), not {frames_NSS.dtype} {shape}")


def _check_free(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out} is a file or a link: choose another folder")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: choose another folder, or remove it")


def _write_all(
    frames_NSS: np.ndarray, out: Path, kind: Kind, card: dict[str, Any], patients: Sequence[str]
) -> None:
    ids = sorted({_hashed(patient) for patient in patients})
    if kind == "png":
        _write_folder(frames_NSS, out / "images")
    else:
        _write_parquet(frames_NSS, out / "images.parquet")
    with (out / "patients.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["patient_id"], *([i] for i in ids)])
    text = json.dumps(card, sort_keys=True, indent=2, ensure_ascii=False)
    (out / "card.json").write_text(text + "\n", encoding="utf-8")
    readme = _readme(card, kind, frames_NSS.shape, len(ids))
    (out / "README.md").write_text(readme, encoding="utf-8")


# --- images -------------------------------------------------------------------------------


def _write_folder(frames_NSS: np.ndarray, folder: Path) -> None:
    folder.mkdir()
    width = max(6, len(str(len(frames_NSS))))
    for i, image in enumerate(_encoded(frames_NSS), 1):
        (folder / f"{i:0{width}}.png").write_bytes(image)


def _write_parquet(frames_NSS: np.ndarray, path: Path) -> None:
    """Writes PNG bytes into a plain binary column, which every reader can open row by row."""
    size = f"{frames_NSS.shape[2]} x {frames_NSS.shape[1]} pixels"
    notes = {"encoding": "image/png", "unit": "grey level, 0 to 255", "size": size}
    field = pa.field("image", pa.binary(), nullable=False, metadata=notes)
    schema = pa.schema([field])
    images = _encoded(frames_NSS)
    # PNG bytes are compressed already, and equal images are rare.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for start in range(0, len(frames_NSS), ROWS_PER_GROUP):
            n_rows = min(ROWS_PER_GROUP, len(frames_NSS) - start)
            rows = pa.array([next(images) for _ in range(n_rows)], pa.binary())
            writer.write_table(pa.Table.from_arrays([rows], schema=schema))


def _encoded(frames_NSS: np.ndarray) -> Iterator[bytes]:
    for frame in frames_NSS:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "PNG", compress_level=PNG_LEVEL)
        yield buffer.getvalue()


# --- words --------------------------------------------------------------------------------


def _readme(
    card: dict[str, Any], kind: Kind, shape: tuple[int, ...], n_patients_behind: int
) -> str:
    """The card in words: first what the set is, then every value."""
    images = "images/" if kind == "png" else "images.parquet"
    name = CLASS_WORDS.get(str(card.get("class")), str(card.get("class", "unknown")))
    cohort = f"{_show(card.get('n_patients'))} patients a class"
    sections = {key: value for key, value in card.items() if isinstance(value, dict)}
    facts = {key: value for key, value in card.items() if key not in sections}
    memorisation = sections.pop("memorisation", {})
    version = installed_versions(["lussweep"]).get("lussweep", "(version unknown)")
    lines = [
        f"# Synthetic lung-ultrasound images: {name} class",
        "",
        f"{shape[0]} synthetic images of {shape[2]} x {shape[1]} pixels, 8-bit grey levels, of "
        f"the {name} class. A generator trained on a cohort of {cohort} (replicate "
        f"{_show(card.get('replicate'))}) made them; none was recorded from a patient. A "
        "generator can repeat what it was trained on: see Memorisation.",
        "",
        *_verdict(card),
        f"Made by lussweep {version}.",
        "",
        "| file | content |",
        "|---|---|",
        f"| `{images}` | {_IMAGES_LINE[kind]} |",
        f"| `patients.csv` | hashed ids (guessable ones can be found by trying them all: "
        f"pseudonymise before you begin) of the {n_patients_behind} patients whose frames the "
        "generator saw; belongs to the images wherever they are used |",
        "| `card.json` | everything below, for programs |",
        "",
        f"lussweep reads `{images}` and `patients.csv` back as images of a generator of any kind. "
        "Whoever trains on these images must not test on the patients behind them.",
        "",
        "## Memorisation",
        "",
        *_memorisation(memorisation),
        "",
        "## The set",
        "",
        *_table(facts),
    ]
    for key, section in sorted(sections.items()):
        lines += ["", f"## {_title(key)}", "", *_table(_flat(section))]
    return "\n".join(lines) + "\n"


_IMAGES_LINE = {
    "png": "one 8-bit grey PNG an image, numbered from 1",
    "parquet": "column `image`: the bytes of one 8-bit grey PNG a row",
}


def _verdict(card: dict[str, Any]) -> list[str]:
    word = card.get("verdict")
    if word is None:
        return []
    if word == "unjudged":
        return [f"**The release gate could NOT judge the set: {card['verdict_because']}.**", ""]
    if word != "passed":
        return ["**The set did NOT pass its release gate.**", ""]
    if not card.get("release_gate"):
        return ["**No release gate was set: nothing was demanded of these images.**", ""]
    return ["**The set passed its release gate.**", ""]


def _memorisation(numbers: dict[str, Any]) -> list[str]:
    lines = []
    if numbers.get("copy_share") is None:
        lines += ["Not measured for this set: treat its images as if they showed patients.", ""]
    if not numbers:
        return lines[:1]
    flat = _flat(numbers)
    explained = [key for key in MEMORISATION_LINES if key in flat]
    rows = [
        f"| {_show(key)} | {_show(flat[key])} | {MEMORISATION_LINES.get(key, '')} |"
        for key in [*explained, *sorted(flat.keys() - set(explained))]
    ]
    return [*lines, "| measure | value | what it says |", "|---|---|---|", *rows]


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {_show(key)} | {_show(value)} |" for key, value in sorted(values.items())]
    return ["| field | value |", "|---|---|", *rows]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested fields: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _title(key: str) -> str:
    text = _show(key).replace("_", " ")
    return text[:1].upper() + text[1:]


def _show(value: Any) -> str:
    """Formats a plain value for one cell of a Markdown table."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return " ".join(text.split()).replace("|", "\\|")


def _plain(value: Any, patients: Collection[str]) -> Any:
    """Turns a value into one that JSON can hold and that names no patient.

    Mappings become dicts. Floats that are not finite become null. A name or a text that is the
    id of one of `patients` becomes its hash.
    """
    if isinstance(value, Mapping):
        return {_plain(str(k), patients): _plain(item, patients) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, patients) for item in value]
    if isinstance(value, str):
        return _hashed(value) if value in patients else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _hashed(patient: str) -> str:
    return patient if is_hashed_id(patient) else hashed_id(patient)
