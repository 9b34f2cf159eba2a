import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lussweep.data.declaration import check_declaration
from lussweep.data.external import describe, load_images, pixel_digest
from lussweep.errors import InputError
from lussweep.report.export import MEMORISATION_LINES, write_images
from lussweep.study.keys import hashed_id
from support.commands import ROOT

FRAMES = np.random.default_rng(0).integers(0, 256, (7, 32, 32)).astype(np.uint8)
PATIENTS = ["Pat-2", "Pat-1", "Pat-2"]
IMAGES = {"png": "images", "parquet": "images.parquet"}
CARD: dict[str, Any] = {
    "class": "pos",
    "n_patients": 6,
    "replicate": 2,
    "gan_epoch": 15,
    "seed": 7231,
    "synth_key": "0123456789abcdef",
    "n_images": 7,
    "generator": {"n_epochs": 100, "lr_generator": 0.0002, "betas": [0.5, 0.999]},
    "memorisation": {
        "copy_share": 0.0123456,
        "nearer_train_share": 0.51,
        "ratio_median": float("nan"),
        "authenticity": 0.875,
        "copies_per_patient": {"Pat-1": 3, "Pat-2": 0},
    },
    "release_gate": {"max_copy_share": 0.05, "note": "a | b"},
    "verdict": "passed",
}
KINDS = pytest.mark.parametrize("kind", list(IMAGES))


def export(out: Path, kind: Any = "png", frames: np.ndarray = FRAMES, **changes: Any) -> Path:
    write_images(frames, out, kind, card={**CARD, **changes}, patients=PATIENTS)
    return out


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- what is written can be read ----------------------------------------------------------


@KINDS
def test_what_is_written_reads_back_the_same(tmp_path: Path, kind: str) -> None:
    out = export(tmp_path / "set", kind)
    found = describe(out / IMAGES[kind], out / "patients.csv", 32)
    assert found.sha256 == pixel_digest(FRAMES)
    assert found.n_images == 7
    assert found.patients == tuple(sorted(map(hashed_id, {"Pat-1", "Pat-2"})))
    np.testing.assert_array_equal(load_images(found, 32), FRAMES)
    check_declaration(found.patients, ["Pat-1", "Pat-2", "Pat-3"], ["Hold-1"], "set")


@KINDS
def test_equal_sets_are_equal_bytes(tmp_path: Path, kind: str) -> None:
    first = content(export(tmp_path / "first", kind))
    assert first == content(export(tmp_path / "second", kind, FRAMES.copy()))
    turned = write_images(
        FRAMES,
        tmp_path / "third",
        kind,  # type: ignore[arg-type]
        card=dict(reversed(CARD.items())),
        patients=PATIENTS[::-1],
    )
    assert turned is None and first == content(tmp_path / "third")


def test_png_files_are_numbered_8_bit_grey(tmp_path: Path) -> None:
    out = export(tmp_path / "set")
    files = sorted((out / "images").iterdir())
    assert [file.name for file in files] == [f"{i:06}.png" for i in range(1, 8)]
    for file, frame in zip(files, FRAMES, strict=True):
        with Image.open(file) as image:
            assert (image.format, image.mode) == ("PNG", "L")
            np.testing.assert_array_equal(np.asarray(image), frame)
    assert {path.name for path in out.iterdir()} == {
        "images",
        "patients.csv",
        "card.json",
        "README.md",
    }


def test_parquet_opens_with_pandas_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("lussweep.report.export.ROWS_PER_GROUP", 3)
    path = export(tmp_path / "set", "parquet") / "images.parquet"
    images = pandas.read_parquet(path)["image"]
    assert len(images) == 7
    for cell, frame in zip(images, FRAMES, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(cell))), frame)
    with pq.ParquetFile(path) as file:
        assert file.metadata.num_row_groups == 3
        assert file.schema_arrow.field("image").metadata == {
            b"encoding": b"image/png",
            b"unit": b"grey level, 0 to 255",
            b"size": b"32 x 32 pixels",
        }


# --- what is said of it -------------------------------------------------------------------


@KINDS
def test_no_patient_is_named(tmp_path: Path, kind: str) -> None:
    out = export(tmp_path / "set", kind)
    assert all(b"Pat-" not in data for data in content(out).values())
    with (out / "patients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient_id"] for row in rows] == sorted(map(hashed_id, {"Pat-1", "Pat-2"}))


def test_hashed_ids_are_hashed_once(tmp_path: Path) -> None:
    write_images(FRAMES, tmp_path / "set", "png", card=CARD, patients=[hashed_id("A"), "A", "B"])
    ids = (tmp_path / "set" / "patients.csv").read_text().split()
    assert ids == ["patient_id", *sorted([hashed_id("A"), hashed_id("B")])]


