"""The frames of a patient with several videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lussweep.data.preprocess import preprocess
from lussweep.data.sector import extremes_of
from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Stopped
from lussweep.stages import STAGES, Context
from lussweep.stages.link import OwnProcess
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.files import sha256_of
from lussweep.study.plan import Step, make_data_plan
from lussweep.study.spec import DataSpec, Manifest, PreprocessSpec, StudySpec, Video

STRIDE = 3
SPEC = PreprocessSpec(image_size=64, frame_stride=STRIDE)


@pytest.fixture
def stacks(tmp_path: Path) -> list[np.ndarray]:
    """Two videos of noise that grows from frame to frame, so that few frames show a part of it."""
    rng = np.random.default_rng(0)
    found = []
    for number, n_frames in enumerate((9, 4)):
        video = rng.integers(40, 255, (n_frames, 96, 128)).astype(np.uint8)
        for t, frame in enumerate(video):
            frame[:, 30 + 10 * (t + 1) :] = 0
        np.save(tmp_path / f"{number}.npy", video)
        found.append(video)
    return found


def step_of(folder: Path, n_videos: int) -> Step:
    videos = tuple(
        Video(patient_id="p", video_id=path.stem, label=1, split="train", sha256=sha256_of(path))
        for path in (folder / f"{i}.npy" for i in range(n_videos))
    )
    study = StudySpec(name="a", data=DataSpec(preprocess=SPEC))
    steps = make_data_plan(study, Manifest(videos=videos)).steps.values()
    (shard,) = (step for step in steps if step.stage == "shard")
    return shard


def context_of(folder: Path, is_stopped: bool = False) -> Context:
    paths = {sha256_of(path): str(path) for path in folder.glob("*.npy")}
    link = OwnProcess(lambda: is_stopped)
    return Context(ArtifactStore(folder / "store"), "cpu", paths, link=link)


def test_the_videos_of_a_patient_follow_each_other(
    tmp_path: Path, stacks: list[np.ndarray]
) -> None:
    summary = STAGES["shard"](step_of(tmp_path, 2), context_of(tmp_path), tmp_path)
    assert summary == {"n_frames": 3 + 2, "n_videos": 2}
    expected = [preprocess(s[::STRIDE], SPEC, extremes_of(s)) for s in stacks]
    frames, masks = np.load(tmp_path / "frames.npy"), np.load(tmp_path / "masks.npy")
    np.testing.assert_array_equal(frames, np.concatenate([frames for frames, _ in expected]))
    np.testing.assert_array_equal(masks, [mask for _, mask in expected])
    _, of_kept = preprocess(stacks[0][::STRIDE], SPEC)
    assert (masks[0] != of_kept).any(), "the mask is that of all frames"


def test_the_last_annotated_frame_may_not_lie_behind_the_last_one_of_the_video(
    tmp_path: Path, stacks: list[np.ndarray]
) -> None:
    """Who counts from 1 annotates frame 4 of 4. A stride of 3 keeps frame 3, which is before 4."""
    (tmp_path / "0.npy").unlink()
    context = context_of(tmp_path)
    (sha256,) = context.video_paths
    study = StudySpec(name="a", data=DataSpec(preprocess=SPEC))
    for last, is_beyond in ((3, False), (4, True)):
        video = Video(
            patient_id="p", video_id="v", label=1, split="train", sha256=sha256,
            annotated_frames=(last,),
        )  # fmt: skip
        plan = make_data_plan(study, Manifest(videos=(video,)))
        (shard,) = (step for step in plan.steps.values() if step.stage == "shard")
        if is_beyond:
            with pytest.raises(InputError, match="frame 4 is annotated, the video ends before it"):
                STAGES["shard"](shard, context, tmp_path)
        else:
            STAGES["shard"](shard, context, tmp_path)


def test_a_stop_is_obeyed_between_two_videos(tmp_path: Path, stacks: list[np.ndarray]) -> None:
    context = context_of(tmp_path, is_stopped=True)
    with pytest.raises(Stopped, match="after 1 of 2 videos"):
        STAGES["shard"](step_of(tmp_path, 2), context, tmp_path)
    assert STAGES["shard"](step_of(tmp_path, 1), context, tmp_path)["n_videos"] == 1


def test_frames_of_another_file_than_the_one_that_was_listed_are_refused(
    tmp_path: Path, stacks: list[np.ndarray]
) -> None:
    """Else they would be in the store under the key of that file for ever."""
    step, context = step_of(tmp_path, 1), context_of(tmp_path)
    (tmp_path / "1.npy").replace(tmp_path / "0.npy")
    with pytest.raises(InputError, match=r"video 0 of patient p: .*0\.npy is not the file"):
        STAGES["shard"](step, context, tmp_path)
