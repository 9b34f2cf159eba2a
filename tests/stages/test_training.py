"""The step that trains a generator: a GPU that is too small, and what it asks of a kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lussweep.backend.inline import InlineExecutor
from lussweep.backend.stop import Stop
from lussweep.errors import InputError
from lussweep.models.generators.seam import snapshot_path
from lussweep.report.losses import in_long_form
from lussweep.stages import Context, execute, run_gan
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step
from lussweep.study.spec import GENERATORS, GeneratorKind, GeneratorSpec

pytestmark = pytest.mark.any_processor


def test_too_little_gpu_memory_is_one_line_that_says_what_to_lower(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised by hand, and so are the GPU's figures: there may be none here."""

    def out_of_memory(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("lussweep.models.generators.dcgan.kind.train_gan", out_of_memory)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**8, 8 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 79 * 10**8)
    finished = ArtifactStore(uninterrupted / "artifacts")
    key = next((uninterrupted / "artifacts" / "gan").iterdir()).name
    record = finished.record(f"gan/{key}")
    step = Step("gan", record["version"], record["spec"], record["inputs"], record["name"])
    context = Context(ArtifactStore(tmp_path / "own", also_read=(finished,)), "cpu")
    with pytest.raises(InputError, match=r"out of GPU memory \(8 GB.*lower gan.batch_size"):
        run_gan(step, context, tmp_path)


# --- what a kind of generator must do --------------------------------------------------------


class NoneSpec(GeneratorSpec):
    """A generator without fields of its own."""


def save_noise(frames_NSS, label_N, spec, seed, device, folder, report) -> None:  # type: ignore[no-untyped-def]
    for epoch in spec.snapshot_epochs():
        snapshot_path(folder, epoch).write_bytes(b"noise")
        report.epoch(epoch, {"loss": 1 / epoch}, seconds=2.0)


def kind_with(train: Any = save_noise, sample: Any = None) -> GeneratorKind:
    return GeneratorKind(NoneSpec, train, lambda path, spec, image_size, device: path, sample)


def steps_of(
    finished: ArtifactStore, monkeypatch: pytest.MonkeyPatch, kind: GeneratorKind
) -> tuple[Step, Step]:
    """A generator of this kind on a finished run's cohort, and its synthetic set."""
    monkeypatch.setitem(GENERATORS, "none", kind)
    gan = NoneSpec(kind="none", n_epochs=3, snapshot_every=2)
    trained, made = (
        finished.record(f"{stage}/{next((finished.root / stage).iterdir()).name}")
        for stage in ("gan", "synth")
    )
    step = Step("gan", 1, {**trained["spec"], "gan": gan.key_fields()}, trained["inputs"])
    inputs = {**trained["inputs"], "gan": step.ref}
    spec = {**made["spec"], "class": trained["spec"]["class"], "select": {"rule": "last"}}
    return step, Step("synth", 1, spec, inputs)


