"""A run on Ray of patients with telling names, one step of which fails: what is left on the disk
names none of them."""

from __future__ import annotations

import csv
import re
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from e2e.test_concealed import break_cohorts
from lussweep.study.keys import hashed_id
from support.commands import command, environment

TELLING = "Telltale"
BY_DESIGN = re.compile(
    r"(frames|cohorts?|frame_scores|val_scores|copies|closest_pairs|pairs)\.parquet$|record\.json$"
)
"""Files that hold ids because they are the data: docs/results.md lists them."""
STUDY = """
name: told
data: {preprocess: {image_size: 64}}
gan: {n_epochs: 1, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8, embedders: [detector]}
classifier: {n_epochs: 1}
search: {n_trials: 1, channels: [1], learning_rates: [0.003], dropouts: [0.25]}
analysis: {n_resamples: 100}
grid: {n_patients: [2], replicates: 1, variants: [baseline, combined]}
"""


def write_videos(folder: Path) -> Path:
    """Nine patients, each one video; the last one breaks after its first frames."""
    rows = [("patient_id", "video_id", "path", "label", "split")]
    for i, split in enumerate(("train",) * 4 + ("val",) * 2 + ("holdout",) * 3):
        patient, video = f"{TELLING}-Anna-{i}", f"{TELLING}.film.{i}"
        path = folder / f"{TELLING} folder" / f"{TELLING}_{i}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
        for frame in np.random.default_rng(i).integers(256, size=(4, 64, 64, 1), dtype=np.uint8):
            writer.write(np.repeat(frame, 3, axis=2))
        writer.release()
        rows.append((patient, video, str(path.relative_to(folder)), str(i % 2), split))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "manifest.csv"


def names_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and not p.is_symlink()}  # fmt: skip


def telling(folder: Path) -> list[str]:
    """Files whose name or content holds a telling name, in one of the ways text is written."""
    found = []
    for name, content in names_of(folder).items():
        if BY_DESIGN.search(name):
            continue
        forms = [TELLING.encode(form) for form in ("utf-8", "utf-16-le", "utf-32-le")]
        if TELLING in name or any(form in content for form in forms):
            found.append(name)
    return found


def run(*arguments: str | Path, ray_folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("grid", *arguments), env={**environment(), "RAY_TMPDIR": ray_folder},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip


def test_neither_run_folder_nor_rays_names_a_patient_or_a_file(tmp_path: Path) -> None:
    manifest = write_videos(tmp_path / f"{TELLING} data")
    (tmp_path / "told.yaml").write_text(STUDY)
    out = tmp_path / "run"
    # Short, as it holds sockets.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as ray_folder:
        arguments = (tmp_path / "told.yaml", "--data", manifest, "--out", out)
        done = run(*arguments, "--backend", "inline", ray_folder=ray_folder)
        assert done.returncode == 0, done.stderr
        victims = break_cohorts(out)
        done = run(*arguments, "--address", "local", ray_folder=ray_folder)
        assert done.returncode == 1, done.stderr
        (session,) = Path(ray_folder, "ray").glob("session_2*")
        assert any(victim in done.stdout for victim in victims), "the terminal names them"
        left = {"run": telling(out), "ray": telling(session)}
        n_files = {"run": len(names_of(out)), "ray": len(names_of(session))}
    assert min(n_files.values()) > 20
    assert left == {"run": [], "ray": []}
    logs = [path.read_text() for path in (out / "logs").iterdir()]
    assert any(hashed_id(victim) in log for victim in victims for log in logs)
