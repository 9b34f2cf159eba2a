"""Two runs side by side."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

import lussweep
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.report.compare import ABSENT, ComparedRun, compare, read_compared
from lussweep.report.compare_data import FRAME
from lussweep.report.compare_page import cells_table, comparison_page, warning
from lussweep.report.page.verdicts import LEVEL_WORDS
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.steps import COHORTS
from lussweep.store import tables
from lussweep.study.spec import PhantomSpec, load_study
from lussweep.study.spec.analysis import Level
from support.commands import invoke, refusal, succeed

PATIENT_N = np.repeat(np.arange(30), 4)
LABEL_N = (PATIENT_N < 14).astype(int)
K = 3


def scores_of(gain: float, seed: int) -> np.ndarray:
    """The scores of K trainings (K, N): of one gain, with noise by patient and frame."""
    rng = np.random.default_rng(seed)
    patient_KP = rng.normal(size=(K, 30))
    return gain * LABEL_N + patient_KP[:, PATIENT_N] + rng.normal(size=(K, len(LABEL_N)))


def run_of(
    scores: dict[tuple[int, str], np.ndarray],
    *,
    text: str = "",
    first_patient: int = 0,
    data: str = "one",
    cohort: str = "T",
    folder: Path = Path("run"),
) -> ComparedRun:
    """A run with the scores (K, N) of each patient count and variant.

    `data` is in the names of the artifacts that hold the frames, and `cohort` in the ids of the
    training patients.
    """
    results: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for (n, variant), score_KN in scores.items():
        for k, score_N in enumerate(score_KN, 1):
            at = {"n_patients": n, "replicate": k, "variant": variant}
            results.append({**at, "status": "done"})
            rows += [
                {
                    **at,
                    "patient_id": f"P{first_patient + patient:02d}",
                    "video_id": "v",
                    "frame": i,
                    "label": label,
                    "score": score,
                }
                for i, (patient, label, score) in enumerate(
                    zip(PATIENT_N, LABEL_N, score_N, strict=True)
                )
            ]
    frames = [
        {
            **{name: row[name] for name in FRAME},
            "split": "holdout",
            "shard": f"shard/{data}-{row['patient_id']}",
        }
        for row in rows
    ]
    draws = {(row["n_patients"], row["replicate"]) for row in results}
    cohorts = [
        {"n_patients": n, "replicate": k, "patient_id": f"{cohort}{k}-{i}", "split": "train"}
        for n, k in draws
        for i in range(n)
    ]
    return ComparedRun(
        folder,
        load_study(f"name: mine\n{text}"),
        pa.Table.from_pylist(results, RESULTS),
        pa.Table.from_pylist(rows, tables.FRAME_SCORES),
        pa.Table.from_pylist(frames, tables.FRAMES),
        pa.Table.from_pylist(cohorts, COHORTS),
    )


def keep_records(run: ComparedRun, sha256: str) -> None:
    """Write the records of the run's frames, of videos of these SHA-256s."""
    for ref in set(run.frames["shard"].to_pylist()):
        folder = run.folder / "artifacts" / ref
        folder.mkdir(parents=True)
        videos = [{"video_id": "v", "sha256": f"{sha256}-{ref[-3:]}"}]
        (folder / "record.json").write_text(json.dumps({"spec": {"videos": videos}}))


LOW, HIGH = scores_of(0.5, 1), scores_of(1.5, 2)
A = run_of({(6, "baseline"): LOW})
B = run_of({(6, "baseline"): HIGH}, text="gan: {n_epochs: 5}")


def test_the_difference_is_that_of_the_contrast() -> None:
    (cells,) = compare(A, B).cells
    expected = lussweep.contrast(LABEL_N, HIGH.T, LOW.T, PATIENT_N)
    assert cells.contrast is not None and cells.contrast.interval is not None
    assert cells.contrast.effect.difference == pytest.approx(expected.effect.difference)
    assert cells.contrast.interval == pytest.approx(expected.interval)
    assert cells.contrast.effect.difference > 0.1


def test_the_order_of_the_rows_does_not_matter() -> None:
    order = np.random.default_rng(3).permutation(len(B.scores))
    shuffled = replace(B, scores=B.scores.take(order))
    assert compare(A, shuffled).cells == compare(A, B).cells


