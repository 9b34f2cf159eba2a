"""Laws of the simulator: who determines what, where a lesion shows, what stays black."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from lussweep.data import phantom
from lussweep.data.phantom import phantom_manifest, render_video, sector_mask
from lussweep.study.spec import SPLITS, PhantomSpec, Video

SEED = 7
SMALL = PhantomSpec(train_patients=6, val_patients=2, holdout_patients=3)


def _videos(label: int, n: int) -> list[Video]:
    return [v for v in phantom_manifest(SMALL, SEED).videos if v.label == label][:n]


def _with_label(video: Video, label: int) -> Video:
    return video.model_copy(update={"label": label})


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_same_seed_same_bytes_other_seed_other_bytes():
    for video in (*_videos(0, 2), *_videos(1, 2)):
        frames = render_video(video, 2, 64, SEED)
        assert frames.dtype == np.uint8 and frames.shape == (2, 64, 64)
        assert frames.tobytes() == render_video(video, 2, 64, SEED).tobytes()
        assert frames.tobytes() != render_video(video, 2, 64, SEED + 1).tobytes()


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_black_outside_the_sector_and_alive_inside(size):
    for video in (*_videos(0, 2), *_videos(1, 2)):
        frames = render_video(video, 3, size, SEED)
        sector = sector_mask(video.patient_id, size, SEED)
        assert not frames[:, ~sector].any()
        assert frames[:, sector].mean() > 20
        assert 0.2 < sector.mean() < 0.9


def test_each_patient_has_a_sector_of_their_own():
    patients = {v.patient_id for v in phantom_manifest(SMALL, SEED).videos}
    shapes = {sector_mask(patient, 128, SEED).tobytes() for patient in patients}
    assert len(shapes) == len(patients)


def test_splits_have_their_patients_and_share_none():
    manifest = phantom_manifest(SMALL, SEED)
    by_split = {split: manifest.patients(split) for split in SPLITS}
    for a, b in combinations(SPLITS, 2):
        assert not by_split[a].keys() & by_split[b].keys()
    for split in SPLITS:
        n = getattr(SMALL, f"{split}_patients")
        positive = [any(v.label for v in videos) for videos in by_split[split].values()]
        assert sum(positive) == n and len(positive) == 2 * n
        assert all(len(v) == SMALL.videos_per_patient for v in by_split[split].values())
    assert len({v.video_id for v in manifest.videos}) == len(manifest.videos)
    assert len({v.sha256 for v in manifest.videos}) == len(manifest.videos)


def test_about_a_quarter_of_positive_patients_have_a_healthy_zone():
    manifest = phantom_manifest(PhantomSpec(train_patients=400, videos_per_patient=3), SEED)
    patients = manifest.patients("train").values()
    labels = [[v.label for v in videos] for videos in patients if any(v.label for v in videos)]
    mixed = [row for row in labels if 0 in row]
    assert all(sum(row) >= len(row) - 1 for row in labels)
    assert 0.15 < len(mixed) / len(labels) < 0.35


def test_one_video_a_patient_keeps_every_positive_patient_positive():
    manifest = phantom_manifest(PhantomSpec(videos_per_patient=1), SEED)
    assert sum(v.label for v in manifest.videos) == len(manifest.videos) / 2


def test_a_video_does_not_depend_on_how_many_others_there_are():
    wider = PhantomSpec(train_patients=9, val_patients=4, holdout_patients=4, videos_per_patient=3)
    many = {v.video_id: v for v in phantom_manifest(wider, SEED).videos}
    for video in phantom_manifest(SMALL, SEED).videos:
        assert many[video.video_id] == video


def test_a_digest_stands_for_what_determines_the_frames():
    longer = SMALL.model_copy(update={"frames_per_video": SMALL.frames_per_video + 1})
    digests = [
        {v.sha256 for v in phantom_manifest(spec, seed).videos}
        for spec, seed in ((SMALL, SEED), (longer, SEED), (SMALL, SEED + 1))
    ]
    assert all(not a & b for a, b in combinations(digests, 2))


def test_a_longer_loop_begins_with_the_shorter_one():
    (video,) = _videos(1, 1)
    assert np.array_equal(render_video(video, 7, 64, SEED)[:3], render_video(video, 3, 64, SEED))


def test_frames_of_a_video_are_alike_but_never_equal():
    loops = [render_video(v, 5, 64, SEED) for v in (*_videos(0, 8)[::2], *_videos(1, 8)[::2])]
    within = [_correlation(a, b) for loop in loops for a, b in combinations(loop, 2)]
    between = [_correlation(a[0], b[0]) for a, b in combinations(loops, 2)]
    assert max(within) < 1
    assert np.mean(within) > np.mean(between) + 0.2


@pytest.mark.parametrize("size", [64, 128])
def test_anatomy_is_the_same_at_every_size(size):
    for video in (*_videos(0, 1), *_videos(1, 2)):
        large = render_video(video, 1, 256, SEED)[0]
        small = render_video(video, 1, size, SEED)[0]
        shrunk = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
        assert _correlation(small, shrunk) > 0.85


def test_a_lesion_changes_only_what_lies_below_the_pleura():
    size, n_frames = 128, 6
    for video in _videos(1, 6):
        healthy, ill = (
            render_video(_with_label(video, label), n_frames, size, SEED) for label in (0, 1)
        )
        style = phantom._style(video.patient_id, SEED)
        grid = phantom._grid(style, size)
        below = phantom.draw_scene(video, style, grid, SEED).below
        on_screen = cv2.remap(below, grid.column, grid.row, cv2.INTER_LINEAR)
        # Breathing lifts the pleura by at most 1.2 % of the depth, interpolation adds a pixel.
        reach = 2 * int(np.ceil(0.012 * size) + 1) + 1
        below_in_some_frame = cv2.dilate(on_screen, np.ones((reach, reach))) > 0
        assert np.array_equal(healthy[:, ~below_in_some_frame], ill[:, ~below_in_some_frame])
        assert (~below_in_some_frame & grid.sector).sum() > 100
        assert (healthy != ill).mean() > 0.01
