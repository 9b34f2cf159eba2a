"""Downloads what tests/gpu/check.sh needs beside PyTorch, for another machine's Python.

pip chooses versions that fit together, for the target's Python and platform. Packages that depend
on PyTorch come without their dependencies, because the target has its own PyTorch. With --ray, Ray
comes too, without its Java, web pages and RLlib: 43 of 79 MB.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 60 * 10**6
"""Of all wheels together: a lent machine takes no more with it."""
LEFT_OUT = {"torch", "ray", "av", "openpyxl"}
"""The target's own, and what the check does without: it reads no video."""
NOT_OF_RAY = ("ray/jars/", "ray/dashboard/client/", "ray/rllib/")
"""Folders of its wheel that the grid does without; a lent machine takes no more than MOST_BYTES."""
NEED_TORCH = {"monai", "torchmetrics"}
BESIDE = ("lightning-utilities", "pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.120")
"""Needed by torchmetrics and by the tests."""
USUAL = {
    "matplotlib", "numpy", "opencv-python-headless", "pandas", "pillow", "pyarrow", "scikit-learn",
    "scipy", "setuptools", "torch",
}  # fmt: skip
"""What most PyTorch images have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-wheels"))
    parser.add_argument("--python", default="3.12", help="the target's version")
    parser.add_argument("--machine", default="x86_64", help="the target's `uname -m`")
    parser.add_argument("--have", type=Path, help="the target's pip list --format=freeze")
    parser.add_argument("--ray", action="store_true", help="Ray too, for the part of that name")
    given = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", given.python):
        parser.error(f"--python {given.python} is no version such as 3.12")
    if given.have is not None and not given.have.is_file():
        parser.error(f"--have {given.have}: no such file")
    have = USUAL if given.have is None else names_in(given.have.read_text())
    given.out.mkdir(parents=True, exist_ok=True)
    for wheel in given.out.glob("*.whl"):
        wheel.unlink()
    left_out = LEFT_OUT - {"ray"} if given.ray else LEFT_OUT
    download(wanted(have, left_out), given.out, given.python, given.machine)
    for wheel in given.out.glob("ray-*.whl"):
        drop_folders(wheel, NOT_OF_RAY)
    for wheel in given.out.glob("*.whl"):
        if normal(wheel.name.split("-")[0]) in have:
            wheel.unlink()
    wheels = sorted(given.out.glob("*.whl"), key=lambda path: -path.stat().st_size)
    n_bytes = sum(path.stat().st_size for path in wheels)
    print(f"{given.out}: {len(wheels)} wheels, {n_bytes / 1e6:.1f} MB, Python {given.python}")
    if n_bytes > MOST_BYTES:
        largest = ", ".join(path.name for path in wheels[:5])
        print(
            f"error: more than {MOST_BYTES / 1e6:.0f} MB; give the target's packages by --have. "
            f"Largest: {largest}",
            file=sys.stderr,
        )
        return 1
    return 0


def wanted(have: set[str], left_out: set[str] = LEFT_OUT) -> list[str]:
    """Requirements of lussweep and of its GPU tests that the target does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *BESIDE]
    every = [r.replace("ray[default,", "ray[") for r in every]  # the dashboard's packages
    return [r for r in every if normal(name_of(r)) not in have | left_out]


def download(requirements: list[str], out: Path, python: str, machine: str) -> None:
    alone = [r for r in requirements if name_of(r) in NEED_TORCH]
    others = [r for r in requirements if name_of(r) not in NEED_TORCH]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(out), "--implementation", "cp"]
    command += ["--python-version", python]
    for platform in platforms(machine):
        command += ["--platform", platform]
    for group in (["--no-deps", *alone] if alone else [], others):
        if group:
            subprocess.run([*command, *group], check=True)


def drop_folders(wheel: Path, folders: tuple[str, ...]) -> None:
    """Write the wheel anew without these folders."""
    smaller = wheel.with_suffix(".smaller")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            if not member.filename.startswith(folders):
                new.writestr(member, old.read(member), zipfile.ZIP_DEFLATED)
    smaller.replace(wheel)


def platforms(machine: str) -> list[str]:
    """pip takes each tag literally: all of manylinux up to glibc 2.35."""
    old = [f"manylinux{tag}_{machine}" for tag in ("2014", "2010", "1")]
    return [f"manylinux_2_{minor}_{machine}" for minor in range(35, 4, -1)] + old


def names_in(freeze: str) -> set[str]:
    """Normal names of the lines `name==version` or `name @ address`."""
    lines = (line.strip() for line in freeze.splitlines())
    found = {normal(name_of(line)) for line in lines if line and not line.startswith(("#", "-"))}
    if any(name.startswith("opencv-") for name in found):
        found.add("opencv-python-headless")
    return found


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return found.group()


def normal(name: str) -> str:
    """As packages are compared: lower case, one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
