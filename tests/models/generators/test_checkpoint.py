import os
import random
import shutil
import time
from dataclasses import dataclass

import pytest
import torch

from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.models.generators import checkpoint as module
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.generators.dcgan.step import GanStep
from lussweep.stages import Context, execute
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import load_study
from support import gang
from support.commands import TINY
from support.trainings import (
    EVERYTHING,
    copy_of,
    equal,
    random_frames,
    spec_of,
    train,
    without_seconds,
)

pytestmark = pytest.mark.any_processor

FRAMES = random_frames(10)[:, :16, :16]
N_BATCHES = 3
OPTIONS = {"dropout": {}, "no dropout": {"dropout": 0.0}, "everything": EVERYTHING}


class Killed(BaseException):
    pass


def every_step(folder, key="key", **options):
    return Checkpoints(folder, key, minutes=0, **options)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def spec_with(name):
    rates = {"lr_generator": 1e-3, "lr_discriminator": 1e-3}
    return spec_of(n_epochs=2, **rates, **OPTIONS[name])


@pytest.fixture(scope="module")
def uninterrupted():
    """Rows and snapshots of each of the specs, trained in one go."""
    done = {}

    def of(name):
        if name not in done:
            trained, snapshots = train(FRAMES, spec_with(name))
            done[name] = (without_seconds(trained.rows), snapshots)
        return done[name]

    return of


def dying(function, at, after=False):
    """`function`, whose nth call kills the training, before or after its work."""
    n_calls = []

    def call(*arguments, **options):
        n_calls.append(1)
        if len(n_calls) == at and not after:
            raise Killed
        result = function(*arguments, **options)
        if len(n_calls) == at:
            raise Killed
        return result

    return call


PLACES = {
    "before a step": (GanStep, "__call__", False),
    "between the networks' updates": (GanStep, "_generator_loss", False),
    "after a step": (GanStep, "__call__", True),
    "while saving": (os, "fsync", False),
    "after saving": (Checkpoints, "save", True),
}


def same_as_uninterrupted(spec, expected, folder, snapshots, **options):
    """Start the killed training again, to its end."""
    resumed, _ = train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(folder, **options))
    rows, expected_snapshots = expected
    assert without_seconds(resumed.rows) == rows
    assert snapshots.keys() == expected_snapshots.keys() == {1, 2}
    assert all(equal(snapshots[epoch], expected_snapshots[epoch]) for epoch in (1, 2))
    assert equal(copy_of(resumed.generator), expected_snapshots[2])


# --- going on from a kill -----------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "at",
    [1, 2, N_BATCHES, N_BATCHES + 1, 2 * N_BATCHES],
    ids=["first batch", "mid-epoch", "last of an epoch", "first of the second", "the very last"],
)
def test_a_killed_training_ends_as_an_uninterrupted_one_to_the_bit(
    name, place, at, uninterrupted, tmp_path, monkeypatch
):
    spec, snapshots = spec_with(name), {}
    owner, attribute, after = PLACES[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, dying(getattr(owner, attribute), at, after))
        with pytest.raises(Killed):
            train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(tmp_path))
    same_as_uninterrupted(spec, uninterrupted(name), tmp_path, snapshots)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_training_that_is_killed_right_after_an_epoch_goes_on(name, at, uninterrupted, tmp_path):
    spec, snapshots = spec_with(name), {}

    def die(row, generator, due):
        if row.epoch == at:
            raise Killed

    with pytest.raises(Killed):
        train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(tmp_path), on_epoch=die)
    assert list(snapshots) == list(range(1, at + 1))
    same_as_uninterrupted(spec, uninterrupted(name), tmp_path, snapshots)


@dataclass
class EverySecond(Checkpoints):
    """Due at every second step alone, so that a killed training has steps to do again."""

    n_asked: int = 0

    def seconds_since(self):
        self.n_asked += 1
        return 0.0 if self.n_asked % 2 else float("inf")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("at", range(1, 2 * N_BATCHES + 1))
