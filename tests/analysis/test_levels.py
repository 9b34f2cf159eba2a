import numpy as np
import pytest

from lussweep.analysis.levels import (
    MAX,
    MEAN,
    Aggregate,
    Scored,
    patients_by_class,
    to_patients,
    to_videos,
    top_k_mean,
)


def frames(n=300, seed=0):
    """Frames in no order; video ids repeat between patients."""
    rng = np.random.default_rng(seed)
    patient_U, video_U = rng.integers(8, size=n), rng.integers(3, size=n)
    label_U = ((patient_U % 2 == 1) & (video_U == 1)).astype(np.int8)
    return Scored(
        label_U,
        rng.normal(size=n).astype(np.float32),
        np.array([f"p{p}" for p in patient_U]),
        np.array([f"v{v}" for v in video_U]),
        np.arange(n),
    )


def by_hand(keys, label_U, score_U, reduce):
    rows = {}
    for key, label, score in zip(keys, label_U, score_U, strict=True):
        rows.setdefault(key, []).append((label, float(score)))
    return [
        (key, max(label for label, _ in found), reduce([score for _, score in found]))
        for key, found in sorted(rows.items())
    ]


REDUCTIONS = [
    (MEAN, lambda s: sum(s) / len(s)),
    (MAX, max),
    (top_k_mean(1), max),
    (top_k_mean(5), lambda s: sum(sorted(s)[-5:]) / len(sorted(s)[-5:])),
    (top_k_mean(10**6), lambda s: sum(s) / len(s)),
]


@pytest.mark.parametrize(("aggregate", "reduce"), REDUCTIONS)
def test_videos_and_patients_equal_a_loop(aggregate, reduce):
    given = frames()
    videos = to_videos(given, aggregate)
    keys = list(zip(given.patient_U, given.video_U, strict=True))
    expected = by_hand(keys, given.label_U, given.score_U, reduce)
    assert list(zip(videos.patient_U, videos.video_U, strict=True)) == [key for key, *_ in expected]
    assert videos.label_U.tolist() == [label for _, label, _ in expected]
    np.testing.assert_allclose(videos.score_U, [score for *_, score in expected], atol=1e-12)
    patients = to_patients(given, aggregate)
    expected = by_hand(given.patient_U, given.label_U, given.score_U, reduce)
    assert patients.patient_U.tolist() == [key for key, *_ in expected]
    assert patients.label_U.tolist() == [0, 1] * 4
    np.testing.assert_allclose(patients.score_U, [score for *_, score in expected], atol=1e-12)
    assert patients.video_U is None and patients.frame_U is None and videos.frame_U is None


def test_a_patient_over_videos_weighs_videos_and_over_frames_frames():
    given = Scored(
        np.array([1, 1, 1, 1, 0]),
        np.array([0.0, 0.0, 0.0, 1.0, 0.2]),
        np.array(["a", "a", "a", "a", "b"]),
        np.array(["v", "v", "v", "w", "v"]),
    )
    assert to_patients(given).score_U.tolist() == [0.25, 0.2]
    assert to_patients(to_videos(given)).score_U.tolist() == [0.5, 0.2]
    assert to_patients(to_videos(given), MAX).score_U.tolist() == [1.0, 0.2]


def test_a_patient_with_frames_of_both_classes_counts_for_both_and_is_positive():
    given = Scored(
        np.array([1, 0, 0, 1, 0]), np.zeros(5), np.array(["a", "a", "b", "c", "c"]), np.arange(5)
    )
    assert patients_by_class(given) == (2, 3)
    assert patients_by_class(to_videos(given)) == (2, 3)
    patients = to_patients(given)
    assert patients.label_U.tolist() == [1, 0, 1]
    assert patients_by_class(patients) == (2, 1)


def test_the_order_of_frames_does_not_matter():
    given = frames()
    order = np.random.default_rng(1).permutation(len(given.label_U))
    shuffled = Scored(*(field[order] for field in given))
    for one, two in zip(to_videos(given, MAX), to_videos(shuffled, MAX), strict=True):
        assert (one is two is None) or (one == two).all()


def test_bad_input_is_refused():
    given = frames()
    with pytest.raises(ValueError, match="no video ids"):
        to_videos(given._replace(video_U=None))
    with pytest.raises(ValueError, match="patient_U has shape"):
        to_patients(given._replace(patient_U=given.patient_U[1:]))
    with pytest.raises(ValueError, match="both classes are needed"):
        to_patients(given._replace(label_U=np.zeros(300, dtype=int)))
    with pytest.raises(ValueError, match="k is 0"):
        top_k_mean(0)
    with pytest.raises(ValueError, match="k is for top_k_mean"):
        Aggregate("mean", 3)
    with pytest.raises(ValueError, match="unknown aggregate"):
        Aggregate("median")
