"""Every kind of generator in a grid: images made elsewhere, GANs of a variant's own, collapse.

All runs here share the artifacts of one finished run, so that each trains only what is its own.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from lussweep.data.cohort import of_class
from lussweep.data.external import describe, load_images
from lussweep.data.frames import load_masks
from lussweep.models.generators.dcgan.health import Event, GanEpoch
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.tables import FRAMES
from lussweep.store.tables import read as read_table
from lussweep.study.keys import hashed_id
from lussweep.study.spec import HealthSpec
from support.commands import TINY, invoke, refusal, succeed

pytestmark = pytest.mark.any_processor

SETS = "{n_patients}/{replicate}/{class}"
MADE = {
    "pos": ["external"],
    "neg": ["external"],
    "external": {"images": f"made/{SETS}/images", "patients": f"made/{SETS}/patients.csv"},
}
PACKED = {
    **MADE,
    "external": {
        "name": "packed",
        "images": f"packed/{SETS}/images.parquet",
        "patients": f"packed/{SETS}/patients.csv",
    },
}
GANS = {
    "conditional": {"pos": ["synthetic"], "neg": ["synthetic"], "gan": {"conditional": True}},
    "averaged": {
        "pos": ["synthetic"],
        "neg": ["real"],
        "gan": {"ema_decay": 0.5, "loss": "hinge"},
    },
}
AVERAGED, CONDITIONAL = "loss=hinge, ema_decay=0.5", "conditional=True"


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(run / f"{name}.parquet").to_pylist()


def result(run: Path, variant: str, n_patients: int = 2) -> dict[str, Any]:
    (row,) = (
        row
        for row in rows(run, "results")
        if (row["variant"], row["n_patients"]) == (variant, n_patients)
    )
    return row


def write_study(
    folder: Path,
    own: dict[str, Any],
    n_patients: Sequence[int] = (2,),
    known: Sequence[str] = ("baseline",),
) -> Path:
    """The small study as a file of `folder`: variants of its own beside known ones."""
    study = yaml.safe_load(TINY)
    grid = {"n_patients": list(n_patients), "replicates": 1, "variants": [*known, *own]}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    study |= {"variants": own, "grid": grid}
    path.write_text(json.dumps(study, sort_keys=True))  # YAML without aliases
    return path


def write_set(
    folder: Path, patients: Sequence[str], n_images: int = 24, image_size: int = 64
) -> None:
    """Images of noise, and the patients whose frames their generator is said to have seen."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(len(patients))
    for i in range(n_images):
        noise = rng.integers(0, 256, (image_size, image_size), np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{i:03}.png")
    (folder / "patients.csv").write_text("\n".join(["patient_id", *patients, ""]))


@pytest.fixture(scope="module")
def ground(uninterrupted: Path, tiny_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run whose gate lets everything out, and its sets as images."""
    folder = tmp_path_factory.mktemp("ground")
    run = Path(shutil.copytree(uninterrupted, folder / "run"))
    succeed("grid", tiny_yaml, "--out", run, "--backend", "inline",
         "--set", "memorisation.release_gate=null")  # fmt: skip
    succeed("export-synthetic", run, "--out", folder / "made")
    succeed("export-synthetic", run, "--out", folder / "packed", "--format", "parquet")
    return folder


@pytest.fixture(scope="module")
def grid(ground: Path) -> Callable[..., tuple[int, str]]:
    """`lussweep grid` in this process, on the artifacts of the finished run."""

    def grid(*arguments: str | Path) -> tuple[int, str]:
        store = ground / "run" / "artifacts"
        return invoke("grid", *arguments, "--backend", "inline", "--store", store)

    return grid


@pytest.fixture(scope="module")
def cohorts(ground: Path) -> dict[int, list[str]]:
    """The patients of each cohort."""
    found: dict[int, set[str]] = {}
    for row in rows(ground / "run", "cohorts"):
        found.setdefault(row["n_patients"], set()).add(row["patient_id"])
    return {n: sorted(patients) for n, patients in found.items()}


# --- there and back ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(ground: Path, grid: Callable[..., tuple[int, str]]) -> Path:
    """The run of an experiment whose synthetic frames are those that the first run gave away."""
    study = write_study(ground, {"made": MADE, "packed": PACKED})
    code, output = grid(study, "--out", ground / "judged", "--set", "memorisation.release_gate="
                        "{max_copy_share: 0.99, max_nearer_train_share: null}")  # fmt: skip
    assert code == 0, output
    return ground / "judged"


def test_frames_that_came_back_are_those_that_left(ground: Path, judged: Path) -> None:
    """The same frames in another order, each seen through the sector mask of its new place."""
    store = ArtifactStore(ground / "run" / "artifacts")
    made = {c["class"]: c for c in rows(ground / "run", "memorisation") if c["n_patients"] == 2}
    back = {card["class"]: card for card in rows(judged, "memorisation")}
    assert set(back) == {"pos", "neg"}
    for label, card in back.items():
        frames = np.load(store.open(f"synth/{card['synth_key']}") / "synthetic.npy")
        original = np.load(store.open(f"synth/{made[label]['synth_key']}") / "synthetic.npy")
        inputs = store.record(f"synth/{card['synth_key']}")["inputs"]
        cohort = read_table(store.open(inputs["cohort"]) / "cohort.parquet", FRAMES)
        masks = load_masks(store, of_class(cohort, label))
        assert len(frames) == len(original) == len(masks)
        left = list(original)
        for frame, mask in zip(frames, masks, strict=True):
            twin = next(i for i, other in enumerate(left) if np.array_equal(frame, other * mask))
            del left[twin]
        assert not left


def test_exported_files_hold_the_frames_of_the_run_bit_by_bit(ground: Path) -> None:
    store = ArtifactStore(ground / "run" / "artifacts")
    cards = rows(ground / "run", "memorisation")
    assert len(cards) == 4
    for card in cards:
        folder = Path(str(card["n_patients"]), str(card["replicate"]), card["class"])
        frames = np.load(store.open(f"synth/{card['synth_key']}") / "synthetic.npy")
        for kind, images in (("made", "images"), ("packed", "images.parquet")):
            place = ground / kind / folder
            found = describe(place / images, place / "patients.csv", 64)
            np.testing.assert_array_equal(load_images(found, 64), frames)


def test_an_external_set_is_scored_carded_and_judged(ground: Path, judged: Path) -> None:
    scores = rows(judged, "gan_scores")
    assert {(row["gan"], row["epoch"]) for row in scores} == {("external", None)}
    assert {row["class"] for row in scores} == {"pos", "neg"}
    known = rows(ground / "run", "gan_scores")
    places = {(row["class"], row["metric"], row["embedder"], row["space"]) for row in known}
    assert {(r["class"], r["metric"], r["embedder"], r["space"]) for r in scores} == places

    cards = rows(judged, "memorisation")
    assert {(card["gan"], card["gan_epoch"], card["passed"]) for card in cards} == {
        ("external", None, True)
    }
    mine, theirs = result(judged, "made"), result(ground / "run", "pure_synthetic")
    assert (mine["status"], mine["gan"], mine["gan_epoch"]) == ("done", "external", None)
    assert 0 <= mine["auroc"] <= 1
    for label in ("pos", "neg"):
        assert mine[f"n_{label}_external"] == theirs[f"n_{label}_synthetic"] > 0
        assert mine[f"n_{label}_synthetic"] == mine[f"n_{label}_real"] == 0
        assert mine[f"copy_share_{label}"] is not None
    for name in ("kmmd_pos", "kmmd_neg", "confidence_pos"):
        assert mine[name] is not None
    assert (judged / "figures" / "closest_pairs.png").exists()


def test_an_external_set_is_compared_with_all_that_its_generator_may_have_seen(
    ground: Path, judged: Path
) -> None:
    """Nothing says which class of the cohort it was trained on, so both count."""
    n_frames = result(judged, "baseline")["n_pos_real"]
    assert {card["n_train"] for card in rows(judged, "memorisation")} == {2 * n_frames}
    own = [card for card in rows(ground / "run", "memorisation") if card["n_patients"] == 2]
    assert {card["n_train"] for card in own} == {n_frames}


def test_a_set_is_the_same_work_in_whatever_files_it_comes(judged: Path) -> None:
    made, packed = result(judged, "made"), result(judged, "packed")
    assert made["evaluate_key"] == packed["evaluate_key"]
    assert made["auroc"] == packed["auroc"]
    assert (made["gan"], packed["gan"]) == ("external", "packed")


def test_cells_of_other_generators_stay_when_another_variant_is_asked_for(
    judged: Path, grid: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Even where the images are gone, as long as no cell that needs them is asked for."""
    run = Path(shutil.copytree(judged, tmp_path / "run"))
    study = write_study(tmp_path / "elsewhere", {"made": MADE, "packed": PACKED})
    names = ("results", "memorisation", "gan_scores", "copies", "closest_pairs")
    before = {name: rows(run, name) for name in names}
    code, output = grid(study, "--out", run, "--only", "variant=baseline")
    assert code == 0, output
    after = {name: rows(run, name) for name in names}
    for card in before["memorisation"] + after["memorisation"]:  # the gate is another one now
        del card["passed"], card["failed_because"]
    assert after == before
    code, output = grid(study, "--out", run, "--only", "variant=made")
    assert code == 2
    assert "elsewhere/made/2/1/pos/images does not exist" in output


# --- declarations --------------------------------------------------------------------------

HOLDOUT, VAL = "phantom-holdout-pos-001", "phantom-val-neg-002"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (HOLDOUT, f"saw patient {HOLDOUT} of the holdout split"),
        (hashed_id(HOLDOUT), f"saw patient {HOLDOUT} of the holdout split"),
        (VAL, f"saw patient {VAL} of the val split"),
        (hashed_id(VAL), f"saw patient {VAL} of the val split"),
    ],
    ids=["holdout", "hashed holdout", "validation", "hashed validation"],
)
def test_a_generator_that_saw_validation_or_holdout_is_refused_before_training(
    declared: str, message: str, cohorts: dict[int, list[str]], tmp_path: Path
) -> None:
    for label in ("pos", "neg"):
        extra = [declared] if label == "pos" else []
        write_set(tmp_path / "made" / "2" / "1" / label, [*cohorts[2], *extra])
    study = write_study(tmp_path, {"made": MADE})
    line = refusal("grid", study, "--out", tmp_path / "run", "--backend", "inline")
    assert message in line
    assert "external pos n=2 r=1" in line
    assert not (tmp_path / "run").exists()


