"""A run in a notebook: tables, frames, figures; and a study that is run from Python."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

import lussweep
from lussweep.data.frames import PIXELS
from lussweep.errors import InputError
from support.commands import ROOT, TINY
from support.pages import blocks

OF_RESULTS = ("auroc", "auroc_ribbons", "auroc_bars", "auroc_by_epoch")
"""Figures that the table of results is enough for."""


def test_every_table_is_there_in_three_forms(uninterrupted: Path) -> None:
    run = lussweep.load_run(uninterrupted)
    assert set(run) == {path.stem for path in uninterrupted.glob("*.parquet")}
    for name in run:
        stored = pq.read_table(uninterrupted / f"{name}.parquet")
        assert run[name].equals(stored)
        assert run[name].schema.equals(stored.schema, check_metadata=True)
        frame, other = run.pandas(name), run.polars(name)
        assert isinstance(frame, pd.DataFrame) and isinstance(other, pl.DataFrame)
        assert list(frame) == other.columns == stored.column_names
        assert len(frame) == len(other) == len(stored)
    with pytest.raises(KeyError, match="has no table 'result'; there are: aurocs, "):
        run["result"]


def test_scores_of_a_run_give_its_own_auroc(uninterrupted: Path) -> None:
    run = lussweep.load_run(str(uninterrupted))
    row = run["results"].to_pylist()[0]
    cell = f"variant == {row['variant']!r} and n_patients == {row['n_patients']}"
    frames = run.pandas("frame_scores").query(cell).sample(frac=1, random_state=0)
    found = lussweep.auroc_interval(frames["label"], frames["score"], frames["patient_id"])
    assert found.estimate == pytest.approx(row["auroc"], abs=1e-12)


def test_pixels_are_those_of_the_rows(uninterrupted: Path) -> None:
    run = lussweep.load_run(uninterrupted)
    rows = run["frames"].take([5, 0, 9])
    images = run.frames(rows)
    assert images.dtype == np.uint8 and images.shape[0] == 3
    for image, row in zip(images, rows.to_pylist(), strict=True):
        shard = np.load(run.store.open(row["shard"]) / PIXELS)
        assert np.array_equal(image, shard[row["row"]])
    sets = run.synthetic()
    assert [len(images) for images in sets] == run["memorisation"]["n_synthetic"].to_pylist()
    assert len(run.frames()) == len(run["frames"])


@pytest.mark.parametrize("at", [0, 1])
def test_a_release_card_is_that_of_the_run(at: int, uninterrupted: Path) -> None:
    """The same frames, patients and seed give every number and the verdict of the run's step."""
    run = lussweep.load_run(uninterrupted)
    cards = run["memorisation"]
    row = cards.to_pylist()[at]
    drawn = (pc.field("n_patients") == row["n_patients"]) & (
        pc.field("replicate") == row["replicate"]
    )
    of_class = pc.field("label") == int(row["class"] == "pos")
    train = run["cohorts"].filter(drawn & of_class)
    holdout = run["frames"].filter((pc.field("split") == "holdout") & of_class)
    (synthetic,) = run.synthetic(cards.slice(at, 1))
    step = run.store.record(f"memorisation/{row['memorisation_key']}")
    made = lussweep.release_card(
        synthetic,
        run.frames(train),
        run.frames(holdout),
        training_patients=train["patient_id"],
        holdout_patients=holdout["patient_id"],
        seed=step["spec"]["seed"],
    )
    assert {"class": row["class"], **made.values} == step["summary"]
    assert made.values.items() <= row.items()
    assert made.verdict.word == row["verdict"]
    assert ("; ".join(made.verdict.reasons) or None) == row["verdict_because"]
    of_card = [pc.field(name) == row[name] for name in ("class", "n_patients", "replicate")]
    copies = run["copies"].filter(of_card[0] & of_card[1] & of_card[2])
    assert made.copies_of_patient == dict(
        zip(copies["patient_id"].to_pylist(), copies["n_copies"].to_pylist(), strict=True)
    )
    assert f"release gate: {row['verdict']}" in made._repr_html_()


def test_figures_are_objects_of_matplotlib(uninterrupted: Path) -> None:
    from matplotlib.figure import Figure

    run = lussweep.load_run(uninterrupted)
    assert run.figures == (*OF_RESULTS, "calibration", "gan_metrics", "features")
    for name in set(run.figures) - {"auroc_by_epoch"}:
        figure = run.figure(name)
        assert isinstance(figure, Figure)
        assert any(ax.lines or ax.collections for ax in figure.axes)
    panels = [ax for ax in run.figure("gan_metrics").axes if ax.axison]
    assert any(one.get_label() == "chosen snapshot" for ax in panels for one in ax.lines)
    with pytest.raises(ValueError, match="results has nothing to draw for 'auroc_by_epoch'"):
        run.figure("auroc_by_epoch")
    with pytest.raises(ValueError, match="no figure 'roc'; there are: auroc, "):
        run.figure("roc")


def test_the_page_of_a_run_has_its_numbers_and_no_markup_from_outside(finished: Path) -> None:
    folder = finished.rename(finished.with_name("<b>run"))
    run = lussweep.load_run(folder)
    page = run._repr_html_()
    assert "&lt;b&gt;run" in page and "<b>run" not in page
    assert "8 of 8 cells done" in page and "8 of 8 cells done" in repr(run)
    for group in run["results"].group_by(["n_patients", "variant"]).aggregate(
        [("auroc", "mean")]
    ).to_pylist():  # fmt: skip
        assert (
            f"<td>{group['variant']}</td><td>1 of 1</td><td>{group['auroc_mean']:.3f}</td>" in page
        )