def test_steps_since_the_last_checkpoint_are_done_again(
    name, at, uninterrupted, tmp_path, monkeypatch
):
    spec, snapshots, expected = spec_with(name), {}, uninterrupted(name)
    with monkeypatch.context() as patch:
        patch.setattr(GanStep, "__call__", dying(GanStep.__call__, at))
        with pytest.raises(Killed):
            train(FRAMES, spec, snapshots=snapshots, checkpoints=EverySecond(tmp_path, "key", 1))
    n_saved = (at - 1) // 2
    assert len(list(tmp_path.glob("*.pt"))) == min(2, n_saved)
    original, n_steps = GanStep.__call__, []

    def count(step, *arguments):
        n_steps.append(1)
        original(step, *arguments)

    monkeypatch.setattr(GanStep, "__call__", count)
    same_as_uninterrupted(spec, expected, tmp_path, snapshots)
    assert len(n_steps) == 2 * N_BATCHES - 2 * n_saved


def test_a_training_that_is_killed_again_and_again_ends_all_the_same(
    uninterrupted, tmp_path, monkeypatch
):
    """It never gets further than two steps at a time."""
    spec, snapshots, n_kills = spec_with("everything"), {}, 0
    while n_kills < 2 * N_BATCHES - 1:
        with monkeypatch.context() as patch:
            patch.setattr(GanStep, "__call__", dying(GanStep.__call__, 2))
            with pytest.raises(Killed):
                train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(tmp_path))
        n_kills += 1
    same_as_uninterrupted(spec, uninterrupted("everything"), tmp_path, snapshots)


def test_a_finished_training_that_is_asked_for_again_gives_the_same(uninterrupted, tmp_path):
    spec = spec_with("dropout")
    train(FRAMES, spec, checkpoints=every_step(tmp_path))
    for snapshots in ({}, {}):
        resumed, _ = train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(tmp_path))
        assert without_seconds(resumed.rows) == uninterrupted("dropout")[0]
        assert equal(snapshots[2], uninterrupted("dropout")[1][2])


def test_time_spent_before_a_kill_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(GanStep, "__call__", dying(slow(GanStep.__call__), N_BATCHES))
    with pytest.raises(Killed):
        train(FRAMES, spec_of(), checkpoints=every_step(tmp_path))
    monkeypatch.undo()
    resumed, _ = train(FRAMES, spec_of(), checkpoints=every_step(tmp_path))
    assert resumed.rows[0].seconds > 0.2


def slow(function):
    def call(*arguments):
        time.sleep(0.1)
        return function(*arguments)

    return call


# --- a real kill --------------------------------------------------------------------------


@pytest.mark.unhurried
def test_a_step_that_is_killed_at_random_moments_makes_the_same_artifact(tmp_path):
    study = load_study(TINY, overrides=["gan.n_epochs=12", "gan.snapshot_every=3"])
    study = study.with_embedders(False)
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True, only={"variant": ["positive_synthetic"]})
    gan = next(step for step in plan.steps.values() if step.stage == "gan")

    def prepare(ref, context):
        for needed in plan.steps[ref].inputs.values():
            prepare(needed, context)
        if ref != gan.ref:
            execute(plan.steps[ref], context)

    whole = Context(ArtifactStore(tmp_path / "whole"), "cpu")
    prepare(gan.ref, whole)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    execute(gan, whole)

    killed = Context(ArtifactStore(tmp_path / "killed"), "cpu", checkpoint_minutes=0)
    checkpoints = killed.store.workplace_of(gan.ref) / "checkpoints"
    dice, n_kills = random.Random(os.getpid()), 0
    while not killed.store.has(gan.ref):
        before, until = newest(checkpoints), time.monotonic() + 60
        process = gang.start(gang.kill_step, gan, killed)
        if n_kills < 4:
            while newest(checkpoints) == before and process.is_alive():
                assert time.monotonic() < until
                time.sleep(0.002)
            time.sleep(dice.random() * 0.05)
            n_kills += process.is_alive()
            process.kill()
        process.join(60)
        assert process.exitcode in (0, -9)
    assert n_kills >= 2

    made, expected = (context.store.open(gan.ref) for context in (killed, whole))
    names = files(expected / "snapshots")
    assert files(made / "snapshots") == names and len(names) == 4
    for name in names:
        assert (made / "snapshots" / name).read_bytes() == (
            expected / "snapshots" / name
        ).read_bytes()
    assert not killed.store.workplace_of(gan.ref).exists(), "gone with the commit"