def test_the_card_is_the_given_one_in_json(tmp_path: Path) -> None:
    text = (export(tmp_path / "set") / "card.json").read_text()
    card = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    copies = {hashed_id("Pat-1"): 3, hashed_id("Pat-2"): 0}
    memorisation = {**CARD["memorisation"], "ratio_median": None, "copies_per_patient": copies}
    assert card == {**CARD, "memorisation": memorisation}
    assert text == json.dumps(card, sort_keys=True, indent=2) + "\n"


def test_a_card_of_other_than_plain_values_is_a_fault_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        export(tmp_path / "set", seed={1, 2})
    assert list(tmp_path.iterdir()) == []


def test_the_readme_says_what_the_set_is(tmp_path: Path) -> None:
    text = (export(tmp_path / "set") / "README.md").read_text()
    for line in (
        "# Synthetic lung-ultrasound images: positive class",
        "**The set passed its release gate.**",
        "| copy_share | 0.01235 | " + MEMORISATION_LINES["copy_share"] + " |",
        "| ratio_median | none | " + MEMORISATION_LINES["ratio_median"] + " |",
        f"| copies_per_patient.{hashed_id('Pat-1')} | 3 |  |",
        "| seed | 7231 |",
        "| synth_key | 0123456789abcdef |",
        "| betas | [0.5, 0.999] |",
        "| note | a \\| b |",
        "## Generator",
        "## Release gate",
    ):
        assert line in text.splitlines()
    assert "cohort of 6 patients a class (replicate 2)" in text
    assert "Made by lussweep" in text and "`images/`" in text


def test_the_readme_says_what_is_amiss(tmp_path: Path) -> None:
    failed = (export(tmp_path / "failed", verdict="refused") / "README.md").read_text()
    assert "**The set did NOT pass its release gate.**" in failed
    unmeasured = (
        export(tmp_path / "bare", memorisation={}, verdict=None) / "README.md"
    ).read_text()
    assert "Not measured for this set" in unmeasured and "passed its" not in unmeasured
    ungated = (export(tmp_path / "ungated", release_gate=None) / "README.md").read_text()
    assert "No release gate was set" in ungated and "passed its" not in ungated
    uncalibrated = export(tmp_path / "one", memorisation={"n_train": 60, "n_synthetic": 9})
    text = (uncalibrated / "README.md").read_text()
    assert "Not measured for this set" in text and "| n_train | 60 |" in text
    write_images(FRAMES, tmp_path / "empty", "parquet", card={}, patients=["A"])
    text = (tmp_path / "empty" / "README.md").read_text()
    assert "unknown class" in text and "`images.parquet`" in text


# --- whole or not at all ------------------------------------------------------------------


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = export(tmp_path / "set")
    before = content(tmp_path)
    with pytest.raises(InputError, match="is not empty: choose another folder"):
        export(out, "parquet")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(InputError, match="is a file or a link"):
            export(tmp_path / name)
    with pytest.raises(InputError, match="cannot write"):
        export(tmp_path / "file" / "set")
    assert content(tmp_path) == {**before, "file": b""}


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert content(export(tmp_path / "empty")) == content(export(tmp_path / "a" / "b" / "set"))


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lussweep.report.export._readme", full)
    with pytest.raises(InputError, match="No space left on device; choose another folder"):
        export(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_somebody_who_fills_the_folder_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race(*_: Any) -> str:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "theirs").touch()
        return ""

    monkeypatch.setattr("lussweep.report.export._readme", race)
    with pytest.raises(InputError, match="cannot write"):
        export(tmp_path / "set")
    assert content(tmp_path) == {"set/theirs": b""}


def test_unknown_kinds_and_other_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown kind of export 'jpeg': give png or parquet"):
        export(tmp_path / "set", "jpeg")
    for frames in (FRAMES[0], FRAMES[:0], FRAMES[:, :9], FRAMES.astype(np.float32)):
        with pytest.raises(ValueError, match="frames must be uint8"):
            export(tmp_path / "set", frames=frames)
    with pytest.raises(ValueError, match="no patients: give those"):
        write_images(FRAMES, tmp_path / "set", "png", card=CARD, patients=[])
    assert list(tmp_path.iterdir()) == []


def test_neither_module_imports_torch_or_ray() -> None:
    code = "import sys, lussweep.report.export, lussweep.data.external as _; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert not {"torch", "ray", "lussweep.stages"} & set(done.stdout.split())