def test_the_other_way_round_has_the_other_sign() -> None:
    (there,), (back,) = compare(A, B).cells, compare(B, A).cells
    assert there.contrast is not None and back.contrast is not None
    assert there.contrast.effect.difference == pytest.approx(-back.contrast.effect.difference)


def test_settings_that_differ_are_listed() -> None:
    assert compare(A, B).settings == (("gan.n_epochs", "100", "5"),)
    other = run_of({(6, "baseline"): HIGH}, text="variants: {mine: {pos: [real], neg: [real]}}")
    settings = {key: (a, b) for key, a, b in compare(A, other).settings}
    assert settings["variants.mine.pos"] == (ABSENT, "real")


def test_a_level_without_negative_patients_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LABEL_N", np.tile([1, 0, 0, 0], 30))
    text = "analysis: {level: patient_mean}"
    a, b = (run_of({(6, "baseline"): scores}, text=text) for scores in (LOW, HIGH))
    (cells,) = compare(a, b).cells
    assert cells.reason == "all patients have a positive frame: none is negative"
    assert (cells.contrast, cells.auroc_a, cells.n_a, cells.n_b) == (None, None, K, K)


def test_other_holdout_patients_give_no_difference() -> None:
    other = run_of({(6, "baseline"): HIGH}, first_patient=10)
    comparison = compare(A, other)
    assert comparison.holdout == "20 patients are in both, 10 in A alone, 10 in B alone"
    (cells,) = comparison.cells
    assert cells.contrast is None
    assert cells.auroc_a is not None and cells.auroc_b is not None
    assert cells.auroc_b > cells.auroc_a


def test_a_label_that_differs_gives_no_difference() -> None:
    at = B.scores.column_names.index("label")
    labels = B.scores["label"].to_numpy().copy()
    labels[0] = 1 - labels[0]
    changed = B.scores.set_column(at, B.scores.schema.field("label"), pa.array(labels, pa.int8()))
    comparison = compare(A, replace(B, scores=changed))
    assert comparison.holdout == (
        "the patients are the same, and 1 of their frames or labels differ"
    )


def test_other_videos_under_the_same_ids_give_no_difference(tmp_path: Path) -> None:
    """As of the simulator with two seeds: the ids, frames and labels are the same."""
    a = run_of({(6, "baseline"): LOW}, data="one", folder=tmp_path / "a")
    b = run_of({(6, "baseline"): HIGH}, data="two", folder=tmp_path / "b")
    keep_records(a, "of-seed-7")
    keep_records(b, "of-seed-8")
    comparison = compare(a, b)
    assert comparison.holdout == "the ids are the same, but 30 of 30 patients have other videos"
    assert comparison.cells[0].contrast is None


def test_the_same_videos_at_another_size_are_compared(tmp_path: Path) -> None:
    a = run_of({(6, "baseline"): LOW}, data="one", folder=tmp_path / "a")
    b = run_of({(6, "baseline"): HIGH}, data="two", folder=tmp_path / "b")
    for run in (a, b):
        keep_records(run, "the-same")
    comparison = compare(a, b)
    assert comparison.holdout == ""
    assert comparison.cells[0].contrast == compare(A, B).cells[0].contrast


def test_what_cannot_be_known_gives_no_difference() -> None:
    comparison = compare(A, run_of({(6, "baseline"): HIGH}, data="two"))
    assert "nothing shows that 30 of 30 patients have the same videos" in comparison.holdout
    assert comparison.cells[0].contrast is None


def test_two_seeds_of_the_simulator_make_other_artifacts_and_other_videos() -> None:
    """The ids of its patients do not depend on the seed, so these must tell the runs apart."""
    few = PhantomSpec(train_patients=1, val_patients=1, holdout_patients=1, videos_per_patient=1)
    first, second = (phantom_manifest(few, seed).videos for seed in (7, 8))
    assert [v.video_id for v in first] == [v.video_id for v in second]
    assert not {v.sha256 for v in first} & {v.sha256 for v in second}


