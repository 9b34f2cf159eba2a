"""Completes arguments in the shell: names of experiments, and keys of `--set`."""

from __future__ import annotations

from pathlib import Path


def experiments(incomplete: str) -> list[str]:
    """The experiments that ship with lussweep, and YAML files here, that begin like this."""
    from lussweep.run.arguments import shipped_experiments

    folder, _, begun = incomplete.rpartition("/")
    files = [
        f"{folder}/{path.name}" if folder else path.name
        for path in sorted(Path(folder or ".").glob("*.y*ml"))
        if path.name.startswith(begun)
    ]
    return [name for name in shipped_experiments() if name.startswith(incomplete)] + files


def settings(incomplete: str) -> list[str]:
    """The keys of an experiment that begin like this, each with its `=`."""
    from lussweep.study.spec.fields import settable

    return [f"{key}=" for key in settable() if key.startswith(incomplete)]