def without_declaration(folder: Path) -> None:
    (folder / "pos" / "patients.csv").unlink()


def without_images(folder: Path) -> None:
    shutil.rmtree(folder / "neg" / "images")


def with_one_large_image(folder: Path) -> None:
    Image.new("L", (128, 128)).save(folder / "pos" / "images" / "000.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_declaration, "pos/patients.csv does not exist: it must list every patient"),
        (without_images, "neg/images does not exist: give a folder of images or one Parquet file"),
        (with_one_large_image, "000.png: is 128 x 128 pixels, not 64 x 64: scale it"),
    ],
    ids=["no declaration", "no folder", "wrong size"],
)
def test_a_set_that_cannot_take_part_is_one_clear_line(
    spoil: Callable[[Path], None], message: str, cohorts: dict[int, list[str]], tmp_path: Path
) -> None:
    for label in ("pos", "neg"):
        write_set(tmp_path / "made" / "2" / "1" / label, cohorts[2], n_images=2)
    spoil(tmp_path / "made" / "2" / "1")
    study = write_study(tmp_path, {"made": MADE})
    assert message in refusal("grid", study, "--out", tmp_path / "run", "--backend", "inline")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            {**MADE, "external": {**MADE["external"], "images": "made/{n_patients}"}},
            "external.images needs {class} where both classes take from it",
        ),
        (
            {**MADE, "pos": ["real"], "external": {**MADE["external"], "images": "made/{size}"}},
            "unknown placeholder {size}; known are {n_patients}, {replicate}, {class}",
        ),
        (
            {"pos": ["external"], "neg": ["real"]},
            "the source external and the section external belong together: give both",
        ),
    ],
    ids=["no class", "unknown placeholder", "no section"],
)
def test_a_recipe_that_says_too_little_is_one_clear_line(
    recipe: dict[str, Any], message: str, cohorts: dict[int, list[str]], tmp_path: Path
) -> None:
    write_set(tmp_path / "made" / "2" / "1" / "neg", cohorts[2], n_images=2)
    study = write_study(tmp_path, {"made": recipe})
    assert message in refusal("grid", study, "--out", tmp_path / "run", "--backend", "inline")


