"""Installed packages that tests make: a module and the metadata that pip would leave beside it."""

from __future__ import annotations

from pathlib import Path


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