def test_a_small_generator_is_trained_and_reported(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = ArtifactStore(uninterrupted / "artifacts")
    step, _ = steps_of(finished, monkeypatch, kind_with())
    own = ArtifactStore(tmp_path / "own", also_read=(finished,))
    context = Context(own, "cpu")
    execute(step, context)
    kept = sorted(path.name for path in (own.open(step.ref) / "snapshots").iterdir())
    assert kept == ["epoch_0002.safetensors", "epoch_0003.safetensors"]
    losses = tables.read(own.open(step.ref) / names.LOSSES, tables.GAN_LOSSES).to_pylist()
    found = [[row[name] for name in ("attempt", "epoch", "name", "value", "seconds")]
             for row in losses]  # fmt: skip
    assert found == [[1, 2, "loss", 1 / 2, 2.0], [1, 3, "loss", 1 / 3, 2.0]]
    assert tables.read(own.open(step.ref) / names.EVENTS, tables.GAN_EVENTS).num_rows == 0
    assert context.link.progress_text(step.ref) == "epoch 3 of 3"


def test_what_a_killed_writer_had_begun_is_no_part_of_the_artifact(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors writes under a hidden name of its own, which stays if the process is killed."""
    finished = ArtifactStore(uninterrupted / "artifacts")
    step, _ = steps_of(finished, monkeypatch, kind_with())
    own = ArtifactStore(tmp_path / "own", also_read=(finished,))
    snapshots = snapshot_path(own.workplace_of(step.ref), 1).parent
    snapshots.mkdir(parents=True)
    (snapshots / ".tmpwRawBK").write_bytes(b"half")
    execute(step, Context(own, "cpu"))
    kept = sorted(path.name for path in (own.open(step.ref) / "snapshots").iterdir())
    assert kept == ["epoch_0002.safetensors", "epoch_0003.safetensors"]


def test_a_snapshot_that_is_left_out_is_an_error_of_the_generator(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_too_few(frames, label, spec, seed, device, folder, report):  # type: ignore[no-untyped-def]
        snapshot_path(folder, 2).write_bytes(b"noise")

    finished = ArtifactStore(uninterrupted / "artifacts")
    step, _ = steps_of(finished, monkeypatch, kind_with(one_too_few))
    own = ArtifactStore(tmp_path / "own", also_read=(finished,))
    with pytest.raises(RuntimeError, match="generator none has left no snapshot of epoch 3"):
        execute(step, Context(own, "cpu"))
    assert not own.has(step.ref)


def test_images_are_sampled_in_full_precision(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN would else round convolutions to TF32, and the images would depend on the card."""
    seen = set()

    def sample(generator: Any, n_images: int, *rest: Any) -> np.ndarray:
        seen.add(torch.backends.cudnn.allow_tf32)
        return np.zeros((n_images, 64, 64), np.uint8)

    finished = ArtifactStore(uninterrupted / "artifacts")
    steps = steps_of(finished, monkeypatch, kind_with(sample=sample))
    context = Context(ArtifactStore(tmp_path / "own", also_read=(finished,)), "cpu")
    with torch.backends.cudnn.flags(allow_tf32=True):
        for step in steps:
            execute(step, context)
    assert seen == {False}


@pytest.mark.parametrize(
    "made",
    [
        lambda generator, n, *rest: np.zeros((n, 64, 64), np.float32),
        lambda generator, n, *rest: np.zeros((n + 1, 64, 64), np.uint8),
        lambda generator, n, *rest: np.zeros((n, 32, 32), np.uint8),
    ],
    ids=["floats", "too many", "too small"],
)
def test_images_of_another_form_are_an_error_of_the_generator(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    finished = ArtifactStore(uninterrupted / "artifacts")
    steps = steps_of(finished, monkeypatch, kind_with(sample=made))
    context = Context(ArtifactStore(tmp_path / "own", also_read=(finished,)), "cpu")
    execute(steps[0], context)
    with pytest.raises(RuntimeError, match=r"generator none made .*must make uint8 images \("):
        execute(steps[1], context)


@pytest.mark.parametrize(("stops", "breaks_off"), [(True, False), (False, True)])
def test_a_stop_breaks_a_training_off_unless_it_obeys(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: bool,
    breaks_off: bool,
) -> None:  # fmt: skip
    seen: list[bool] = []
    stop = Stop()

    def look(*arguments: Any) -> None:
        seen.append(stop.breaks_off)
        save_noise(*arguments)

    finished = ArtifactStore(uninterrupted / "artifacts")
    kind = replace(kind_with(look), stops=stops)
    step, _ = steps_of(finished, monkeypatch, kind)
    context = Context(ArtifactStore(tmp_path / "own", also_read=(finished,)), "cpu")
    executor = InlineExecutor(Plan({step.ref: step}), context, stop)
    executor.submit(step)
    (outcome,) = executor.wait()
    assert outcome.error is None, outcome.error
    assert seen == [breaks_off]


def test_what_a_device_cannot_do_is_refused_before_any_training(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(spec: NoneSpec, device: torch.device) -> None:
        raise InputError(f"gan.kind none does not run on {device}")

    finished = ArtifactStore(uninterrupted / "artifacts")
    step, _ = steps_of(finished, monkeypatch, replace(kind_with(), check=check))
    with pytest.raises(InputError, match=r"gan\.kind none does not run on cpu"):
        InlineExecutor(Plan({step.ref: step}), Context(ArtifactStore(tmp_path), "cpu"))


def test_losses_with_a_column_each_are_read_as_rows() -> None:
    wide = pa.table({
        "gan": pa.nulls(2, pa.string()), "attempt": [1, 1], "epoch": [1, 2],
        "n_images_seen": [40, 80], "loss_g": [0.5, None], "seconds": [1.5, 2.5],
    })  # fmt: skip
    long = in_long_form(wide)
    assert in_long_form(long) is long
    found = [tuple(row[n] for n in ("attempt", "epoch", "name", "value", "seconds"))
             for row in long.to_pylist()]  # fmt: skip
    assert found == [
        (1, 1, "n_images_seen", 40.0, 1.5), (1, 1, "loss_g", 0.5, 1.5),
        (1, 2, "n_images_seen", 80.0, 2.5), (1, 2, "loss_g", None, 2.5),
    ]  # fmt: skip
