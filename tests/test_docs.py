"""docs/ builds without a warning and needs no network; what describes the project is valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from support.commands import ROOT

BUILT_HEADER = "<h1 id="
OTHER_HOSTS = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+"""
)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`mkdocs build --strict` where every connection to another machine fails."""
    nowhere = "http://127.0.0.1:9"
    offline = {"http_proxy": nowhere, "https_proxy": nowhere, "no_proxy": "", "CI": "true"}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=source,
        # The notice that MkDocs 2 will break the theme is about no page of ours.
        env={**os.environ, **offline, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, site)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "WARNING" not in told
    return site


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    pages = {path.name for path in ROOT.glob("docs/*.md")}
    assert pages == {name for entry in navigation() for name in entry.values()}
    for page in pages - {"index.md"}:
        assert BUILT_HEADER in (site / Path(page).stem / "index.html").read_text()
    assert BUILT_HEADER in (site / "index.html").read_text()


def navigation() -> list[dict[str, str]]:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    loaded = {
        found for page in site.rglob("*.html") for found in OTHER_HOSTS.findall(page.read_text())
    }
    assert loaded == set()


@pytest.mark.parametrize(
    "broken", ["[away](nowhere.md)", "[away](data.md#nowhere)", "![away](images/nowhere.svg)"]
)
def test_a_broken_link_fails_the_build(broken: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    index = tmp_path / "docs" / "index.md"
    index.write_text(f"{index.read_text()}\n{broken}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["rooms.svg", "flow.svg"])
def test_a_picture_is_drawn_with_nothing_from_outside(name: str) -> None:
    text = (ROOT / "docs" / "images" / name).read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "href" not in text
    assert "url(http" not in text


def test_the_table_of_rooms_names_the_rooms_of_the_picture() -> None:
    picture = (ROOT / "docs" / "images" / "rooms.svg").read_text()
    drawn = re.findall(r'font-weight="600">([^<]+)<', picture)
    assert len(drawn) == 13
    assert rooms() == drawn


def rooms() -> list[str]:
    """The entries of the package that docs/architecture.md lists, from the top floor down."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    return [name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)` \|", page, re.MULTILINE)]


def test_the_rooms_on_the_page_are_those_of_the_package() -> None:
    there = {path.name for path in (ROOT / "lussweep").iterdir()}
    own = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    assert set(rooms()) == there - own
    assert len(rooms()) == 13


def test_the_site_is_not_committed() -> None:
    assert "/site/" in (ROOT / ".gitignore").read_text().splitlines()


def cff_problems(path: Path) -> str:
    """What the schema of the Citation File Format says against a file; empty where it is valid."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema",
         "vendor.citation-file-format", str(path)],
        capture_output=True,
        text=True,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_citation_is_valid() -> None:
    assert cff_problems(ROOT / "CITATION.cff") == ""


def test_a_citation_without_a_title_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "CITATION.cff"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    del citation["title"]
    path.write_text(yaml.safe_dump(citation))
    assert "'title' is a required property" in cff_problems(path)


def test_the_citation_the_licence_and_the_package_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]
    for name in project["license-files"]:
        assert (ROOT / name).read_text().startswith("MIT License")


def test_types_are_shipped() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in setup["package-data"]["lussweep"]
    assert (ROOT / "lussweep" / "py.typed").exists()
