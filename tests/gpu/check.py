"""Runs every part of the GPU check, each in a process of its own under a time limit.

The most valuable parts come first, and what a part has measured when it is cut is kept, so that a
run that is broken off still tells. Prints one table; writes check.json and the log of each part.
Only the standard library is used here: the machine may have nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OLDEST_PYTHON = (3, 11)
LIMIT_S = 480.0
"""Of all parts together, where --limit-s does not say otherwise."""
PARTS = ("ceilings", "tests", "gan", "grid", "ray", "classifier", "packing")
"""Most valuable first."""
MEMORY_NEEDED_GB = 14
"""A GAN step at 256x256, ngf 64, batch 16 takes about 4 GB, and three run at once in the middle."""
IMPORTED = (
    "cv2", "filelock", "fsspec", "jinja2", "matplotlib", "monai", "numpy", "optuna", "PIL",
    "psutil", "pyarrow", "pydantic", "pytest", "rich", "safetensors", "scipy", "sklearn",
    "tensorboard", "threadpoolctl", "torchmetrics", "typer", "yaml",
)  # fmt: skip
"""Modules that lussweep and its tests import where there is no Ray."""
REMEDY = "bash tests/gpu/wheels.sh fills a folder for --wheels"

ASK_TORCH = """
import json, torch
found = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__,
    "card": torch.cuda.get_device_name(0) if found else None,
    "memory_gb": torch.cuda.mem_get_info(0)[1] / 1e9 if found else 0,
    "free_gb": torch.cuda.mem_get_info(0)[0] / 1e9 if found else 0,
}))
"""


class Unfit(Exception):
    """This machine, or this folder of wheels, cannot be used; the message names the remedy."""


@dataclass(frozen=True)
class Part:
    """One process of the check; `command` follows the Python interpreter."""

    name: str
    command: Sequence[str]
    limit_s: float
    measures: bool = True
    """Takes --rows, --device, --ceilings and --smoke."""


@dataclass
class Report:
    """What is known so far; written anew after every part."""

    out: Path
    machine: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, row: dict[str, Any]) -> None:
        self.rows.append({"part": part, **row})

    def write(self) -> None:
        told = {"machine": self.machine, "seconds": self.seconds, "rows": self.rows}
        (self.out / "check.json").write_text(json.dumps(told, indent=1) + "\n")

    def ceilings(self) -> list[str]:
        """FLOP/s and bytes/s of this card, if both were measured."""
        by_name = {row["name"]: row for row in self.rows if row["part"] == "ceilings"}
        found = [by_name.get(name, {}).get("value") for name in ("bf16 product", "copy")]
        return [] if None in found else [str(value) for value in found]


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks lussweep on a machine with one GPU.")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="logs and check.json")
    parser.add_argument("--wheels", type=Path, help="a folder that tests/gpu/wheels.sh has filled")
    parser.add_argument("--smoke", action="store_true", help="every line on a CPU, tiny sizes")
    parser.add_argument("--parts", nargs="+", metavar="PART", choices=PARTS, default=PARTS)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="of all parts together")
    given = parser.parse_args()
    ends_at = time.monotonic() + given.limit_s
    scratch = Path(tempfile.mkdtemp(prefix="lussweep-gpu-check-"))
    try:
        environment = prepare(given.wheels, scratch)
        machine = examine(environment, given.smoke)
        given.out.mkdir(parents=True, exist_ok=True)
    except (Unfit, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        shutil.rmtree(scratch, ignore_errors=True)
        return 2
    print("; ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    report = Report(given.out, machine)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    try:
        todo = [part for part in parts(scratch, given.smoke) if part.name in given.parts]
        run_all(todo, report, environment, scratch, given.smoke, ends_at)
    finally:
        report.write()
        shutil.rmtree(scratch, ignore_errors=True)
        print("\n" + "\n".join(table(report.rows)))
        print(f"\n{given.out / 'check.json'} and the log of each part beside it", flush=True)
    return 1 if any(row["status"] == "failed" for row in report.rows) else 0


def parts(scratch: Path, smoke: bool) -> list[Part]:
    """All of them, in the order of PARTS."""
    grid = [str(HERE / "run_grid.py"), "--out"]
    packing = ["--counts", "1", "2", "--seconds", "0.2"] if smoke else []
    every = [
        Part("ceilings", [str(HERE / "measure_ceilings.py")], 60),
        Part("tests", ["-m", "pytest", *gpu_test_files(), "-m", "gpu", *PYTEST], 120, False),
        Part("gan", [str(HERE / "measure_gan.py")], 130),
        Part("grid", [*grid, str(scratch / "inline")], 170),
        Part("ray", [*grid, str(scratch / "ray"), "--backend", "ray"], 150),
        Part("classifier", [str(HERE / "measure_classifier.py")], 150),
        Part("packing", [str(HERE / "measure_packing.py"), *packing], 150),
    ]
    assert tuple(part.name for part in every) == PARTS
    return every


PYTEST = (
    "-q", "-ra", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--color=no",
    "-o", "addopts=--import-mode=importlib --strict-markers",
)  # fmt: skip
"""One process and no plugin: the project's own options may ask for what is not there."""


