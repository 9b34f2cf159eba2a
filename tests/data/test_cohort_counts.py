"""The size of a cohort is known before it is drawn."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lussweep.data.cohort import count_label, draw_cohort, usable_frames
from lussweep.data.cohort_counts import count_cohort, videos_of
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.store import tables
from lussweep.study.spec import CohortSpec, Manifest, PhantomSpec

PHANTOM = PhantomSpec(train_patients=12, val_patients=1, holdout_patients=1, frames_per_video=3)
MANIFEST = phantom_manifest(PHANTOM, 7)
SPECS = (CohortSpec(), CohortSpec(sampling="nested"), CohortSpec(negatives_from="all"))


def index_of(manifest: Manifest, n_frames: int) -> pa.Table:
    """An index as `ingest` makes it. Every fourth frame has no label."""
    rows = [
        {
            "patient_id": video.patient_id,
            "video_id": video.video_id,
            "frame": frame,
            "label": None if (i + frame) % 4 == 3 and n_frames > 3 else video.label,
            "patient_class": max(v.label for v in manifest.patients(video.split)[video.patient_id]),
            "split": video.split,
        }
        for i, video in enumerate(manifest.videos)
        for frame in range(n_frames + (i % 5 if n_frames > 3 else 0))
    ]
    return pa.Table.from_pylist(rows, tables.FRAMES)


@pytest.mark.parametrize("cohort", SPECS)
@pytest.mark.parametrize("n_patients", [1, 5, 12])
def test_the_counts_are_those_of_the_cohort(n_patients: int, cohort: CohortSpec) -> None:
    index = index_of(MANIFEST, 4)
    train = index.filter(pc.equal(index["split"], "train"))
    for seed in range(5):
        counts = count_cohort(videos_of(MANIFEST, index, None), n_patients, cohort, seed)
        drawn = draw_cohort(train, n_patients, cohort, seed)
        assert counts.n_frames == count_label(drawn, 1) == count_label(drawn, 0)
        patients = drawn.filter(pc.equal(drawn["label"], 1))["patient_id"].unique()
        of_these = usable_frames(train.filter(pc.is_in(train["patient_id"], patients)))
        positive = of_these.filter(pc.equal(of_these["label"], 1))
        assert counts.n_pos_videos == len(positive["video_id"].unique())


@pytest.mark.parametrize("cohort", SPECS)
def test_the_phantom_is_counted_before_it_is_drawn(cohort: CohortSpec) -> None:
    index = index_of(MANIFEST, 3)
    before, after = videos_of(MANIFEST, None, 3), videos_of(MANIFEST, index, None)
    assert count_cohort(before, 5, cohort, 1) == count_cohort(after, 5, cohort, 1)


def test_frames_of_videos_that_are_not_decoded_are_not_known() -> None:
    counts = count_cohort(videos_of(MANIFEST, None, None), 5, CohortSpec(), 1)
    assert counts.n_frames is None
    assert counts.n_neg_videos == 10


def test_a_cohort_larger_than_its_pool_is_refused() -> None:
    with pytest.raises(InputError, match="13 positive patients needed, 12 have usable frames"):
        count_cohort(videos_of(MANIFEST, None, 3), 13, CohortSpec(), 1)
