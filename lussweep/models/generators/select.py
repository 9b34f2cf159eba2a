"""The choice of the snapshot that makes the synthetic frames."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lussweep.errors import InputError
from lussweep.study.spec import NO_EMBEDDER, PIXEL, SCORES, SelectSpec
from lussweep.study.spec.generators import SPECTRAL_GAP_CEILING
from lussweep.study.spec.scores import SPECTRAL_GAP


def select_epoch(
    select: SelectSpec,
    last_epoch: int,
    score_rows: Sequence[Mapping[str, Any]],
    gap_ceiling: float = SPECTRAL_GAP_CEILING,
) -> int:
    """Select an epoch by the rule `last`, `epoch` or `best`.

    `best` takes the epoch whose score is best by its goal, and the earliest among ties. Scores
    that are not finite are left out. So are snapshots that have not learned, because their spectral
    gap is above `gap_ceiling`; if none has learned, the best of all is taken. Raises InputError if
    the rows lack the score that the rule names, or no snapshot has a finite one.
    """
    if select.rule == "last":
        return last_epoch
    if select.rule == "epoch":
        assert select.epoch is not None
        return select.epoch
    embedder = NO_EMBEDDER if select.space == PIXEL else select.embedder
    wanted = {"metric": select.metric, "space": select.space, "embedder": embedder}
    rows = [row for row in score_rows if all(row[k] == v for k, v in wanted.items())]
    if not rows:
        raise InputError(
            f"selection by {select.metric} in {embedder} {select.space} features, which "
            "score.embedders does not ask for: add it there"
        )
    rows = [row for row in rows if math.isfinite(row["value"])]
    if not rows:
        raise InputError(
            f"selection by {select.metric}, which no snapshot has as a finite number: "
            "select by another score"
        )
    unlearned = {
        row["epoch"]
        for row in score_rows
        if row["metric"] == SPECTRAL_GAP and row["value"] > gap_ceiling
    }
    rows = [row for row in rows if row["epoch"] not in unlearned] or rows
    goal = SCORES[select.metric].goal
    assert goal is not None, "SelectSpec refuses a score without a goal"
    return int(min(rows, key=lambda row: (goal.shortfall(row["value"]), row["epoch"]))["epoch"])
