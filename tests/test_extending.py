"""docs/extending.md shows the files of tests/plugin as they stand."""

from __future__ import annotations

import re

from support.packages import EXTENDING, PLUGIN
from support.pages import blocks

SHOWN_AS = {".py": "py", ".toml": "toml", ".yaml": "yaml"}
"""The language of a fenced block, by the suffix of its file."""


def test_every_file_of_the_plugin_is_shown_after_its_name() -> None:
    files = [path for suffix in SHOWN_AS for path in sorted(PLUGIN.rglob(f"*{suffix}"))]
    assert len(files) >= 8
    for path in files:
        introduction, found, _ = EXTENDING.partition(
            f"\n\n```{SHOWN_AS[path.suffix]}\n{path.read_text()}```\n"
        )
        assert found, f"the page does not show {path} as it stands"
        last_paragraph = introduction.rpartition("\n\n")[2]
        assert f"`{path.relative_to(PLUGIN)}`" in last_paragraph


def test_every_block_is_a_file_of_the_plugin_or_a_command_that_tests_run() -> None:
    """The commands are INSTALL and GRID of support/packages.py."""
    files = {path.read_text() for path in PLUGIN.rglob("*") if path.suffix in SHOWN_AS}
    for language in SHOWN_AS.values():
        assert set(blocks(EXTENDING, language)) <= files
    assert set(re.findall(r"```(\w+)", EXTENDING)) == {"bash", *SHOWN_AS.values()}


def test_the_page_has_a_section_for_every_kind_of_part() -> None:
    headings = re.findall(r"^## (.+)$", EXTENDING, re.MULTILINE)
    assert len(headings) == len(set(headings))
    registries = re.findall(r"^    ([A-Z]+)\[", (PLUGIN / "blurred/__init__.py").read_text(), re.M)
    parts = [heading for heading in headings if heading not in ("A plugin", "An experiment")]
    assert len(parts) == len(registries) >= 5
