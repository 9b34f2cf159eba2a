"""The scored frames of each cell, against a search through all rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lussweep.report.cells import coordinates_of, gather_cells
from lussweep.report.sections.results import RESULTS
from lussweep.store import tables

CELLS = [(2, 1, "baseline", None), (2, 1, "combined", 5), (2, 2, "combined", 5)]
AN_EPOCH_MORE = [*CELLS, (2, 1, "combined", 10)]
NAMES = ("n_patients", "replicate", "variant", "gan_epoch")


@pytest.mark.parametrize(("cells", "axis"), [(CELLS, False), (AN_EPOCH_MORE, True)])
def test_each_cell_has_its_frames_in_the_order_of_the_table(cells, axis):
    rng = np.random.default_rng(0)
    rows = [
        {
            **dict(zip(NAMES, cell, strict=True)),
            "patient_id": f"p{i % 6}",
            "video_id": f"v{i % 9}",
            "frame": i,
            "label": i % 6 // 3,
            "score": float(rng.random()),
        }
        for cell in cells
        for i in range(30)
    ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    done = [dict(zip(NAMES, cell, strict=True)) | {"status": "done"} for cell in cells]
    halves = (rows[:40], rows[40:])
    scores = pa.concat_tables([pa.Table.from_pylist(h, tables.FRAME_SCORES) for h in halves])
    found = gather_cells(pa.Table.from_pylist(done, RESULTS), scores)
    assert len(found.scored) == len(cells)
    for place, frames in found.scored.items():
        own = [row for row in rows if coordinates_of(row, axis) == place]
        assert list(frames.score_U) == [row["score"] for row in own]
        assert list(frames.frame_U) == [row["frame"] for row in own]
        assert list(frames.label_U) == [row["label"] for row in own]
        for ids, name in ((frames.patient_U, "patient_id"), (frames.video_U, "video_id")):
            assert len(set(zip(ids, (row[name] for row in own), strict=True))) == len(set(ids))


def test_a_cell_without_frames_is_refused():
    done = [dict(zip(NAMES, CELLS[0], strict=True)) | {"status": "done"}]
    found = gather_cells(pa.Table.from_pylist(done, RESULTS), tables.FRAME_SCORES.empty_table())
    assert list(found.refused.values()) == ["no frame is scored"]
