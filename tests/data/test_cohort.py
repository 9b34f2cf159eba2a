import itertools
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussweep.data.cohort import (
    count_label,
    draw_cohort,
    largest_remainder,
    limit_val,
    of_class,
    patient_ids,
    shuffle_labels,
    usable_frames,
)
from lussweep.errors import InputError
from lussweep.store import tables
from lussweep.study.spec import CohortSpec, ValSpec

INDEPENDENT = CohortSpec()
NESTED = CohortSpec(sampling="nested")
ALL_NEGATIVES = CohortSpec(negatives_from="all")


def make_index(positive, negative, unusable=0) -> pa.Table:
    """Patients as lists of (label, frames) a video; the last `unusable` frames have no label."""
    rows = []
    for patient_class, patients in ((1, positive), (0, negative)):
        for p, videos in enumerate(patients):
            for v, (label, n_frames) in enumerate(videos):
                for frame in range(n_frames):
                    rows.append(
                        {
                            "patient_id": f"{'np'[patient_class]}{p:02d}",
                            "video_id": f"{'np'[patient_class]}{p:02d}-{v}",
                            "frame": frame,
                            "label": label if frame < n_frames - unusable else None,
                            "patient_class": patient_class,
                            "split": "train",
                            "shard": f"shard/{p}",
                            "row": len(rows),
                            "mask_row": v,
                        }
                    )
    return pa.Table.from_pylist(rows, schema=tables.FRAMES)


MIXED = make_index(
    positive=[[(1, 3 + p), (0, 5)] for p in range(9)],
    negative=[[(0, 4 + p), (0, 2)] for p in range(11)],
)


def frame_ids(frames: pa.Table) -> set[int]:
    return set(frames["row"].to_pylist())


def of_patients(frames: pa.Table, initial: str) -> set[str]:
    return {p for p in patient_ids(frames) if p.startswith(initial)}


# --- shares -------------------------------------------------------------------------------

some_counts = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)


def quotas_of(counts, total):
    return [Fraction(total * count, sum(counts)) for count in counts]


@given(some_counts, st.data())
def test_shares_add_up_and_are_in_proportion_to_within_one(counts, data):
    total = data.draw(st.integers(0, sum(counts)))
    quotas = quotas_of(counts, total)
    shares = largest_remainder(quotas, total)
    assert sum(shares) == total
    for count, quota, share in zip(counts, quotas, shares, strict=True):
        assert 0 <= share <= count
        assert abs(share - quota) < 1


@given(some_counts, st.data())
def test_a_larger_count_never_has_a_smaller_share(counts, data):
    total = data.draw(st.integers(0, sum(counts)))
    shares = largest_remainder(quotas_of(counts, total), total)
    for count, share in zip(counts, shares, strict=True):
        for other_count, other_share in zip(counts, shares, strict=True):
            if count > other_count:
                assert share >= other_share


def test_the_largest_remainders_win_and_ties_go_to_the_first():
    assert largest_remainder([2.0, 1.2, 0.8], 4) == [2, 1, 1]
    assert largest_remainder(quotas_of([1, 1, 1], 2), 2) == [1, 1, 0]
    tie = quotas_of([14, 4, 12], 3)  # 1.4, 0.4 and 1.2: as floats, 0.4 would win by a rounding
    assert largest_remainder(tie, 3) == [2, 0, 1]


# --- usable frames ------------------------------------------------------------------------


def test_usable_frames_are_those_with_a_label_in_their_order():
    index = make_index([[(1, 6)], [(1, 2)]], [[(0, 3)]], unusable=2)
    found = usable_frames(index)
    expected = [row for row in index.to_pylist() if row["label"] is not None]
    assert found.to_pylist() == expected and len(expected) == 5
    assert found.schema.equals(tables.FRAMES)
    assert "p01" not in patient_ids(found), "a patient without a usable frame is none"


