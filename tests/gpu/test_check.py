"""The GPU check on a machine without a GPU: every line of it runs, and it says what is amiss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from gpu import check, wheels
from gpu.check import Part, Report, Unfit, refuse_unfit, run_all, table
from support.commands import ROOT, environment

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def checked(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "tests" / "gpu" / "check.sh"), *map(str, arguments)],
        env={**environment(), "PYTHON": sys.executable, **NO_GPU, **more},
        capture_output=True,
        text=True,
        timeout=500,
    )


# --- all of it ----------------------------------------------------------------------------


def test_every_part_runs_on_a_cpu(tmp_path: Path) -> None:
    done = checked("--smoke", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    names = [part.name for part in check.parts(tmp_path, smoke=True)]
    assert list(dict.fromkeys(row["part"] for row in told["rows"])) == names
    skipped = [row["name"] for row in told["rows"] if row["status"] == "skipped"]
    assert skipped == ["packing under MPS"]
    assert {path.stem for path in (tmp_path / "out").glob("*.log")} == set(names)
    for row in told["rows"]:
        assert row["name"] in done.stdout
        assert row.get("value", 1) > 0


def test_files_with_gpu_tests_are_found_by_the_marker() -> None:
    names = {Path(path).name for path in check.gpu_test_files()}
    assert {"test_capture.py", "test_step.py", "test_augment.py"} <= names


# --- parts that fail, or take too long ----------------------------------------------------

MEASURES = """
import sys, time
rows = sys.argv[sys.argv.index("--rows") + 1]
with open(rows, "a") as file:
    file.write('{"name": "first", "value": 2.0, "unit": "ms", "note": "", "status": "ok"}\\n')
"""


def outcome(
    tmp_path: Path,
    script: str,
    *,
    limit_s: float = 60.0,
    time_s: float = 90.0,
    measures: bool = True,
) -> Report:
    report = Report(tmp_path, {})
    part = Part("it", ["-c", script], limit_s, measures)
    run_all(
        [part], report, dict(os.environ), tmp_path, smoke=True, ends_at=time.monotonic() + time_s
    )
    return report


def test_a_part_that_is_cut_keeps_what_it_has_measured(tmp_path: Path) -> None:
    report = outcome(
        tmp_path, MEASURES + "print('warming up', flush=True); time.sleep(60)", limit_s=6
    )
    assert [(row["name"], row["status"]) for row in report.rows] == [
        ("first", "ok"),
        ("it", "failed"),
    ]
    assert report.rows[1]["note"] == "cut at its time limit, after: warming up"


def test_a_part_that_fails_says_why(tmp_path: Path) -> None:
    report = outcome(tmp_path, MEASURES + "raise ValueError('no such kernel')")
    assert report.rows[1]["note"] == "exit code 1: ValueError: no such kernel"
    assert json.loads((tmp_path / "check.json").read_text())["rows"] == report.rows


def test_children_of_a_part_end_with_it(tmp_path: Path) -> None:
    child = "import subprocess; child = subprocess.Popen(['sleep', '61.5'])"
    outcome(tmp_path, f"{child}; print(child.pid, flush=True)")
    pid = int((tmp_path / "it.log").read_text().split()[0])
    deadline = time.monotonic() + 20  # a killed process ends when it gets a processor
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(pid)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_parts_for_which_no_time_is_left_are_rows(tmp_path: Path) -> None:
    (row,) = outcome(tmp_path, MEASURES, time_s=0.5).rows
    assert row["status"] == "failed"
    assert row["note"].startswith("not begun")


def test_the_ceilings_of_the_card_go_to_the_parts_after_them(tmp_path: Path) -> None:
    report = Report(tmp_path, {})
    for name, value in (("bf16 product", 7e14), ("copy", 3e12)):
        report.add(
            "ceilings", {"name": name, "value": value, "unit": "", "note": "", "status": "ok"}
        )
    run_all(
        [Part("it", ["-c", "import sys; print(*sys.argv[1:])"], 60)],
        report, dict(os.environ), tmp_path, smoke=True, ends_at=time.monotonic() + 90,
    )  # fmt: skip
    assert "--ceilings 700000000000000.0 3000000000000.0" in (tmp_path / "it.log").read_text()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "print('3 failed, 15 passed in 9.9s'); raise SystemExit(1)",
            "3 failed, 15 passed in 9.9s",
        ),
        ("print('18 passed in 9.9s')", "18 passed in 9.9s"),  # without a GPU none can pass
        ("raise SystemExit(5)", "pytest printed nothing"),
    ],
)
def test_tests_that_did_not_go_as_they_must_fail_the_check(
    tmp_path: Path, script: str, told: str
) -> None:
    (row,) = outcome(tmp_path, script, measures=False).rows
    assert (row["status"], row["note"]) == ("failed", told)


def test_the_table_has_a_line_a_row_with_its_status() -> None:
    rows = [
        {"part": "gan", "name": "step", "value": 25.31, "unit": "ms", "note": "", "status": "ok"},
        {"part": "ray", "name": "ray", "note": "no Ray here", "status": "skipped"},
        {"part": "grid", "name": "grid", "note": "exit code 3", "status": "failed"},
    ]
    lines = [" ".join(line.split()) for line in table(rows)]
    assert lines == [
        "ok gan step 25.3 ms",
        "skipped ray ray no Ray here",
        "FAILED grid grid exit code 3",
    ]


# --- machines and wheels that will not do -------------------------------------------------


def refusal(*arguments: str | Path, **more: str) -> str:
    """The one line of a check that cannot begin."""
    done = checked(*arguments, **more)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_machine_without_cuda_is_told_at_once(tmp_path: Path) -> None:
    assert "finds no CUDA device" in refusal("--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_card_with_too_little_memory_is_told() -> None:
    small = {"card": "NVIDIA T4", "memory_gb": 15.8, "free_gb": 3.2, "torch": "2.11.0"}
    with pytest.raises(Unfit, match=r"NVIDIA T4 has 3 of 16 GB free, the check needs 14"):
        refuse_unfit(small)
    refuse_unfit({**small, "free_gb": 15.0})


def wheel_in(folder: Path, tag: str) -> Path:
    """A wheel of one module, for the Python and platform of the tag."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tinymodule-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tinymodule.py", "ANSWER = 42\n")
        file.writestr(
            "tinymodule-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tinymodule\nVersion: 1.0\n",
        )
        file.writestr(
            "tinymodule-1.0.dist-info/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n",
        )
        file.writestr("tinymodule-1.0.dist-info/RECORD", "")
    return path


