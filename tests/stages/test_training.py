"""What a training step makes of a GPU that is too small."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lussweep.errors import InputError
from lussweep.stages import Context, run_gan
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Step

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