def test_every_selection_is_made_of_usable_frames_alone():
    index = make_index([[(1, 6)]] * 3, [[(0, 8)]] * 3, unusable=2)
    usable = frame_ids(usable_frames(index))
    for cohort in (INDEPENDENT, NESTED, ALL_NEGATIVES):
        for n in (2, None):
            assert frame_ids(draw_cohort(index, n, cohort, 0)) <= usable
    for val in (ValSpec(), ValSpec(n_patients=2), ValSpec(frames_per_video=7)):
        assert frame_ids(limit_val(index, val, 0)) <= usable


# --- cohorts ------------------------------------------------------------------------------


@pytest.mark.parametrize("cohort", [INDEPENDENT, NESTED, ALL_NEGATIVES])
@pytest.mark.parametrize("n", [1, 4, 9])
def test_a_cohort_has_n_patients_a_class_and_as_many_frames_of_either(cohort, n):
    for seed in range(5):
        drawn = draw_cohort(MIXED, n, cohort, seed)
        assert len(of_patients(of_class(drawn, "pos"), "p")) == n
        assert len(of_patients(drawn, "n")) == n
        assert count_label(drawn, 1) == count_label(drawn, 0) > 0
        assert len(drawn) == 2 * count_label(drawn, 1)
        assert len(frame_ids(drawn)) == len(drawn), "no frame twice"


def test_the_smaller_class_keeps_every_frame():
    for seed in range(8):
        drawn = draw_cohort(MIXED, 5, INDEPENDENT, seed)
        patients = set(patient_ids(drawn))
        pool = [r for r in MIXED.to_pylist() if r["patient_id"] in patients]
        n_pos = sum(r["label"] == 1 for r in pool)
        n_neg = sum(r["label"] == 0 and r["patient_class"] == 0 for r in pool)
        assert count_label(drawn, 1) == min(n_pos, n_neg)


def test_the_larger_class_is_cut_in_proportion_per_patient():
    index = make_index(positive=[[(1, 6)], [(1, 6)]], negative=[[(0, 40)], [(0, 8)]])
    drawn = of_class(draw_cohort(index, 2, INDEPENDENT, 3), "neg")
    counts = drawn.group_by("patient_id").aggregate([("frame", "count")]).to_pylist()
    assert {row["patient_id"]: row["frame_count"] for row in counts} == {"n00": 10, "n01": 2}


def test_positive_frames_come_only_from_positive_videos():
    for n in (3, None):
        for row in of_class(draw_cohort(MIXED, n, ALL_NEGATIVES, 0), "pos").to_pylist():
            assert row["patient_class"] == 1
            assert row["video_id"].endswith("-0")


@pytest.mark.parametrize(
    ("cohort", "expected"), [(INDEPENDENT, {"n"}), (ALL_NEGATIVES, {"n", "p"})]
)
@pytest.mark.parametrize("n", [6, None])
def test_negative_frames_come_from_negative_patients_or_from_all(cohort, expected, n):
    negatives = of_class(draw_cohort(MIXED, n, cohort, 1), "neg")
    assert {patient[0] for patient in patient_ids(negatives)} == expected


def test_negative_frames_of_positive_patients_are_those_of_the_patients_drawn():
    drawn = draw_cohort(MIXED, 4, ALL_NEGATIVES, 2)
    positive = set(patient_ids(of_class(drawn, "pos")))
    assert of_patients(of_class(drawn, "neg"), "p") <= positive


def test_no_number_means_every_patient_and_every_frame():
    drawn = draw_cohort(MIXED, None, INDEPENDENT, 0)
    assert patient_ids(drawn) == patient_ids(MIXED)
    assert count_label(drawn, 1) == sum(3 + p for p in range(9))
    assert count_label(drawn, 0) == sum(6 + p for p in range(11))


def test_frames_without_a_label_are_in_no_cohort():
    index = make_index([[(1, 6)]] * 3, [[(0, 8)]] * 3, unusable=2)
    for n in (2, 3, None):
        drawn = draw_cohort(index, n, INDEPENDENT, 0)
        assert drawn["label"].null_count == 0
        assert max(drawn["frame"].to_pylist()) <= 5