@pytest.fixture(scope="module")
def hindered(
    grid: Callable[..., tuple[int, str]],
    cohorts: dict[int, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str, str]:
    """A run with a generator that saw a patient too many at n = 2, declared by hash, one that made
    too few images and one that made a single image; with its output and that patient."""
    folder = tmp_path_factory.mktemp("hindered")
    stranger = sorted(p for p in set(cohorts[3]) - set(cohorts[2]) if "-pos-" in p)[0]
    for n in (2, 3):
        also = {2: hashed_id(stranger), 3: stranger}[n]
        write_set(folder / "wide" / str(n), sorted({*cohorts[n], also}))
        write_set(folder / "few" / str(n), cohorts[n], n_images=3)
        write_set(folder / "one" / str(n), cohorts[n], n_images=1)
    variants = {
        name: {
            "pos": ["external"],
            "neg": ["real"],
            "external": {
                "name": name,
                "images": f"{name}/{{n_patients}}/images",
                "patients": f"{name}/{{n_patients}}/patients.csv",
            },
        }
        for name in ("wide", "few", "one")
    }
    study = write_study(folder, variants, n_patients=(2, 3))
    code, output = grid(study, "--out", folder / "run")
    assert code == 1, output
    return folder / "run", output, stranger


def test_a_patient_outside_the_cohort_blocks_that_cell_alone(
    hindered: tuple[Path, str, str],
) -> None:
    run, output, stranger = hindered
    status = {
        (row["n_patients"], row["variant"]): row["status"]
        for row in rows(run, "results")
        if row["variant"] in ("baseline", "wide")
    }
    assert status == {
        (2, "baseline"): "done", (3, "baseline"): "done", (2, "wide"): "blocked",
        (3, "wide"): "done",
    }  # fmt: skip
    reason = result(run, "wide", 2)["reason"]
    assert reason.startswith("images pos n=2 r=1 wide: LeakageError: external images: ")
    assert f"outside the cohort: {hashed_id(stranger)};" in reason
    assert stranger not in reason
    assert f"outside the cohort: {stranger};" in " ".join(output.split())


def test_too_few_images_block_their_cells_and_say_what_to_do(
    hindered: tuple[Path, str, str],
) -> None:
    run, _, _ = hindered
    for n in (2, 3):
        needed = result(run, "baseline", n)["n_pos_real"]
        assert result(run, "few", n)["reason"] == (
            f"synthetic pos n={n} r=1 few: InputError: the external set has 3 images, the cell "
            f"needs {needed}: make more, or lower synth.ratio or synth.n_images"
        )
    failed = {row["step"] for row in rows(run, "failures") if row["step"].endswith(" few")}
    assert failed == {f"synthetic pos n={n} r=1 few" for n in (2, 3)}, "even few are scored"


def test_a_set_of_one_image_is_no_set(hindered: tuple[Path, str, str]) -> None:
    """Nothing can be told from it, however few images a cell needs."""
    run, _, _ = hindered
    for n in (2, 3):
        reason = result(run, "one", n)["reason"]
        assert reason.startswith(f"images pos n={n} r=1 one: InputError: ")
        assert reason.endswith("one image is not a set: give at least 2")


def test_a_run_says_whom_a_generator_saw_by_hash(
    hindered: tuple[Path, str, str], cohorts: dict[int, list[str]]
) -> None:
    run, _, stranger = hindered
    text = (run / "run.json").read_text()
    assert "phantom-" not in text
    seen = {
        (entry["section"]["name"], entry["n_patients"]): set(entry["patients"])
        for entry in json.loads(text)["external"]
    }
    assert seen["wide", 2] == set(map(hashed_id, [*cohorts[2], stranger]))
    assert seen["one", 3] == set(map(hashed_id, cohorts[3]))


def test_a_set_declared_by_hash_is_the_work_that_it_was_by_id(
    hindered: tuple[Path, str, str],
    grid: Callable[..., tuple[int, str]],
    cohorts: dict[int, list[str]],
    tmp_path: Path,
) -> None:
    run, _, stranger = hindered
    folder = Path(
        shutil.copytree(run.parent, tmp_path / "again", ignore=shutil.ignore_patterns("run"))
    )
    declared = sorted(map(hashed_id, {*cohorts[3], stranger}))
    (folder / "wide" / "3" / "patients.csv").write_text("\n".join(["patient_id", *declared, ""]))
    only = ("--only", "variant=wide,n_patients=3")
    code, output = grid(folder / "study.yaml", "--out", tmp_path / "run", *only)
    assert code == 0, output
    for key in ("evaluate_key", "search_key", "auroc"):
        assert result(tmp_path / "run", "wide", 3)[key] == result(run, "wide", 3)[key]


# --- several GANs in one grid ----------------------------------------------------------------


@pytest.fixture(scope="module")
def several(ground: Path, grid: Callable[..., tuple[int, str]]) -> Path:
    """A run with the study's GANs, one that is told the class, and one with a loss of its own."""
    study = write_study(ground / "several", GANS, known=("baseline", "pure_synthetic"))
    code, output = grid(study, "--out", ground / "several" / "run",
                        "--set", "memorisation.release_gate=null")  # fmt: skip
    assert code == 0, output
    return ground / "several" / "run"


def test_variants_with_gans_of_their_own_are_done_and_named(several: Path) -> None:
    named = {row["variant"]: row["gan"] for row in rows(several, "results")}
    assert named == {
        "baseline": None, "pure_synthetic": "base", "conditional": CONDITIONAL,
        "averaged": AVERAGED,
    }  # fmt: skip
    assert {row["status"] for row in rows(several, "results")} == {"done"}


def test_a_conditional_gan_is_trained_once_on_both_classes(several: Path) -> None:
    trained = {(row["gan"], row["class"]) for row in rows(several, "gan_losses")}
    assert trained == {
        (CONDITIONAL, "both"), (AVERAGED, "pos"), ("base", "pos"), ("base", "neg"),
    }  # fmt: skip
    last = {
        (row["gan"], row["class"]): row["value"]
        for row in rows(several, "gan_losses")
        if (row["epoch"], row["name"]) == (2, "n_images_seen")
    }
    assert last[CONDITIONAL, "both"] == last["base", "pos"] + last["base", "neg"]


def test_scores_and_cards_tell_each_gans_classes_apart(several: Path) -> None:
    expected = {
        (CONDITIONAL, "pos"), (CONDITIONAL, "neg"), (AVERAGED, "pos"), ("base", "pos"),
        ("base", "neg"),
    }  # fmt: skip
    for name in ("gan_scores", "memorisation"):
        assert {(row["gan"], row["class"]) for row in rows(several, name)} == expected, name
    n_frames = result(several, "baseline")["n_pos_real"]
    for card in rows(several, "memorisation"):
        assert card["n_train"] == (2 if card["gan"] == CONDITIONAL else 1) * n_frames
    values: dict[tuple[Any, ...], set[float]] = {}
    for row in rows(several, "gan_scores"):
        place = tuple(row[k] for k in ("class", "metric", "embedder", "space"))
        if row["metric"] == "kmmd" and row["class"] == "pos" and row["space"] == "pixel":
            values.setdefault((*place, row["epoch"]), set()).add(row["value"])
    assert {len(found) for found in values.values()} == {3}, "three GANs, three sets of images"


def test_of_several_gans_one_must_be_chosen(several: Path, ground: Path, tmp_path: Path) -> None:
    store = ("--store", ground / "run" / "artifacts")
    line = refusal("export-synthetic", several, "--out", tmp_path / "out", "--class", "pos", *store)
    fit = "; ".join(f"n=2 r=1 pos {gan} epoch=2" for gan in ("base", AVERAGED, CONDITIONAL))
    assert f"several sets fit ({fit}): choose with --gan and --gan-epoch" in line
    assert not (tmp_path / "out").exists()
    line = refusal("export-synthetic", several, "--out", tmp_path / "out", "--gan", "hinge", *store)
    assert f"pos base epoch=2; n=2 r=1 pos {CONDITIONAL} epoch=2; n=2 r=1 pos {AVERAGED}" in line


def test_all_patients_of_a_conditional_gan_stand_behind_either_class(
    several: Path, ground: Path, cohorts: dict[int, list[str]], tmp_path: Path
) -> None:
    store = ("--store", ground / "run" / "artifacts")
    succeed("export-synthetic", several, "--out", tmp_path / "c", "--gan", CONDITIONAL, *store)
    succeed("export-synthetic", several, "--out", tmp_path / "a", "--gan", AVERAGED, *store)
    assert not (tmp_path / "a" / "2" / "1" / "neg").exists()
    for label in ("pos", "neg"):
        assert declared(tmp_path / "c" / "2" / "1" / label) == set(map(hashed_id, cohorts[2]))
    positive = {hashed_id(patient) for patient in cohorts[2] if "-pos-" in patient}
    assert declared(tmp_path / "a" / "2" / "1" / "pos") == positive
    card = json.loads((tmp_path / "a" / "2" / "1" / "pos" / "card.json").read_text())
    assert (card["gan"], card["generator"]["loss"]) == (AVERAGED, "hinge")


def declared(folder: Path) -> set[str]:
    with (folder / "patients.csv").open(newline="") as file:
        return {row["patient_id"] for row in csv.DictReader(file)}


# --- what goes wrong in a training -----------------------------------------------------------


def losses(run: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one loss, in order of attempt and epoch."""
    return [row for row in rows(run, "gan_losses") if row["name"] == name]


def unhealthy(folder: Path, policy: str) -> tuple[str | Path, ...]:
    """Arguments of a grid in which every epoch of every GAN is an event, and nothing else is."""
    study = write_study(folder, {}, known=("baseline", "positive_synthetic"))
    signs = "diversity_floor: 1000, patience: 1, spectral_gap_ceiling: 1000"
    health = f"gan.health={{{signs}, policy: {policy}}}"
    return (study, "--out", folder / "run", "--set", health)


def test_events_are_logged_and_told_and_the_training_goes_on(
    grid: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, output = grid(*unhealthy(tmp_path, "warn"))
    assert code == 0, output
    run = tmp_path / "run"
    (event,) = rows(run, "gan_events")
    place = [event[name] for name in ("n_patients", "replicate", "class", "gan", "attempt")]
    assert place == [2, 1, "pos", "base", 1]
    assert (event["epoch"], event["kind"]) == (1, "low_diversity")
    log = (run / "events.log").read_text()
    assert log == f"n=2 r=1 pos base attempt 1 epoch 1 low_diversity: {event['message']}\n"
    row = result(run, "positive_synthetic")
    assert (row["events_pos"], row["events_neg"]) == ("low_diversity at epoch 1", None)
    assert result(run, "baseline")["events_pos"] is None
    assert [row["epoch"] for row in losses(run, "loss_g")] == [1, 2]


def test_a_stopped_training_blocks_the_cells_that_need_it(
    grid: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, output = grid(*unhealthy(tmp_path, "stop"))
    assert code == 1, output
    row = result(tmp_path / "run", "positive_synthetic")
    assert row["status"] == "blocked"
    assert row["reason"].startswith("GAN pos n=2 r=1: Collapse: epoch 1: synthetic images differ")
    assert "the generator has collapsed" in " ".join(output.split())
    assert result(tmp_path / "run", "baseline")["status"] == "done"
    assert [row["stage"] for row in rows(tmp_path / "run", "failures")] == ["gan"]
    # Without an artifact, what went wrong is told all the same.
    assert row["events_pos"] == "low_diversity at epoch 1"
    assert [event["kind"] for event in rows(tmp_path / "run", "gan_events")] == ["low_diversity"]
    assert [loss["epoch"] for loss in losses(tmp_path / "run", "loss_g")] == [1]
    assert "low_diversity" in (tmp_path / "run" / "events.log").read_text()


def test_losses_that_are_not_finite_are_an_event_under_every_policy(
    grid: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, output = grid(
        *unhealthy(tmp_path, "warn"), "--set", "gan.lr_generator=1.0e+30",
        "--set", "gan.lr_discriminator=1.0e+30",
    )  # fmt: skip
    assert code == 1, output
    row = result(tmp_path / "run", "positive_synthetic")
    assert row["status"] == "blocked"
    assert "not_finite at epoch" in row["events_pos"]
    assert "not_finite" in (tmp_path / "run" / "events.log").read_text()


def test_a_training_that_is_tried_again_says_so(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt collapses in its second epoch, the second one does not."""

    def new_events(epochs: Sequence[GanEpoch], health: HealthSpec) -> list[Event]:
        last = epochs[-1]
        collapsed = (last.attempt, last.epoch) == (1, 2)
        return [Event(1, 2, "low_diversity", "all alike")] if collapsed else []

    monkeypatch.setattr("lussweep.models.generators.dcgan.train.new_events", new_events)
    # What is trained under other rules than ours must not lie where other tests look.
    own_store = shutil.copytree(ground / "run" / "artifacts", tmp_path / "artifacts")
    arguments = unhealthy(tmp_path, "{retry: {seeds: 1}}")
    succeed("grid", *arguments, "--backend", "inline", "--store", own_store)
    found = losses(tmp_path / "run", "loss_g")
    assert [(row["attempt"], row["epoch"]) for row in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert found[0]["value"] != found[2]["value"], "the second attempt has another seed"
    assert [event["attempt"] for event in rows(tmp_path / "run", "gan_events")] == [1]
    row = result(tmp_path / "run", "positive_synthetic")
    assert (row["status"], row["events_pos"]) == ("done", "low_diversity at epoch 2")


def test_a_training_that_collapses_each_time_fails(
    grid: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, output = grid(*unhealthy(tmp_path, "{retry: {seeds: 1}}"))
    assert code == 1, output
    row = result(tmp_path / "run", "positive_synthetic")
    assert row["status"] == "blocked"
    assert row["reason"].startswith("GAN pos n=2 r=1: Collapse: ")
