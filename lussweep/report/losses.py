"""Reads the values that trainings of generators report."""

from __future__ import annotations

import pyarrow as pa

from lussweep.store import tables

PLACE = ("attempt", "epoch", "seconds")


def in_long_form(losses: pa.Table) -> pa.Table:
    """The losses of an artifact, with a row for each value of each epoch.

    Artifacts that were made before there were several kinds of generators have a row for each epoch
    and a column for each value.
    """
    if "value" in losses.column_names:
        return losses
    names = [name for name in losses.column_names if name not in tables.GAN_LOSSES.names]
    return pa.Table.from_pylist(
        [
            {**{at: row[at] for at in PLACE}, "name": name, "value": row[name]}
            for row in losses.to_pylist()
            for name in names
        ]
    )