def test_one_seed_gives_one_cohort_and_another_seed_another():
    first = draw_cohort(MIXED, 4, INDEPENDENT, 7)
    assert draw_cohort(MIXED, 4, INDEPENDENT, 7).equals(first)
    others = {tuple(patient_ids(draw_cohort(MIXED, 4, INDEPENDENT, s))) for s in range(20)}
    assert len(others) > 15


def test_the_patients_drawn_do_not_depend_on_the_order_of_the_frames():
    # Which frames of the larger class are cut does: the index of a split has a fixed order.
    order = np.random.default_rng(0).permutation(len(MIXED))
    for seed in range(5):
        shuffled = draw_cohort(MIXED.take(order), 4, INDEPENDENT, seed)
        drawn = draw_cohort(MIXED, 4, INDEPENDENT, seed)
        assert patient_ids(shuffled) == patient_ids(drawn)
        assert len(shuffled) == len(drawn)


def test_with_one_seed_a_smaller_cohort_is_part_of_a_larger_one():
    for seed in range(10):
        drawn = [set(patient_ids(draw_cohort(MIXED, n, NESTED, seed))) for n in range(1, 10)]
        for smaller, larger in itertools.pairwise(drawn):
            assert smaller < larger


def test_every_patient_is_drawn_about_equally_often():
    drawn = [patient_ids(draw_cohort(MIXED, 3, INDEPENDENT, s)) for s in range(300)]
    counts = np.array([sum(p in ids for ids in drawn) for p in patient_ids(MIXED)])
    expected = np.where([p[0] == "p" for p in patient_ids(MIXED)], 300 * 3 / 9, 300 * 3 / 11)
    assert (np.abs(counts - expected) < 45).all()  # over 5 standard deviations


def test_full_pools_of_two_seeds_hold_the_same_patients():
    first, second = (draw_cohort(MIXED, 9, INDEPENDENT, s) for s in (1, 2))
    assert of_patients(first, "p") == of_patients(second, "p")


def test_a_pool_that_is_too_small_is_an_input_error():
    with pytest.raises(InputError, match="10 positive patients needed, 9 have usable frames"):
        draw_cohort(MIXED, 10, INDEPENDENT, 0)


def test_patients_without_a_usable_frame_are_no_part_of_the_pool():
    index = make_index([[(1, 4)], [(1, 4)]], [[(0, 4)], [(0, 4)]])
    known = zip(index["patient_id"].to_pylist(), index["label"].to_pylist(), strict=True)
    labels = pa.array([None if patient == "p01" else label for patient, label in known], pa.int8())
    index = index.set_column(
        index.column_names.index("label"), tables.FRAMES.field("label"), labels
    )
    assert patient_ids(of_class(draw_cohort(index, 1, INDEPENDENT, 0), "pos")) == ["p00"]
    with pytest.raises(InputError, match="2 positive patients needed, 1 have usable frames"):
        draw_cohort(index, 2, INDEPENDENT, 0)


def test_a_positive_patient_without_a_positive_frame_is_not_drawn_as_one():
    """A stride can drop all annotated frames of a patient who has a negative video, too."""
    index = make_index([[(None, 5), (0, 5)], [(1, 4)], [(1, 4)]], [[(0, 9)]] * 3)
    for seed in range(5):
        drawn = draw_cohort(index, 2, INDEPENDENT, seed)
        assert patient_ids(of_class(drawn, "pos")) == ["p01", "p02"]
        limited = limit_val(index, ValSpec(n_patients=2), seed)
        assert patient_ids(of_class(limited, "pos")) == ["p01", "p02"]
    with pytest.raises(InputError, match="3 positive patients needed, 2 have usable frames"):
        draw_cohort(index, 3, INDEPENDENT, 0)


