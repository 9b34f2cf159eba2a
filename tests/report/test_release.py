"""What may leave a run folder, which sets a choice means, and what goes with them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lussweep.cli.export_synthetic import export_sets
from lussweep.errors import InputError
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.keys import hashed_id
from lussweep.study.spec import MemorisationSpec, ReleaseGateSpec, dump_study, load_study
from support.commands import refusal, refused, succeed

pytestmark = pytest.mark.any_processor

SETS = {f"{n}/1/{label}" for n in (2, 3) for label in ("pos", "neg")}
NO_COPY_LIMIT = {"max_copy_share": None, "max_frame_share": None, "max_recognisable_share": None}
ANY_THRESHOLD = {**NO_COPY_LIMIT, "min_caught_share": None}
OPEN = ReleaseGateSpec(**NO_COPY_LIMIT)


def cards(run: Path) -> list[dict[str, Any]]:
    found = pq.read_table(run / "memorisation.parquet").to_pylist()
    assert len(found) == len(SETS)
    return found


def written(out: Path) -> set[str]:
    """The folders of the sets that were exported."""
    return {str(card.parent.relative_to(out)) for card in out.rglob("card.json")}


def set_gate(run: Path, gate: ReleaseGateSpec | None) -> None:
    """As another experiment file leaves it."""
    path = run / "experiment.yaml"
    study = load_study(path.read_text())
    path.write_text(
        dump_study(study.model_copy(update={"memorisation": MemorisationSpec(release_gate=gate)}))
    )


@pytest.fixture
def run(finished: Path) -> Path:
    """A finished run whose gate asks nothing."""
    set_gate(finished, OPEN)
    return finished


# --- the gate ------------------------------------------------------------------------------


def test_a_set_that_fails_the_gate_is_refused_with_the_number_and_the_limit(
    finished: Path, tmp_path: Path
) -> None:
    set_gate(finished, ReleaseGateSpec(**NO_COPY_LIMIT, max_nearer_train_share=0.0))
    shares = give_shares(finished)
    lines = refused("export-synthetic", finished, "--out", tmp_path / "out")
    assert lines == [
        f"error: n={card['n_patients']} r=1 {card['class']} base epoch=2 must not be exported: "
        f"nearer_train_share is {share}, allowed is at most 0 (memorisation.release_gate)"
        for card, share in zip(cards(finished), shares, strict=True)
    ]
    assert not (tmp_path / "out").exists()


def test_one_set_that_fails_keeps_the_others_from_being_written(run: Path, tmp_path: Path) -> None:
    victim = cards(run)[-1]
    change_card(run, victim, {"copy_share": 0.5})
    set_gate(run, ReleaseGateSpec(**ANY_THRESHOLD | {"max_copy_share": 0.25}))
    line = refusal("export-synthetic", run, "--out", tmp_path / "out")
    assert "copy_share is 0.5, allowed is at most 0.25" in line
    assert not (tmp_path / "out").exists()
    chosen = ("--n-patients", str(cards(run)[0]["n_patients"]))
    succeed("export-synthetic", run, "--out", tmp_path / "out", *chosen)


def test_a_set_that_cannot_be_judged_leaves_only_if_the_user_says_so(
    run: Path, tmp_path: Path
) -> None:
    for row in cards(run):
        kept = {"copy_share": 0.0, "frame_share": 0.0, "recognisable_share": 0.0}
        change_card(run, row, {**kept, "caught_share": 0.9, "n_holdout_patients": 12})
    unsure = cards(run)[0]
    change_card(run, unsure, {"caught_share": 0.25, "n_holdout_patients": 5})
    set_gate(run, ReleaseGateSpec())
    out = tmp_path / "out"
    line = refusal("export-synthetic", run, "--out", out)
    assert line.endswith(
        f"r=1 {unsure['class']} base epoch=2 cannot be judged with 5 holdout patients: "
        "caught_share is 0.25, needed is at least 0.8: add holdout patients, or give "
        "--allow-unjudged"
    )
    assert not out.exists()
    succeed("export-synthetic", run, "--out", out, "--allow-unjudged")
    assert written(out) == SETS
    place = out / str(unsure["n_patients"]) / "1" / unsure["class"]
    assert card(place)["verdict"] == "unjudged"
    assert "could NOT judge the set: cannot be judged" in (place / "README.md").read_text()
    change_card(run, unsure, {"copy_share": 0.5})
    assert "must not be exported" in refusal(
        "export-synthetic", run, "--out", tmp_path / "again", "--allow-unjudged"
    )


def change_card(run: Path, row: dict[str, Any], change: dict[str, Any]) -> None:
    """What the memorisation step of a set found."""
    path = run / "artifacts" / "memorisation" / row["memorisation_key"] / "record.json"
    record = json.loads(path.read_text())
    record["summary"] |= change
    record["summary"] = {k: v for k, v in record["summary"].items() if v is not None}
    path.write_text(json.dumps(record))


def give_shares(run: Path) -> list[float]:
    """Each set gets a share nearer to training than to holdout: what so short a training comes to
    may be none. The shares, in the order of the cards."""
    shares = [0.125, 0.25, 0.5, 0.75]
    for card, share in zip(cards(run), shares, strict=True):
        change_card(run, card, {"nearer_train_share": share})
    return shares


@pytest.mark.parametrize(
    "gate",
    [
        ReleaseGateSpec(**ANY_THRESHOLD | {"max_copy_share": 0.99}),
        ReleaseGateSpec(**ANY_THRESHOLD | {"max_frame_share": 0.99}),
        ReleaseGateSpec(**ANY_THRESHOLD | {"max_recognisable_share": 0.99}),
        ReleaseGateSpec(**NO_COPY_LIMIT, max_nearer_train_share=1.0),
        ReleaseGateSpec(**NO_COPY_LIMIT, min_authenticity=0.0),
    ],
    ids=["copies", "one frame", "recognisable", "nearness", "authenticity"],
)
def test_a_card_without_numbers_fails_every_gate_that_asks_something(
    gate: ReleaseGateSpec, run: Path, tmp_path: Path
) -> None:
    asked = ("copy_share", "frame_share", "recognisable_share", "nearer_train_share")
    change_card(run, cards(run)[0], dict.fromkeys((*asked, "authenticity")))
    set_gate(run, gate)
    line = refusal("export-synthetic", run, "--out", tmp_path / "out")
    assert "is unknown, allowed is" in line


def test_without_a_gate_everything_leaves_and_says_so(finished: Path, tmp_path: Path) -> None:
    set_gate(finished, None)
    output = succeed("export-synthetic", finished, "--out", tmp_path / "out")
    assert written(tmp_path / "out") == SETS
    assert set(output.split()) == {str(tmp_path / "out" / place) for place in SETS}
    readme = (tmp_path / "out" / "2" / "1" / "pos" / "README.md").read_text()
    assert "No release gate was set" in readme


def test_a_change_of_the_gate_alone_redoes_nothing_and_changes_the_verdict(
    finished: Path, tiny_yaml: Path
) -> None:
    """A part of a gate leaves the other limits as they are; null takes the gate away."""

    def steps() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in finished.rglob("artifacts/*/*/record.json")}

    shares = give_shares(finished)
    before, numbers = steps(), cards(finished)

    def verdicts(*changes: str) -> list[tuple[bool, str | None]]:
        sets = [part for change in changes for part in ("--set", change)]
        succeed("grid", tiny_yaml, "--out", finished, "--backend", "inline", *sets)
        return [(card["verdict"], card["verdict_because"]) for card in cards(finished)]

    gate = "memorisation.release_gate"
    assert verdicts(f"{gate}=null") == [("passed", None)] * 4
    no_copy_limit = (f"{gate}.{name}=null" for name in NO_COPY_LIMIT)
    strict = verdicts(
        *no_copy_limit, f"{gate}.max_nearer_train_share=0", f"{gate}.min_authenticity=0.5"
    )
    assert strict == [
        ("refused", f"nearer_train_share is {share}, allowed is at most 0") for share in shares
    ]
    kept = load_study((finished / "experiment.yaml").read_text()).memorisation.release_gate
    assert kept == ReleaseGateSpec(
        **NO_COPY_LIMIT, max_nearer_train_share=0.0, min_authenticity=0.5
    )
    assert kept.min_caught_share == ReleaseGateSpec().min_caught_share
    assert steps() == before
    verdict = ("verdict", "verdict_because")
    rest = [{k: v for k, v in card.items() if k not in verdict} for card in cards(finished)]
    assert rest == [{k: v for k, v in card.items() if k not in verdict} for card in numbers]


# --- which sets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([], SETS),
        (["--class", "pos"], {"2/1/pos", "3/1/pos"}),
        (["--n-patients", "3"], {"3/1/pos", "3/1/neg"}),
        (["--replicate", "1", "--class", "neg", "--n-patients", "2"], {"2/1/neg"}),
        (["--gan", "base", "--gan-epoch", "2"], SETS),
    ],
    ids=["all", "class", "n_patients", "three", "gan"],
)
def test_a_choice_takes_the_sets_that_it_describes(
    chosen: list[str], expected: set[str], run: Path, tmp_path: Path
) -> None:
    succeed("export-synthetic", run, "--out", tmp_path / "out", *chosen)
    assert written(tmp_path / "out") == expected


@pytest.mark.parametrize(
    "chosen",
    [
        ["--class", "positive"], ["--n-patients", "4"], ["--replicate", "2"],
        ["--gan", "loss=hinge"], ["--gan-epoch", "1"],
    ],
)  # fmt: skip
def test_a_choice_that_fits_nothing_names_what_there_is(
    chosen: list[str], run: Path, tmp_path: Path
) -> None:
    line = refusal("export-synthetic", run, "--out", tmp_path / "out", *chosen)
    assert "has no such synthetic set; there are: n=2 r=1 neg base epoch=2; n=2 r=1 pos" in line
    assert not (tmp_path / "out").exists()


def twin_of(run: Path, row: dict[str, Any], **changes: Any) -> Path:
    """Another set beside one of a run, as another GAN or another grid would leave it; its
    folder."""
    synth = run / "artifacts" / "synth"
    shutil.copytree(synth / row["synth_key"], synth / "twin")
    table = tables.read(run / "memorisation.parquet", tables.MEMORISATION).to_pylist()
    added = {**row, "synth_key": "twin", **changes}
    tables.write(run / "memorisation.parquet", [*table, added], tables.MEMORISATION)
    return synth / "twin"


def test_two_gans_of_one_class_and_cohort_must_be_told_apart(run: Path, tmp_path: Path) -> None:
    row = cards(run)[0]
    twin_of(run, row, gan="loss=hinge")
    name = f"n=2 r=1 {row['class']}"
    line = refusal("export-synthetic", run, "--out", tmp_path / "out")
    assert f"several sets fit ({name} base epoch=2; {name} loss=hinge epoch=2)" in line
    for gan in ("base", "loss=hinge"):
        out = tmp_path / gan
        succeed("export-synthetic", run, "--out", out, "--gan", gan)
        card = json.loads((out / "2" / "1" / row["class"] / "card.json").read_text())
        assert card["gan"] == gan


def test_two_epochs_of_one_gan_must_be_told_apart(run: Path, tmp_path: Path) -> None:
    row = cards(run)[0]
    twin_of(run, row, gan_epoch=1)
    with pytest.raises(InputError, match=r"epoch=2; .* epoch=1"):
        export_sets(run, tmp_path / "out", "png", {})
    assert len(export_sets(run, tmp_path / "out", "png", {"gan_epoch": 1})) == 1


def test_one_set_that_two_grids_have_asked_for_is_one_set(run: Path, tmp_path: Path) -> None:
    """As the last epoch and as epoch 2 it is the same work done twice."""
    row = cards(run)[0]
    twin = twin_of(run, row)
    folders = export_sets(run, tmp_path / "out", "png", {})
    assert {str(folder.relative_to(tmp_path / "out")) for folder in folders} == SETS
    frames = np.load(twin / "synthetic.npy")
    np.save(twin / "synthetic.npy", frames // 2)
    with pytest.raises(InputError, match="several sets fit"):
        export_sets(run, tmp_path / "again", "png", {})


# --- where things lie ----------------------------------------------------------------------


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    line = refusal("export-synthetic", tmp_path, "--out", tmp_path / "out")
    assert "has no memorisation.parquet: give the folder of a run of `lussweep grid`" in line


def test_artifacts_that_lie_elsewhere_want_the_store(run: Path, tmp_path: Path) -> None:
    store = shutil.move(run / "artifacts", tmp_path / "store")
    lines = refused("export-synthetic", run, "--out", tmp_path / "out")
    assert len(lines) == 1 and "give --store as to the grid" in lines[0]
    arguments = ("export-synthetic", run, "--out", tmp_path / "out", "--store", store)
    succeed(*arguments)
    assert written(tmp_path / "out") == SETS


def test_frames_in_a_store_of_videos_are_not_needed(run: Path, tmp_path: Path) -> None:
    """A run on `--data STORE` reads its frames there and holds no copy of them."""
    expected = {p: card(p) for p in export_sets(run, tmp_path / "before", "png", {})}
    for stage in ("shard", "ingest"):
        shutil.rmtree(run / "artifacts" / stage)
    found = {p: card(p) for p in export_sets(run, tmp_path / "after", "png", {})}
    assert list(found.values()) == list(expected.values())
    for before, after in zip(expected, found, strict=True):
        assert (before / "patients.csv").read_text() == (after / "patients.csv").read_text()


def card(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "card.json").read_text())


def test_a_folder_in_use_is_refused_and_left_alone(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "2" / "1" / "pos"
    place.mkdir(parents=True)
    (place / "thesis.doc").write_text("precious")
    line = refusal("export-synthetic", run, "--out", tmp_path / "out", "--class", "pos")
    assert "is not empty: choose another folder, or remove it" in line
    assert [path.name for path in place.iterdir()] == ["thesis.doc"]


def test_an_unknown_format_is_refused(run: Path, tmp_path: Path) -> None:
    line = refusal("export-synthetic", run, "--out", tmp_path / "out", "--format", "jpeg")
    assert "--format jpeg is neither png nor parquet" in line


# --- what goes with the images -------------------------------------------------------------


def test_the_card_says_how_the_set_was_made(run: Path, tmp_path: Path) -> None:
    store = ArtifactStore(run / "artifacts")
    export_sets(run, tmp_path / "out", "png", {})
    for row in cards(run):
        found = card(tmp_path / "out" / str(row["n_patients"]) / "1" / row["class"])
        synth = store.record(f"synth/{row['synth_key']}")
        gan = store.record(synth["inputs"]["gan"])
        for name in ("n_patients", "replicate", "class", "gan", "gan_epoch", "synth_key"):
            assert found[name] == row[name]
        assert found["memorisation_key"] == row["memorisation_key"]
        assert found["generator_key"] == gan["key"]
        assert found["generator"] == gan["spec"]["gan"]
        assert (found["seed"], found["generator_seed"]) == (
            synth["spec"]["seed"], gan["spec"]["seed"],
        )  # fmt: skip
        assert (found["study"], found["study_seed"]) == ("tiny", 2023)
        assert (found["n_images"], found["image_size"]) == (synth["summary"]["n_frames"], 64)
        assert (found["verdict"], found["verdict_because"]) == ("passed", None)
        assert found["release_gate"] == OPEN.model_dump(mode="json")
        measured = {name: row[name] for name in found["memorisation"]}
        assert found["memorisation"] == measured
        assert {"copy_share", "nearer_train_share", "authenticity"} <= set(measured)


@pytest.mark.parametrize("kind", ["png", "parquet"])
def test_no_file_names_a_patient_in_plain_words(kind: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_sets(run, out, kind, {})  # type: ignore[arg-type]
    frames = pq.read_table(run / "frames.parquet").to_pylist()
    names = {row["patient_id"] for row in frames} | {row["video_id"] for row in frames}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) >= 4 * len(SETS)
    for path in files:
        content = path.read_bytes()
        assert not any(name.encode() in content for name in names), path
        assert not any(name in str(path.relative_to(out)) for name in names)
    cohorts = pq.read_table(run / "cohorts.parquet").to_pylist()
    for place in SETS:
        n_patients, _, label = place.split("/")
        behind = {
            hashed_id(row["patient_id"])
            for row in cohorts
            if row["n_patients"] == int(n_patients) and row["label"] == (label == "pos")
        }
        with (out / place / "patients.csv").open(newline="") as file:
            assert [row["patient_id"] for row in csv.DictReader(file)] == sorted(behind)