@pytest.mark.parametrize("tag", ["cp39-cp39-manylinux2014_x86_64", "cp311-cp311-win_amd64"])
def test_a_wheel_of_another_python_or_platform_is_named(tmp_path: Path, tag: str) -> None:
    wheel = wheel_in(tmp_path / "wheels", tag)
    line = refusal("--smoke", "--wheels", tmp_path / "wheels", "--out", tmp_path / "out")
    assert wheel.name in line
    assert "tests/gpu/wheels.sh" in line


def test_a_folder_without_wheels_is_told(tmp_path: Path) -> None:
    assert "holds no wheel" in refusal("--smoke", "--wheels", tmp_path, "--out", tmp_path / "out")


def test_wheels_go_on_the_path_of_every_part(tmp_path: Path) -> None:
    wheel_in(tmp_path / "wheels", "py3-none-any")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = check.prepare(tmp_path / "wheels", scratch)
    ask = "import tinymodule, lussweep; print(tinymodule.ANSWER, lussweep.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", ask], env=made, capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.split() == ["42", str(ROOT / "lussweep" / "__init__.py")]


def test_missing_modules_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "IMPORTED", ("numpy", "module_that_nobody_has"))
    with pytest.raises(Unfit, match=r"lacks module_that_nobody_has: bash tests/gpu/wheels\.sh"):
        check.examine(dict(os.environ), smoke=True)


# --- the folder of wheels -----------------------------------------------------------------


def test_what_the_target_has_is_not_asked_for() -> None:
    names = {wheels.name_of(requirement) for requirement in wheels.wanted({"pydantic", "numpy"})}
    assert {"optuna", "monai", "pyarrow", "pytest"} <= names
    assert not names & {"pydantic", "numpy", "torch", "ray"}


def test_a_wheel_loses_folders_and_keeps_the_rest(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path, "py3-none-any")
    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("tinymodule/jars/large.jar", "x" * 1000)
    wheels.drop_folders(wheel, ("tinymodule/jars/",))
    with zipfile.ZipFile(wheel) as file:
        assert "tinymodule/jars/large.jar" not in file.namelist()
        assert file.read("tinymodule.py") == b"ANSWER = 42\n"
    assert list(tmp_path.iterdir()) == [wheel]


def test_chosen_parts_run_alone(tmp_path: Path) -> None:
    done = checked("--smoke", "--out", tmp_path / "out", "--parts", "ceilings")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    assert {row["part"] for row in told["rows"]} == {"ceilings"}


def test_a_frozen_list_gives_normal_names() -> None:
    frozen = "PyYAML==6.0.3\n# a remark\n-e .\ntyping_extensions @ file:///x\nopencv-python==5.0\n"
    assert wheels.names_in(frozen) == {
        "pyyaml", "typing-extensions", "opencv-python", "opencv-python-headless",
    }  # fmt: skip


def test_the_modules_that_are_looked_for_are_those_of_the_requirements() -> None:
    """A dependency that is added later is missed on a bare machine, and fetched for it."""
    modules = {
        "opencv-python-headless": "cv2",
        "pillow": "PIL",
        "pyyaml": "yaml",
        "scikit-learn": "sklearn",
    }
    names = {wheels.name_of(requirement) for requirement in wheels.wanted(set())}
    needed = {modules.get(name, name.replace("-", "_")) for name in names}
    assert needed - {"hypothesis", "pytest_timeout", "lightning_utilities"} == set(check.IMPORTED)