def test_a_run_that_goes_on_has_what_there_is(finished: Path) -> None:
    for path in finished.glob("*.parquet"):
        if path.stem != "results":
            path.unlink()
    run = lussweep.load_run(finished)
    assert list(run) == ["results"]
    assert run.figures == OF_RESULTS
    assert "8 of 8 cells done" in run._repr_html_()
    (finished / "results.parquet").unlink()
    assert "no results yet" in run._repr_html_()
    assert run.figures == ()


def test_artifacts_in_another_place_are_asked_for(finished: Path, tmp_path: Path) -> None:
    store = (finished / "artifacts").rename(tmp_path / "store")
    rows = lussweep.load_run(finished)["frames"].slice(0, 2)
    with pytest.raises(InputError, match="give load_run the --store of the grid"):
        lussweep.load_run(finished).frames(rows)
    assert len(lussweep.load_run(finished, store=store).frames(rows)) == 2


def test_the_page_on_python_runs_as_it_stands(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lussweep-runs").mkdir()
    (tmp_path / "lussweep-runs" / "quickstart").symlink_to(uninterrupted)
    monkeypatch.chdir(tmp_path)
    code = blocks((ROOT / "docs" / "python.md").read_text(), "python")
    assert len(code) == 2
    names: dict[str, object] = {}
    for block in code:
        exec(block, names)
    assert isinstance(names["real"], np.ndarray) and len(names["real"]) == 10
    assert isinstance(names["synthetic"], np.ndarray) and names["synthetic"].ndim == 3


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder: give the --out of a `lussweep grid`"):
        lussweep.load_run(tmp_path)


@pytest.mark.parametrize(
    "rows", [pd.DataFrame({"shard": [1]}), pl.DataFrame(), pa.table({"a": [1]})]
)
def test_rows_that_name_no_frames_are_one_line(rows: Any, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    run = lussweep.load_run(tmp_path)
    with pytest.raises(InputError, match=r"give rows of run\['frames'\], an Arrow table"):
        run.frames(rows)
    with pytest.raises(InputError, match=r"give rows of run\['memorisation'\], an Arrow table"):
        run.synthetic(rows)


def test_run_study_goes_on_where_the_command_line_was(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dict of an experiment gives the keys of its file, so there is nothing left to do."""
    before = lussweep.load_run(finished)["results"]
    lines: list[str] = []
    run = lussweep.run_study(
        yaml.safe_load(TINY), out=finished, backend="inline", notify=lines.append
    )
    assert run["results"].equals(before)
    assert lines == []


def test_run_study_does_what_is_missing(finished: Path) -> None:
    keep = {"variant": "baseline", "n_patients": 2}
    rows = lussweep.load_run(finished)["results"].to_pylist()
    (row,) = [row for row in rows if keep.items() <= row.items()]
    for folder in (finished / "artifacts" / "evaluate").iterdir():
        if folder.name == row["evaluate_key"]:
            shutil.rmtree(folder)
    lines: list[str] = []
    run = lussweep.run_study(
        yaml.safe_load(TINY),
        out=finished,
        only=["variant=baseline,n_patients=2"],
        backend="inline",
        notify=lines.append,
    )
    assert lines[-1].endswith("steps done")
    (again,) = [row for row in run["results"].to_pylist() if keep.items() <= row.items()]
    assert again["auroc"] == row["auroc"]


def test_mistakes_in_the_arguments_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        lussweep.run_study(yaml.safe_load(TINY), out=tmp_path, only=["variant"], data="none.csv")
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="no experiment nothing: give a YAML file, or one of"):
        lussweep.run_study("nothing", out=tmp_path)
    with pytest.raises(InputError, match="the study holds a value that YAML has no text for"):
        lussweep.run_study({"name": object()}, out=tmp_path)


def test_a_text_in_place_of_a_list_of_texts_is_one_line(tmp_path: Path) -> None:
    for name, text in (("only", "variant=baseline"), ("overrides", "gan.ngf=4")):
        with pytest.raises(InputError, match=f"{name} is one text: give a list of texts, such as"):
            lussweep.run_study(yaml.safe_load(TINY), out=tmp_path, **{name: text})  # type: ignore[arg-type]


def test_one_list_in_two_places_of_a_study_is_read(tmp_path: Path) -> None:
    one = [0.25, 0.5]
    study = yaml.safe_load(TINY)
    study["search"] |= {"dropouts": one, "learning_rates": one}
    with pytest.raises(InputError, match=r"^--only variant=none: the grid has no such value"):
        lussweep.run_study(study, out=tmp_path, only=["variant=none"])
    study["gan"]["self"] = study
    with pytest.raises(InputError, match="the study holds a value that YAML has no text for"):
        lussweep.run_study(study, out=tmp_path)


def test_another_thread_is_refused(tmp_path: Path) -> None:
    found: list[Exception] = []

    def call() -> None:
        try:
            lussweep.run_study("quickstart", out=tmp_path)
        except InputError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "in the main thread only" in str(found[0])
