"""The choice of the snapshot that makes the synthetic frames."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lussweep.errors import InputError
from lussweep.study.spec import SelectSpec

DISTANCE_FROM_GOAL: dict[str, Callable[[float], float]] = {
    "kmmd": abs,
    "one_nn": lambda value: abs(value - 0.5),
}


def select_epoch(
    select: SelectSpec, last_epoch: int, score_rows: Sequence[Mapping[str, Any]]
) -> int:
    """Select an epoch by the rule `last`, `epoch` or `best`.

    `best` takes the epoch whose metric is nearest its goal, and the earliest among ties. The goal
    of kMMD is 0, that of 1-NN accuracy 0.5. Raises InputError if the scores lack the metric that
    the rule names.
    """
    if select.rule == "last":
        return last_epoch
    if select.rule == "epoch":
        assert select.epoch is not None
        return select.epoch
    embedder = "none" if select.space == "pixel" else select.embedder
    wanted = {"metric": select.metric, "space": select.space, "embedder": embedder}
    rows = [row for row in score_rows if all(row[k] == v for k, v in wanted.items())]
    if not rows:
        raise InputError(
            f"selection by {select.metric} in {embedder} {select.space} features, which "
            "score.embedders does not ask for: add it there"
        )
    distance = DISTANCE_FROM_GOAL[select.metric]
    return int(min(rows, key=lambda row: (distance(row["value"]), row["epoch"]))["epoch"])
