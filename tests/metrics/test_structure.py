"""Structures: what they leave out, and the likeness of two of them by its definition."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lussweep.metrics.structure import MAX_SHIFT, SIDE, nearest_structures, structures

pytestmark = pytest.mark.any_processor


def smooth_frames(n: int, seed: int, size: int = SIDE) -> np.ndarray:
    """Blobs in the middle of a black frame, so that a small shift moves nothing out of it."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n, size, size), np.uint8)
    inner = slice(size // 8, size - size // 8)
    for frame in frames:
        blobs = cv2.resize(rng.random((9, 9)), (size * 3 // 4, size * 3 // 4))
        frame[inner, inner] = 60 + 120 * blobs
    return frames


def halved(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(len(frames), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))


def likeness_by_loops(one: np.ndarray, other: np.ndarray) -> float:
    """Of two structures: over mirror images and every shift of one colour of the chess board."""
    small, best = halved(one[None])[0], -1.0
    norm = np.linalg.norm(small) * np.linalg.norm(halved(other[None]))
    for mirrored in (other, other[:, ::-1]):
        for down in range(-MAX_SHIFT, MAX_SHIFT + 1):
            for right in range(-MAX_SHIFT, MAX_SHIFT + 1):
                if (down + right) % 2:
                    continue
                moved = np.zeros_like(mirrored)
                into = (slice(max(-down, 0), SIDE - max(down, 0)),
                        slice(max(-right, 0), SIDE - max(right, 0)))  # fmt: skip
                out_of = (slice(max(down, 0), SIDE - max(-down, 0)),
                          slice(max(right, 0), SIDE - max(-right, 0)))  # fmt: skip
                moved[into] = mirrored[out_of]
                best = max(best, float((small * halved(moved[None])[0]).sum()) / norm)
    return best


@pytest.mark.parametrize("block_size", [None, 2])
def test_likeness_equals_its_definition(block_size: int | None) -> None:
    query, reference = structures(smooth_frames(3, 0)), structures(smooth_frames(5, 1))
    found = nearest_structures(query, reference, block_size=block_size)
    every = np.array([[likeness_by_loops(q, r) for r in reference] for q in query])
    np.testing.assert_allclose(found.likeness_K, every.max(axis=1), atol=1e-5)
    assert (found.index_K == every.argmax(axis=1)).all()


def test_grey_levels_do_not_change_a_structure() -> None:
    frames = smooth_frames(4, 2)
    brighter = structures(frames // 2 + 40)
    likeness = (structures(frames) * brighter).sum(axis=(1, 2))
    assert likeness.min() > 0.995


def test_a_mirrored_and_moved_frame_is_known_again() -> None:
    frames = smooth_frames(6, 3)
    moved = np.roll(frames[:, :, ::-1], (3, -1), axis=(1, 2))
    found = nearest_structures(structures(moved), structures(frames))
    assert found.index_K.tolist() == list(range(6))
    assert found.likeness_K.min() > 0.99
    away = nearest_structures(structures(moved), structures(smooth_frames(6, 4)))
    assert away.likeness_K.max() < 0.9


def test_frames_of_other_sizes_have_the_same_structure() -> None:
    small, large = smooth_frames(3, 5), smooth_frames(3, 5, size=4 * SIDE)
    found = nearest_structures(structures(large), structures(small))
    assert found.index_K.tolist() == [0, 1, 2]
    assert found.likeness_K.min() > 0.98


def test_a_flat_frame_is_like_no_other() -> None:
    flat = structures(np.full((2, SIDE, SIDE), 90, np.uint8))
    found = nearest_structures(flat, structures(smooth_frames(3, 6)))
    assert found.likeness_K.tolist() == [0, 0]
    assert nearest_structures(flat, flat).likeness_K.tolist() == [0, 0]


def test_frames_of_one_patient_are_not_compared() -> None:
    reference, patient = structures(smooth_frames(4, 7)), np.array(["a", "a", "b", "c"])
    found = nearest_structures(
        reference, reference, query_patient_K=patient, reference_patient_N=patient
    )
    assert (patient[found.index_K] != patient).all()
    alone = nearest_structures(
        reference[:2], reference[:2], query_patient_K=patient[:2], reference_patient_N=patient[:2]
    )
    assert alone.likeness_K.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "frames",
    [np.zeros((2, 8, 9), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8)),
     np.zeros((0, 8, 8), np.uint8)],
)  # fmt: skip
def test_frames_of_another_shape_or_type_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"not uint8 \(N, S, S\)"):
        structures(frames)