def newest(folder):
    return max((path.name for path in folder.glob("*.pt")), default="")


# --- files --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_kept", [1, 2, 3])
def test_the_latest_few_are_kept(tmp_path, n_kept):
    checkpoints = every_step(tmp_path, n_kept=n_kept)
    for n in range(1, 6):
        checkpoints.save({"n": n})
        found = [int(name[11:19]) for name in files(tmp_path)]
        assert found == list(range(max(1, n - n_kept + 1), n + 1))
    assert checkpoints.load()["n"] == 5


def test_numbers_go_on_from_those_that_are_there(tmp_path):
    every_step(tmp_path).save({"n": 1})
    every_step(tmp_path).save({"n": 2})
    assert files(tmp_path) == ["checkpoint_00000001.pt", "checkpoint_00000002.pt"]


def test_there_is_none_at_first(tmp_path):
    assert every_step(tmp_path / "nowhere").load() is None


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_empty(path):
    path.write_bytes(b"")


def damage_noise(path):
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-1])


def damage_text(path):
    path.write_text("not a checkpoint")


def damage_other(path):
    torch.save([1, 2, 3], path)


DAMAGES = [damage_cut, damage_empty, damage_noise, damage_end, damage_text, damage_other]


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_taken(damage, tmp_path, uninterrupted):
    spec, snapshots = spec_with("dropout"), {}
    train(FRAMES, spec, snapshots=snapshots, checkpoints=every_step(tmp_path))
    assert files(tmp_path) == ["checkpoint_00000005.pt", "checkpoint_00000006.pt"]
    damage(tmp_path / "checkpoint_00000006.pt")
    assert every_step(tmp_path).load()["n_batches"] == N_BATCHES - 1
    same_as_uninterrupted(spec, uninterrupted("dropout"), tmp_path, snapshots)


def test_whatever_noise_does_to_a_checkpoint_it_is_read_as_written_or_not_at_all(tmp_path):
    """torch.load alone would take one in ten of these for whole, with other values in it."""
    checkpoints, dice = every_step(tmp_path), random.Random(0)
    weights = torch.rand(50)
    checkpoints.save({"rows": [{"loss": 0.5}], "weights": weights})
    (path,) = tmp_path.iterdir()
    whole, n_refused = path.read_bytes(), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 3, 30])):
            damaged[dice.randrange(len(whole))] = dice.randrange(256)
        path.write_bytes(damaged)
        found = checkpoints.load()
        n_refused += found is None
        if found is not None:
            assert found.keys() == {"key", "number", "rows", "weights"}
            assert found["rows"] == [{"loss": 0.5}]
            assert (found["weights"] == weights).all()
    assert 100 < n_refused < 300, "some bytes lie between the records"


def test_if_all_are_damaged_training_begins_again(tmp_path, uninterrupted):
    spec = spec_with("dropout")
    train(FRAMES, spec, checkpoints=every_step(tmp_path))
    for path in tmp_path.iterdir():
        damage_cut(path)
    same_as_uninterrupted(spec, uninterrupted("dropout"), tmp_path, {})