def test_other_cohorts_are_a_warning() -> None:
    other = run_of({(6, "baseline"): HIGH}, text="seed: 7", cohort="U")
    comparison = compare(A, other)
    assert comparison.cells[0].contrast is not None
    assert "3 of 3 cohorts have other training patients in B than in A" in warning(comparison)
    assert warning(compare(A, B)) == ""


def test_a_cell_of_one_run_alone_is_named() -> None:
    more = run_of({(6, "baseline"): HIGH, (6, "combined"): LOW, (9, "baseline"): LOW})
    reasons = {(c.n_patients, c.variant): c.reason for c in compare(A, more).cells}
    assert reasons == {
        (6, "baseline"): "",
        (6, "combined"): "only run B has it",
        (9, "baseline"): "only run B has it",
    }


# --- the command --------------------------------------------------------------------------


def test_a_run_does_not_differ_from_itself(uninterrupted: Path) -> None:
    output = succeed("compare", uninterrupted, uninterrupted)
    assert "The settings are the same." in output
    assert "+0.000" in output
    n_cells = len(read_compared(uninterrupted).results)
    assert sum("baseline" in line for line in output.splitlines()) == 2 <= n_cells


def test_another_holdout_is_a_warning(finished: Path, uninterrupted: Path) -> None:
    scores = tables.read(finished / "frame_scores.parquet", tables.FRAME_SCORES)
    first = scores["patient_id"][0].as_py()
    renamed = pa.array(
        ["another" if p == first else p for p in scores["patient_id"].to_pylist()], pa.string()
    )
    at = scores.column_names.index("patient_id")
    changed = scores.set_column(at, scores.schema.field("patient_id"), renamed)
    tables.write(finished / "frame_scores.parquet", changed, tables.FRAME_SCORES)
    code, output = invoke("compare", uninterrupted, finished)
    assert code == 1
    assert "WARNING: the holdout differs (" in output
    assert "1 in A alone, 1 in B alone), so no difference of AUC-ROC is given" in output


def test_the_page_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    page = comparison_page(compare(A, B), "run <a>", "run-b")
    assert "run &lt;a&gt;" in page
    assert "gan.n_epochs" in page and "B less A" in page
    assert not re.search(r"(src|href)=|url\(|<script", page)


@pytest.mark.parametrize("level", get_args(Level))
def test_the_note_says_what_each_row_is_a_mean_of(level: Level) -> None:
    def note(a: ComparedRun, b: ComparedRun) -> str:
        return cells_table(replace(compare(a, b), level=level)).note

    both, own = "over the replicates that both runs have", "over the replicates of its own run"
    more = run_of({(6, "baseline"): HIGH, (6, "combined"): LOW})
    other = run_of({(6, "baseline"): HIGH}, first_patient=10)
    assert both in note(A, B) and own not in note(A, B)
    assert both in note(A, more) and own in note(A, more)
    assert both not in note(A, other) and own in note(A, other) and "95 %" not in note(A, other)
    assert note(A, B).startswith(f"A and B are the {LEVEL_WORDS[level]}.")
    assert "weighteds" not in note(A, B)


def test_the_page_is_written(tmp_path: Path, uninterrupted: Path) -> None:
    succeed("compare", uninterrupted, uninterrupted, "--html", tmp_path / "c.html")
    assert "The settings are the same." in (tmp_path / "c.html").read_text()


def test_what_is_no_run_is_one_line(tmp_path: Path, uninterrupted: Path) -> None:
    assert "is not a run folder" in refusal("compare", uninterrupted, tmp_path)
    with pytest.raises(InputError, match="is not a run folder"):
        read_compared(tmp_path)


def test_an_experiment_that_is_not_text_is_one_line(finished: Path) -> None:
    (finished / "experiment.yaml").write_bytes(b"name: \xff\xfe\n")
    for line in (refusal("compare", finished, finished), refusal("report", finished)):
        assert f"cannot read {finished}/experiment.yaml" in line


def test_a_run_that_goes_on_is_one_line(finished: Path) -> None:
    """Interim results have cells that are done, but no scores of frames."""
    (finished / "frame_scores.parquet").unlink()
    line = refusal("compare", finished, finished)
    assert "has no frame_scores.parquet yet: wait until the run has ended, or stop it" in line
