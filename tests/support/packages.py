"""Installed packages: the plugin that docs/extending.md shows, and packages that tests make."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from support.commands import ROOT, TESTS, command, environment
from support.pages import blocks

PLUGIN = TESTS / "plugin"
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
INSTALL, GRID = (line for block in blocks(EXTENDING, "bash") for line in block.splitlines())
"""The commands of the page. Tests run both."""


def install_plugin(folder: Path, site: Path) -> None:
    """Run the page's command that installs the plugin, into a folder of sys.path.

    `folder` holds the package, as the page's reader has it. pip asks no registry.
    """
    shutil.copytree(PLUGIN, folder / "my-package")  # setuptools leaves files beside what it builds
    python, *arguments = shlex.split(INSTALL)
    assert python == "python"
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", site]
    subprocess.run([sys.executable, *arguments, *offline], cwd=folder, check=True)


def run(*arguments: str | Path, cwd: Path, site: Path | None) -> str:
    """The output of a `lussweep` command, with the packages of a folder on the path or without."""
    return _output_of(command(*arguments), cwd, site)


def run_python(code: str, *, cwd: Path, site: Path) -> str:
    """What the code prints in a fresh process, with the packages of a folder on the path."""
    return _output_of([sys.executable, "-c", code], cwd, site)


def _output_of(line: list[str], cwd: Path, site: Path | None) -> str:
    # A test may rewrite a module within the second in which it was compiled.
    env = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    if site is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [env.get("PYTHONPATH")])])
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_inline(name: str, experiment: str, *, folder: Path, site: Path) -> Path:
    """The run folder of an experiment, given as YAML text, that ran in one process."""
    (folder / f"{name}.yaml").write_text(experiment)
    given = ("--backend", "inline", "--out", f"{name}-run")
    run("grid", f"{name}.yaml", *given, cwd=folder, site=site)
    return folder / f"{name}-run"


def install_package(site: Path, name: str, code: str, *, version: str = "1.0") -> None:
    """Put a package into a folder of sys.path. It has one module, which its entry point names."""
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{name}.py").write_text(code)
    described = site / f"{name}-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    (described / "top_level.txt").write_text(f"{name}\n")
    (described / "RECORD").write_text(f"{name}.py,,\n")
    (described / "entry_points.txt").write_text(f"[lussweep.plugins]\nshort-{name} = {name}\n")