def gpu_test_files() -> list[str]:
    """Files of the suite with tests that need a GPU: those that name the marker."""
    found = (path for path in ROOT.glob("tests/**/test_*.py") if HERE not in path.parents)
    return [str(path) for path in sorted(found) if "pytest.mark.gpu" in path.read_text()]


# --- the machine --------------------------------------------------------------------------


def prepare(wheels: Path | None, scratch: Path) -> dict[str, str]:
    """The environment of every part: this checkout and missing packages on the path."""
    if sys.version_info < OLDEST_PYTHON:
        raise Unfit(f"Python {platform.python_version()} is too old: name 3.11 or newer in $PYTHON")
    paths = [ROOT, ROOT / "tests", ROOT / "tests" / "benchmarks"]
    if wheels is not None:
        paths.append(scratch / "site")
        install(wheels, paths[-1])
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([*map(str, paths), *([given] if given else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def install(wheels: Path, site: Path) -> None:
    """All wheels, unpacked beside this Python's own. Raises Unfit for those of another Python.

    They fit one another, so all of them come before what this Python has.
    """
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        raise Unfit(f"--wheels {wheels} holds no wheel: {REMEDY}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-compile", "--disable-pip-version-check", "--target", str(site)]
    done = subprocess.run([*command, *found], capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        here = f"Python {'.'.join(platform.python_version_tuple()[:2])} on {platform.machine()}"
        raise Unfit(f"--wheels {wheels}: {told} This is {here}: {REMEDY}")


def examine(environment: dict[str, str], smoke: bool) -> dict[str, Any]:
    """What this machine is. Raises Unfit where the check cannot run on it."""
    missing = missing_modules(environment, ("torch", *IMPORTED))
    if "torch" in missing:
        raise Unfit(f"{sys.executable} has no PyTorch: name one that has it in $PYTHON")
    if missing:
        raise Unfit(f"{sys.executable} lacks {', '.join(missing)}: {REMEDY}")
    try:
        asked = subprocess.run(
            [sys.executable, "-c", ASK_TORCH],
            env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unfit("PyTorch does not answer in two minutes: see nvidia-smi") from None
    if asked.returncode:
        raise Unfit(f"PyTorch does not work: {asked.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(asked.stdout)
    if not smoke:
        refuse_unfit(found)
    return {
        "card": found["card"] or f"CPU of {platform.machine()}",
        "memory_gb": round(found["memory_gb"]),
        "torch": found["torch"],
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "smoke": smoke,
    }


def refuse_unfit(found: dict[str, Any]) -> None:
    """Raises Unfit for a machine without a CUDA device, or with too little memory free on it."""
    if found["card"] is None:
        raise Unfit(
            f"PyTorch {found['torch']} finds no CUDA device: see nvidia-smi, and install a PyTorch "
            "that is built for CUDA (--smoke tries the check itself on a CPU)"
        )
    if found["free_gb"] < MEMORY_NEEDED_GB:
        raise Unfit(
            f"{found['card']} has {found['free_gb']:.0f} of {found['memory_gb']:.0f} GB free, the "
            f"check needs {MEMORY_NEEDED_GB}: end what else runs on it, or take a larger card"
        )


def missing_modules(environment: dict[str, str], names: Sequence[str]) -> list[str]:
    """Those of `names` that no path has; nothing is imported."""
    ask = "import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])"
    done = subprocess.run(
        [sys.executable, "-c", ask, *names],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def commit() -> str:
    """Of the checkout; unknown where git is not there to tell."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


# --- the parts ----------------------------------------------------------------------------


def run_all(
    todo: Sequence[Part],
    report: Report,
    environment: dict[str, str],
    scratch: Path,
    smoke: bool,
    ends_at: float,
) -> None:
    """Run the parts in turn until `ends_at` of the monotonic clock."""
    for part in todo:
        if part.name == "ray" and missing_modules(environment, ("ray",)):
            report.add(part.name, {"name": part.name, "status": "skipped", "note": "no Ray here"})
            continue
        limit_s = min(part.limit_s, ends_at - time.monotonic())
        if limit_s <= 1:
            failed = "not begun: the time of the whole check was over (--limit-s)"
            report.add(part.name, {"name": part.name, "status": "failed", "note": failed})
            continue
        run_part(part, limit_s, report, environment, scratch, smoke)
        report.write()
        print(f"{part.name}: {report.seconds[part.name]:.0f} s", flush=True)


def run_part(
    part: Part,
    limit_s: float,
    report: Report,
    environment: dict[str, str],
    scratch: Path,
    smoke: bool,
) -> None:
    """Run one part to its end or its limit, and read what it has measured by then."""
    rows, log = scratch / f"{part.name}.jsonl", report.out / f"{part.name}.log"
    command = [sys.executable, *part.command]
    if not part.measures:
        environment = {**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    else:
        command += ["--rows", str(rows), "--device", "cpu" if smoke else "cuda"]
        command += ["--limit-s", str(round(limit_s))]
        if ceilings := report.ceilings():
            command += ["--ceilings", *ceilings]
        command += ["--smoke"] if smoke else []
    started = time.monotonic()
    with log.open("w") as file:
        code = run_limited(command, limit_s, environment, file, scratch)
    report.seconds[part.name] = round(time.monotonic() - started, 1)
    if rows.exists():
        for line in rows.read_text().splitlines():
            with suppress(ValueError):  # half a line of a part that was cut
                report.add(part.name, json.loads(line))
    if not part.measures:
        report.add(part.name, tests_row(code, log, smoke))
    elif code != 0:
        report.add(part.name, {"name": part.name, "status": "failed", "note": why(code, log)})


def run_limited(
    command: Sequence[str], limit_s: float, environment: dict[str, str], log: Any, cwd: Path
) -> int | None:
    """The exit code, or None where the process and all its children were ended at the limit."""
    process = subprocess.Popen(
        command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    with killed_with_us(process):
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None


@contextmanager
def killed_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever ends the block ends the process and its children too."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tests_row(code: int | None, log: Path, smoke: bool) -> dict[str, Any]:
    """pytest's closing line. Without a GPU every test must have been skipped, and none lost."""
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    closing = lines[-1].strip("= ") if lines else "pytest printed nothing"
    right = code == 0 and "failed" not in closing and "error" not in closing
    right = right and ("skipped" in closing if smoke else "passed" in closing)
    if code is None:
        closing = why(code, log)
    return {"name": "GPU tests", "status": "ok" if right else "failed", "note": closing}


def why(code: int | None, log: Path) -> str:
    """Why a part has failed: the limit, or the last line of its log."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "no output"
    return f"cut at its time limit, after: {last}" if code is None else f"exit code {code}: {last}"


# --- the table ----------------------------------------------------------------------------


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line a row: status, part, name, value and note."""
    lines = []
    for row in rows:
        value = f"{readable(row['value'])} {row['unit']}" if "value" in row else ""
        mark = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}[row["status"]]
        lines.append(f"{mark:8}{row['part']:12}{row['name']:52}{value:>20}  {row['note']}".rstrip())
    return lines


def readable(value: float) -> str:
    """Three or four significant digits, thousands as powers from a million on."""
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
