"""The plugin of docs/extending.md, installed for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.once import made_once
from support.packages import install_plugin


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that pip has installed the plugin into."""

    def make(folder: Path) -> None:
        install_plugin(folder, folder / "site")

    return made_once("plugin", make, tmp_path_factory) / "site"