def test_a_file_that_was_not_finished_is_never_read(tmp_path, monkeypatch):
    every_step(tmp_path).save({"n": 1})
    monkeypatch.setattr(os, "fsync", dying(os.fsync, 1))
    with pytest.raises(Killed):
        every_step(tmp_path).save({"n": 2})
    monkeypatch.undo()
    assert files(tmp_path) == ["checkpoint_00000001.pt"], "what an error leaves is deleted"
    half = tmp_path / ".checkpoint_00000002.pt.partial"
    half.write_bytes((tmp_path / "checkpoint_00000001.pt").read_bytes()[:100])  # a kill's remains
    assert every_step(tmp_path).load()["n"] == 1
    every_step(tmp_path).save({"n": 3})
    assert files(tmp_path) == ["checkpoint_00000001.pt", "checkpoint_00000002.pt"]
    assert every_step(tmp_path).load()["n"] == 3


def test_a_checkpoint_of_another_training_is_an_input_error_that_names_both(tmp_path):
    train(FRAMES, spec_of(), checkpoints=every_step(tmp_path, "aaaa0000"))
    before = files(tmp_path)
    with pytest.raises(InputError, match=r"aaaa0000, this one is bbbb1111.*delete the folder"):
        train(FRAMES, spec_of(), checkpoints=every_step(tmp_path, "bbbb1111"))
    assert files(tmp_path) == before


# --- how often ----------------------------------------------------------------------------


@pytest.fixture
def a_minute_a_step(tmp_path, monkeypatch):
    """The clock, and what lay in the folder before each step."""
    clock, found = [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    original = GanStep.__call__

    def a_minute(step, *arguments):
        found.append(files(tmp_path))
        clock[0] += 60.0
        original(step, *arguments)

    monkeypatch.setattr(GanStep, "__call__", a_minute)
    return clock, found


def test_checkpoints_are_left_when_their_minutes_are_over_and_not_before(tmp_path, a_minute_a_step):
    _, found = a_minute_a_step
    spec = spec_of(n_epochs=3)
    train(FRAMES, spec, checkpoints=Checkpoints(tmp_path, "key", minutes=4, saved_at=0))
    found.append(files(tmp_path))
    assert [len(names) for names in found] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_before_its_machine_goes_a_training_leaves_them_more_often(tmp_path, a_minute_a_step):
    """It is told after the 4th of 9 steps; a minute a step is more than it then waits."""
    clock, found = a_minute_a_step
    checkpoints = Checkpoints(
        tmp_path, "key", minutes=60, n_kept=9, saved_at=0, end_is_near=lambda: clock[0] >= 240
    )
    train(FRAMES, spec_of(n_epochs=3), checkpoints=checkpoints)
    found.append(files(tmp_path))
    assert [len(names) for names in found] == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


def test_a_short_training_leaves_none(tmp_path):
    train(FRAMES, spec_of(n_epochs=2), checkpoints=Checkpoints(tmp_path / "none", "key"))
    assert not (tmp_path / "none").exists()


def test_checkpoints_change_no_weight(uninterrupted, tmp_path):
    for name in OPTIONS:
        _, snapshots = train(FRAMES, spec_with(name), checkpoints=every_step(tmp_path / name))
        assert all(equal(snapshots[k], uninterrupted(name)[1][k]) for k in (1, 2))


def test_a_checkpoint_is_asked_for_by_its_number_or_refused(tmp_path):
    """All ranks go on from the one that the first of them could read."""
    checkpoints = every_step(tmp_path)
    for n in (1, 2):
        checkpoints.save({"n": n})
    assert (checkpoints.load(1)["n"], checkpoints.load(2)["number"]) == (1, 2)
    with pytest.raises(InputError, match="has no checkpoint 7: all workers share it"):
        checkpoints.load(7)
    damage_cut(tmp_path / "checkpoint_00000001.pt")
    with pytest.raises(InputError, match=r"checkpoint 1 in .* cannot be read"):
        checkpoints.load(1)
