import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from lussweep.metrics.spectral_gap import RealPattern
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.generators.dcgan.health import (
    Collapse,
    Event,
    GanEpoch,
    largest_gap,
    learning_events,
    mean_distance,
    new_events,
    sampled_distance,
)
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import sample
from lussweep.models.generators.dcgan.step import GanStep
from lussweep.study.keys import derive_seed
from lussweep.study.spec import HealthSpec
from support.trainings import (
    CPU,
    STANDS_STILL,
    copy_of,
    equal,
    judge_by,
    random_frames,
    spec_of,
    train,
    without_seconds,
)

pytestmark = pytest.mark.any_processor

RETRY = {"retry": {"seeds": 2}}


def frames_of(low, high, n=16):
    return np.random.default_rng(0).integers(low, high, (n, 16, 16), dtype=np.uint8)


def still_spec(health, **changes):
    """A generator that stands still makes images that are nearly all alike."""
    return spec_of(lr_generator=STANDS_STILL, health=health, **changes)


# --- events as a function of rows ---------------------------------------------------------

HEALTHY = GanEpoch(
    attempt=1, epoch=1, n_images_seen=10, loss_d_real=0.6, loss_d_fake=0.6, loss_g=0.8, r1=0.0,
    d_accuracy_real=0.8, d_accuracy_fake=0.7, g_gradient_norm=1.0, diversity=0.9, seconds=1.0,
)  # fmt: skip
WON = {"d_accuracy_real": 1.0, "d_accuracy_fake": 1.0, "g_gradient_norm": 1e-3}
ALIKE = {"diversity": 0.05}


def events_of(changes, health, first=HEALTHY):
    """The events of a training whose epochs differ from a healthy one by these changes."""
    rows = [replace(first, epoch=k, **change) for k, change in enumerate(changes, start=1)]
    found = []
    for n in range(1, len(rows) + 1):
        found += new_events(rows[:n], health)
    return [(event.epoch, event.kind) for event in found]


def test_healthy_epochs_make_no_event():
    assert events_of([{}] * 10, HealthSpec()) == []


@pytest.mark.parametrize(("sign", "kind"), [(WON, "discriminator_won"), (ALIKE, "low_diversity")])
@pytest.mark.parametrize("patience", [1, 2, 3, 5])
def test_an_event_begins_once_and_only_after_patience_epochs_in_a_row(sign, kind, patience):
    health = HealthSpec(patience=patience)
    assert events_of([{}, *[sign] * (patience - 1), {}, {}], health) == []
    for n_more in (0, 1, 7):
        assert events_of([{}, *[sign] * (patience + n_more)], health) == [(1 + patience, kind)]
    broken = [{}, *([*[sign] * (patience - 1), {}] * 3)]
    assert events_of(broken, health) == []


@pytest.mark.parametrize(("sign", "kind"), [(WON, "discriminator_won"), (ALIKE, "low_diversity")])
def test_after_a_recovery_it_begins_again(sign, kind):
    lasting = [sign] * 3
    found = events_of([{}, *lasting, {}, *lasting, {}, *lasting[:2]], HealthSpec(patience=3))
    assert found == [(4, kind), (8, kind)]


def test_both_signals_have_their_own_events():
    both = {**WON, **ALIKE}
    found = events_of([{}, ALIKE, both, both], HealthSpec(patience=2))
    assert found == [(3, "low_diversity"), (4, "discriminator_won")]


@pytest.mark.parametrize(
    "short", [{"d_accuracy_real": 0.99}, {"d_accuracy_fake": 0.99}, {"g_gradient_norm": 0.02}]
)
def test_a_discriminator_has_won_only_if_all_signs_are_there(short):
    assert events_of([{}, *[{**WON, **short}] * 5], HealthSpec()) == []


def test_the_gradient_is_held_against_that_of_the_first_epoch():
    faint = replace(HEALTHY, g_gradient_norm=1e-3)
    assert events_of([{}, *[WON] * 5], HealthSpec(), first=faint) == []
    assert events_of([{}, *[WON] * 5], HealthSpec(gradient_floor=0.0)) == []


def test_floors_are_those_of_the_spec():
    changes = [{"diversity": 0.3}] * 4
    assert events_of(changes, HealthSpec(patience=2)) == []
    health = HealthSpec(patience=2, diversity_floor=0.31)
    assert events_of(changes, health) == [(2, "low_diversity")]


