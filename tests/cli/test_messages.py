"""A message names what is wrong, and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec.core
import pytest
import typer

from lussweep.cli.exits import clear_errors
from lussweep.errors import InputError
from support.commands import refusal


@pytest.mark.parametrize("command", ["status", "cancel", "logs"])
def test_a_url_without_its_extra_names_the_extra(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    url = f"s3://bucket/of-{command}"
    cell = ["variant=baseline"] if command == "logs" else []
    assert refusal(command, url, *cell) == (
        f"error: {url} needs the extra s3: pip install 'lussweep[s3]'"
    )


def test_a_path_that_the_system_refuses_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    name = "a" * 300
    assert refusal("plan", name) == f"error: {name}: File name too long: give a shorter path"
    assert refusal("grid", tmp_path / name, "--json").endswith("give a shorter path")


@pytest.mark.parametrize("name", ["", ".", "..", "a/../../../b", "a\0b", "a\nb"])
def test_a_name_never_puts_a_run_outside_its_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(json.dumps({"name": name}))
    assert refusal("plan", "x.yaml").endswith("cannot name a run folder: change it, or give --out")


def test_a_store_does_not_overwrite_the_frames_of_a_run(tmp_path: Path) -> None:
    for name in ("run.json", "frames.parquet"):
        (tmp_path / name).write_text("{}")
    assert refusal("ingest", "manifest.csv", "--out", tmp_path) == (
        f"error: {tmp_path} is a run folder: choose another --out"
    )


def test_a_page_does_not_overwrite_a_table(tmp_path: Path) -> None:
    table = tmp_path / "results.parquet"
    assert refusal("compare", tmp_path, tmp_path, "--html", table) == (
        f"error: --html {table} is not an HTML page: give a name that ends in .html"
    )


@pytest.mark.parametrize(
    "option",
    [("--label", "label"), ("--positive", "x"), ("--annotations", "a.csv"), ("--skip-unlabelled",)],
)
def test_options_about_labels_do_not_run_the_phantom_in_place_of_data(
    option: tuple[str, ...], tmp_path: Path
) -> None:
    assert refusal("plan", "quickstart", *option, "--out", tmp_path / "run") == (
        f"error: {option[0]} is for a manifest: give --data, too"
    )


def test_two_sources_of_seconds_are_not_called_none() -> None:
    assert refusal("plan", "quickstart", "--from", "run", "--calibrate") == (
        "error: --from and --calibrate exclude each other: leave out either"
    )


def test_other_errors_of_files_keep_their_traceback() -> None:
    with pytest.raises(FileNotFoundError), clear_errors(debug=False):
        Path("/nowhere/at/all").read_text()


def test_a_name_with_codes_for_a_terminal_cannot_change_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit), clear_errors(debug=False):
        raise InputError("evil\x1b[2J: no such video")
    assert capsys.readouterr().err == "error: evil [2J: no such video\n"