def test_a_cohort_without_frames_of_one_class_is_an_input_error():
    index = make_index(positive=[[(0, 4)]], negative=[[(0, 4)]])
    with pytest.raises(InputError, match="1 positive patients needed, 0 have usable frames"):
        draw_cohort(index, 1, INDEPENDENT, 0)


def test_a_cohort_keeps_the_schema_of_the_index():
    assert draw_cohort(MIXED, 2, INDEPENDENT, 0).schema.equals(tables.FRAMES)


# --- validation ---------------------------------------------------------------------------


def test_without_a_limit_validation_sees_every_usable_frame():
    index = make_index([[(1, 6)]] * 2, [[(0, 8)]] * 3, unusable=1)
    assert len(limit_val(index, ValSpec(), 0)) == 2 * 5 + 3 * 7
    assert limit_val(MIXED, ValSpec(), 0).equals(MIXED)


def test_a_cap_a_video_keeps_short_videos_whole():
    kept = limit_val(MIXED, ValSpec(frames_per_video=4), 0)
    counts = kept.group_by("video_id").aggregate([("frame", "count")]).to_pylist()
    before = MIXED.group_by("video_id").aggregate([("frame", "count")]).to_pylist()
    expected = {row["video_id"]: min(4, row["frame_count"]) for row in before}
    assert {row["video_id"]: row["frame_count"] for row in counts} == expected
    assert frame_ids(kept) < frame_ids(MIXED)


def test_a_limit_of_patients_is_one_a_class():
    kept = limit_val(MIXED, ValSpec(n_patients=3), 0)
    assert [len(of_patients(kept, initial)) for initial in "pn"] == [3, 3]
    assert frame_ids(kept) == {
        r["row"] for r in MIXED.to_pylist() if r["patient_id"] in patient_ids(kept)
    }
    with pytest.raises(InputError, match="10 positive patients needed"):
        limit_val(MIXED, ValSpec(n_patients=10), 0)


def test_the_limits_of_validation_follow_the_seed_alone():
    limits = ValSpec(frames_per_video=2, n_patients=4)
    first = limit_val(MIXED, limits, 5)
    assert limit_val(MIXED, limits, 5).equals(first)
    assert not limit_val(MIXED, limits, 6).equals(first)


def test_validation_keeps_the_order_of_the_index():
    rows = limit_val(MIXED, ValSpec(frames_per_video=2, n_patients=4), 1)["row"].to_pylist()
    assert rows == sorted(rows)


# --- shuffled labels --------------------------------------------------------------------------


def called(frames: pa.Table) -> dict[str, set[int]]:
    """The labels that each patient's frames have."""
    found: dict[str, set[int]] = {}
    for row in frames.to_pylist():
        assert row["label"] == row["patient_class"]
        found.setdefault(row["patient_id"], set()).add(row["label"])
    return found


def test_shuffling_calls_half_of_the_patients_positive_with_all_their_frames():
    shuffled = shuffle_labels(MIXED, 1)
    labels = called(shuffled)
    assert all(len(of_patient) == 1 for of_patient in labels.values())
    assert sum(of_patient == {1} for of_patient in labels.values()) == 10
    kept = [name for name in MIXED.column_names if name not in ("label", "patient_class")]
    assert shuffled.select(kept).equals(MIXED.select(kept))
    assert shuffled.schema.equals(MIXED.schema)
    assert shuffle_labels(MIXED, 1).equals(shuffled)
    assert not shuffle_labels(MIXED, 2).equals(shuffled)


def test_shuffled_labels_say_nothing_of_the_true_ones():
    """Every patient is positive in half of 400 shufflings, to within four standard errors."""
    odd = MIXED.filter(pc.not_equal(MIXED["patient_id"], "n00"))
    for frames in (MIXED, odd):
        counts = dict.fromkeys(patient_ids(frames), 0)
        for seed in range(400):
            for patient, labels in called(shuffle_labels(frames, seed)).items():
                counts[patient] += labels == {1}
        assert all(abs(n - 200) <= 40 for n in counts.values()), counts
