"""The pages of contact sheets, and the command that writes them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from lussweep.cli.app import app
from lussweep.data.preview import Look, look_at
from lussweep.report import preview as module
from lussweep.report.preview import write_preview
from lussweep.study.spec import PreprocessSpec, Video

EVIL = "<script>alert('x')</script>\"&"


def frames(x1: int = 90) -> np.ndarray:
    """Six frames (T, H, W) of noise in a box, black elsewhere."""
    video = np.zeros((6, 80, 100), np.uint8)
    video[:, 10:70, 10:x1] = np.random.default_rng(0).integers(40, 200, (6, 60, x1 - 10))
    return video


def looked_at(n: int, patient_id: str = "P1") -> list[tuple[Video, Look]]:
    look = look_at(frames(), PreprocessSpec())
    row = {"patient_id": patient_id, "label": 0, "split": "train", "sha256": "0"}
    return [(Video.model_validate({**row, "video_id": f"v{i}"}), look) for i in range(n)]


def test_ids_and_reasons_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    refused = [(EVIL, EVIL, EVIL)]
    (page,) = write_preview(looked_at(2, EVIL), refused, tmp_path / "preview.html")
    text = page.read_text()
    assert "<script" not in text and text.count("&lt;script&gt;") == 2 + 3
    assert "default-src 'none'" in text and not re.search(
        r"(?:src|href)=\"(?!data:|#|preview)", text
    )
    assert page.stat().st_mode & 0o077 == 0


def test_pictures_are_those_of_the_video(tmp_path: Path) -> None:
    (page,) = write_preview(looked_at(1), [], tmp_path / "preview.html")
    encoded = re.findall(r"base64,([^\"]+)", page.read_text())
    assert len(encoded) == 3
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded[1]), np.uint8), 1)
    inside = picture[20:60, 20:80].mean(axis=2)
    assert np.corrcoef(inside.ravel(), frames()[3, 20:60, 20:80].ravel())[0, 1] > 0.9


def test_many_videos_are_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VIDEOS_PER_PAGE", 3)
    pages = write_preview(looked_at(7), [], tmp_path / "p.html")
    assert [page.name for page in pages] == ["p.html", "p-2.html", "p-3.html"]
    shown = [re.findall(r"<h2>patient P1, video (v\d)", page.read_text()) for page in pages]
    assert shown == [["v0", "v1", "v2"], ["v3", "v4", "v5"], ["v6"]]
    assert all("pixels and ids of patients" in page.read_text() for page in pages)
    assert 'href="p-3.html"' in pages[0].read_text()


def test_pages_of_a_longer_preview_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VIDEOS_PER_PAGE", 3)
    write_preview(looked_at(7), [], tmp_path / "p.html")
    (tmp_path / "p-4.html").write_text("a page of the user's own")
    write_preview(looked_at(2), [], tmp_path / "p.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p-4.html", "p.html"]


def test_the_command_names_outliers_and_refused_videos_first(tmp_path: Path) -> None:
    rows = ["patient_id,video_id,path,label,split"]
    ends = [90, 90, 90, 90, 90, 40, 0]
    for i, end in enumerate(ends):
        folder = tmp_path / f"f{i}"
        folder.mkdir()
        for t, frame in enumerate(frames(end) if end else np.zeros((6, 80, 100), np.uint8)):
            cv2.imwrite(str(folder / f"{t}.png"), np.roll(frame, i) if end else frame)
        split = ("train", "val", "holdout")[i // 2] if i < 6 else "train"
        rows.append(f"P{i},v{i},f{i},{i % 2},{split}")
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(rows))
    out = tmp_path / "out" / "look.html"
    result = CliRunner().invoke(app, ["preview", str(manifest), "--out", str(out)])
    assert result.exit_code == 0, result.output
    text = out.read_text()
    first = text[text.index("Look at these") : text.index("</ul>")]
    assert re.findall(r"video (v\d)", first) == ["v5", "v6"]
    assert "its crop differs" in first and "the video is black" in first
    assert len(re.findall("<img", text)) == 3 * 6


def test_a_few_videos_need_no_splits(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", frames())
    (tmp_path / "m.csv").write_text("patient_id,video_id,path,label\nP1,v1,a.npy,1\n")
    out = tmp_path / "p.html"
    done = CliRunner().invoke(app, ["preview", str(tmp_path / "m.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "<h2>patient P1, video v1" in out.read_text()


def test_a_page_of_another_kind_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["preview", "m.csv", "--out", str(tmp_path / "page.pdf")])
    assert result.exit_code == 2 and "ends in .html" in " ".join(result.output.split())