@pytest.mark.parametrize("name", ["loss_d_real", "loss_d_fake", "loss_g", "r1", "diversity"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_an_event_at_once(name, value):
    assert events_of([{}, {name: value}], HealthSpec(patience=9)) == [(2, "not_finite")]


@pytest.mark.parametrize(
    ("gap", "ceiling", "found"),
    [(0.5, 0.5, 0), (0.51, 0.5, 1), (0.51, 0.6, 0), (math.nan, 0.5, 0)],
)
def test_a_gan_has_not_learned_if_its_gap_is_above_the_ceiling(gap, ceiling, found):
    events = learning_events(HEALTHY, gap, HealthSpec(spectral_gap_ceiling=ceiling))
    assert [event.kind for event in events] == ["not_learned"] * found


def test_messages_name_the_remedy():
    rows = [HEALTHY, *[replace(HEALTHY, epoch=k, **WON) for k in (2, 3, 4)]]
    (event,) = new_events(rows, HealthSpec())
    assert "1.0e-03 of the first epoch's): lower gan.lr_discriminator" in event.message
    (event,) = new_events([replace(HEALTHY, loss_g=math.nan)], HealthSpec())
    assert event.message.endswith("lower gan.lr_generator and gan.lr_discriminator")


def test_a_collapse_can_be_sent_to_another_process():
    collapse = Collapse(Event(2, 7, "low_diversity", "all alike"))
    sent = pickle.loads(pickle.dumps(collapse))
    assert (sent.event, str(sent)) == (collapse.event, "epoch 7: all alike")


# --- diversity ----------------------------------------------------------------------------


def test_diversity_is_the_mean_distance_over_pairs():
    images = torch.rand(7, 1, 4, 4)
    flat = images.flatten(1).double().numpy()
    pairs = [np.sqrt(((flat[i] - flat[j]) ** 2).sum()) for i in range(7) for j in range(i)]
    assert mean_distance(images).item() == pytest.approx(np.mean(pairs), rel=1e-9)
    assert mean_distance(images[:1].expand(5, 1, 4, 4)).item() == 0


@pytest.mark.parametrize("is_training", [True, False])
def test_looking_at_diversity_leaves_the_generator_as_it_was(is_training):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(16, 6, 2).train(is_training)
        z = torch.randn(8, 6)
    before = copy_of(generator)
    distance = sampled_distance(generator, z, None)
    assert equal(copy_of(generator), before)
    assert generator.training == is_training
    with torch.no_grad():
        assert distance == mean_distance(generator.train()(z))


# --- real collapses -----------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["warn", "stop"])
def test_losses_that_are_no_longer_finite_end_a_training_under_every_policy(policy):
    rates = {"lr_generator": 1e30, "lr_discriminator": 1e30}
    spec = spec_of(n_epochs=50, health={"policy": policy}, **rates)
    expected = r"^epoch \d+: the losses are no longer finite: lower gan\.lr_generator"
    with pytest.raises(Collapse, match=expected) as raised:
        train(random_frames(8), spec)
    assert raised.value.event.kind == "not_finite"
    assert raised.value.event.epoch < 50


def paint_white(generator, weight):
    """Every pixel is the tanh of `weight` times 2 to 8: each of the 2 maps before the last layer is
    1 everywhere, and a pixel lies under 1 to 4 of its kernels."""
    *_, norm, _, last, _ = generator.layers
    with torch.no_grad():
        norm.weight.zero_()
        norm.bias.fill_(1.0)
        last.weight.fill_(weight)


@pytest.mark.parametrize(("weight", "is_won"), [(100.0, True), (0.1, False)], ids=["white", "grey"])
def test_a_discriminator_that_is_always_right_has_won_only_where_pixels_have_saturated(
    weight, is_won, monkeypatch
):
    """After its first epoch the generator is made to paint all images white, where tanh has no
    slope, or light grey, where it has one. The discriminator takes dark images for real, as all
    frames are, so that it is right about every image of both."""

    def dark(first, last):
        first.fill_(1.0)
        last.fill_(-1.0)

    def after_epoch(row, generator, due):
        if row.epoch == 1:
            paint_white(generator, weight)

    judge_by(monkeypatch, dark)
    rates = {"lr_generator": STANDS_STILL, "lr_discriminator": STANDS_STILL}
    spec = spec_of(n_epochs=6, dropout=0.0, health={"diversity_floor": 0.0}, **rates)
    trained, _ = train(frames_of(0, 100)[:, :8, :8], spec, on_epoch=after_epoch)
    first, *later = trained.rows
    assert [(row.d_accuracy_real, row.d_accuracy_fake) for row in later] == [(1.0, 1.0)] * 5
    has_vanished = [r.g_gradient_norm < 0.01 * first.g_gradient_norm for r in later]
    assert has_vanished == [is_won] * 5
    expected = [(1, 1 + spec.health.patience, "discriminator_won")] if is_won else []
    assert [(e.attempt, e.epoch, e.kind) for e in trained.events] == expected
    assert len(trained.rows) == 6, "the policy warns, and the training goes on"


def test_a_generator_that_makes_one_image_has_low_diversity():
    trained, _ = train(frames_of(0, 256), still_spec({}, n_epochs=6))
    assert [(e.attempt, e.epoch, e.kind) for e in trained.events] == [(1, 3, "low_diversity")]
    assert trained.events[0].message.endswith("the generator has collapsed")
    assert len(trained.rows) == 6
    assert all(0 < row.diversity < 0.1 for row in trained.rows)


def test_frames_that_are_all_the_same_are_no_reason_to_divide_by_nothing():
    trained, _ = train(np.full((8, 16, 16), 90, np.uint8), spec_of())
    assert math.isfinite(trained.rows[0].diversity)


def test_stop_ends_the_training_at_the_event_with_its_message():
    done = []
    spec = still_spec({"policy": "stop", "patience": 2}, n_epochs=6)
    with pytest.raises(Collapse, match=r"^epoch 2: .*the generator has collapsed$"):
        train(frames_of(0, 256), spec, on_epoch=lambda row, g, due: done.append(row.epoch))
    assert done == [1]


# --- has it learned -----------------------------------------------------------------------


def pattern_of(frames):
    return RealPattern.of(frames, np.ones(frames.shape, bool), seed=0)


def striped_frames(n=16):
    """Dark frames with a few bright lines and noise: their local contrast has a pattern."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 40, (n, 16, 16))
    frames[:, 3] += 200
    return frames.astype(np.uint8)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_gap_of_a_training_is_that_of_its_last_generator(conditional):
    frames = striped_frames()
    spec = spec_of(n_epochs=2, conditional=conditional)
    patterns = {label: pattern_of(frames[label::2]) for label in range(1 + conditional)}
    trained, _ = train(frames, spec, patterns=patterns)
    look = derive_seed(1, "has learned")
    gaps = [
        pattern.gap(
            sample(
                trained.generator, 8, batchnorm="batch", batch_size=spec.batch_size, seed=look,
                device=CPU, class_label=label,
            )
        )
        for label, pattern in patterns.items()
    ]  # fmt: skip
    assert float(largest_gap(trained.generator, patterns, spec.batch_size, look, CPU)) == max(gaps)
    assert [(e.epoch, e.kind) for e in trained.events] == [(2, "not_learned")]
    assert f"spectral gap {max(gaps):.2g}, above 0.5" in trained.events[0].message


def test_looking_at_the_gap_changes_no_training():
    frames = striped_frames()
    (alone, _), (watched, _) = (
        train(frames, spec_of(n_epochs=2), **options)
        for options in ({}, {"patterns": {1: pattern_of(frames)}})
    )
    assert equal(copy_of(alone.generator), copy_of(watched.generator))
    assert without_seconds(alone.rows) == without_seconds(watched.rows)


def test_frames_without_a_pattern_make_no_event():
    frames = random_frames(16)
    trained, _ = train(frames, spec_of(n_epochs=1), patterns={1: pattern_of(frames)})
    assert trained.events == []


def test_retry_tries_every_seed_of_a_gan_that_does_not_learn():
    frames = striped_frames()
    spec = spec_of(n_epochs=2, health={"policy": RETRY})
    with pytest.raises(
        Collapse, match=r"^epoch 2: .*has not learned; raise gan\.n_epochs"
    ) as raised:
        train(frames, spec, patterns={1: pattern_of(frames)})
    found = [(e.attempt, e.epoch, e.kind) for e in raised.value.events]
    assert found == [(attempt, 2, "not_learned") for attempt in (1, 2, 3)]


# --- beginning again ----------------------------------------------------------------------


def seed_whose_second_attempt_is_better(frames):
    """A seed, and a floor that its first attempt misses and its second one reaches."""
    for seed in range(20):
        seeds = (seed, derive_seed(seed, "attempt", 2))
        spec = still_spec({"diversity_floor": 0.0})
        first, second = (train(frames, spec, seed=s)[0].rows[0].diversity for s in seeds)
        if second > 1.2 * first:
            return seed, (first + second) / 2
    raise AssertionError("of 20 seeds none begins worse than it goes on")


def retry_spec(floor, **changes):
    health = {"policy": RETRY, "diversity_floor": floor, "patience": 2}
    return still_spec(health, n_epochs=3, **changes)


def test_retry_goes_on_from_another_seed_and_keeps_the_rows_of_both():
    frames = frames_of(0, 256)
    seed, floor = seed_whose_second_attempt_is_better(frames)
    trained, snapshots = train(frames, retry_spec(floor), seed=seed)
    found = [(row.attempt, row.epoch) for row in trained.rows]
    assert found == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert [(e.attempt, e.epoch, e.kind) for e in trained.events] == [(1, 2, "low_diversity")]
    assert [row.n_images_seen for row in trained.rows] == [16, 32, 16, 32, 48]
    second_seed = derive_seed(seed, "attempt", 2)
    alone, own_snapshots = train(frames, still_spec({}, n_epochs=3), seed=second_seed)
    assert equal(copy_of(trained.generator), copy_of(alone.generator))
    assert all(equal(snapshots[k], own_snapshots[k]) for k in (1, 2, 3))
    second = [{**row, "attempt": 1} for row in without_seconds(trained.rows[2:])]
    assert second == without_seconds(alone.rows)


def test_a_healthy_first_attempt_is_the_only_one():
    trained, _ = train(frames_of(0, 256), retry_spec(0.0))
    assert {row.attempt for row in trained.rows} == {1}


@pytest.mark.parametrize("kind", ["low_diversity", "not_finite"])
def test_retry_fails_when_no_seed_is_left(kind):
    seen = []
    if kind == "low_diversity":
        frames, spec, epochs = frames_of(0, 256), retry_spec(9.0), [1] * 3
    else:
        rates = {"lr_generator": 1e30, "lr_discriminator": 1e30}
        frames, spec = random_frames(8), spec_of(n_epochs=50, health={"policy": RETRY}, **rates)
        epochs = None
    with pytest.raises(Collapse) as raised:
        train(frames, spec, on_epoch=lambda row, g, due: seen.append((row.attempt, row.epoch)))
    assert (raised.value.event.attempt, raised.value.event.kind) == (3, kind)
    if epochs:
        assert seen == [(1, 1), (2, 1), (3, 1)]


class Killed(BaseException):
    pass


@pytest.mark.unhurried
def test_a_retry_that_is_killed_goes_on_with_its_own_attempt(tmp_path, monkeypatch):
    """Killed at each step of both attempts; what ends is what an uninterrupted training ends in."""
    frames = frames_of(0, 256, n=8)
    seed, floor = seed_whose_second_attempt_is_better(frames)
    spec = retry_spec(floor)
    whole, whole_snapshots = train(frames, spec, seed=seed)
    assert [row.attempt for row in whole.rows] == [1, 1, 2, 2, 2]
    original, n_steps = GanStep.__call__, []

    for k in range(1, 2 * len(whole.rows) + 1):
        n_steps.clear()

        def die_at_the_kth(step, *arguments, k=k):
            n_steps.append(1)
            if len(n_steps) == k:
                raise Killed
            original(step, *arguments)

        snapshots, folder = {}, tmp_path / str(k)
        monkeypatch.setattr(GanStep, "__call__", die_at_the_kth)
        with pytest.raises(Killed):
            train(frames, spec, seed, snapshots, checkpoints=Checkpoints(folder, "key", 0))
        monkeypatch.setattr(GanStep, "__call__", original)
        checkpoints = Checkpoints(folder, "key", 0)
        resumed, _ = train(frames, spec, seed, snapshots, checkpoints=checkpoints)
        assert without_seconds(resumed.rows) == without_seconds(whole.rows)
        assert resumed.events == whole.events
        assert all(equal(snapshots[epoch], whole_snapshots[epoch]) for epoch in (1, 2, 3))
