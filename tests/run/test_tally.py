"""What is told of a run's progress, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lussweep.backend.driver import Outcome, Progress
from lussweep.errors import InputError
from lussweep.run.events import CellDone, Event, Started, StepDone, StepFailed, StepRetried
from lussweep.run.tally import Tally
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell, Plan, Step
from lussweep.study.spec import Recipe

RECIPE = Recipe(pos=["real"], neg=["real"])


class Records(ArtifactStore):
    """A store of the AUC-ROCs by ref. A record without one cannot be read."""

    def __init__(self, aurocs: Mapping[str, float | None]) -> None:
        self.aurocs = dict(aurocs)

    def surveyed(self, max_age_s: float = 60.0) -> ArtifactStore:
        return self

    def has(self, ref: str) -> bool:
        return ref in self.aurocs

    def record(self, ref: str) -> Any:
        if ref not in self.aurocs:
            raise InputError("damaged")
        return {"summary": {"auroc": self.aurocs[ref]}}


def two_cells() -> tuple[Plan, str, list[str]]:
    """A plan, its GAN, and the steps that judge its two cells."""
    plan = Plan()
    gan = plan.add(Step("gan", 1, {}, name="GAN pos n=6 r=1"))
    judging = [plan.add(Step("evaluate", 1, {"i": i}, {"gan": gan})) for i in (1, 2)]
    plan.cells += [
        Cell(Coordinates(6, i, "combined"), RECIPE, {"evaluate": ref})
        for i, ref in enumerate(judging, 1)
    ]
    return plan, gan, judging


def tally_of(plan: Plan, aurocs: Mapping[str, float | None]) -> tuple[Tally, list[Event]]:
    told: list[Event] = []
    tally = Tally(plan, Records(aurocs), lambda text: text.replace("P001", "#12"), told.append)
    return tally, told


def test_each_step_and_cell_is_told_once() -> None:
    plan, gan, (first, second) = two_cells()
    tally, told = tally_of(plan, {first: 0.8})
    tally.progress_text = {gan: "epoch 2 of 2, 600 images/s"}.get  # type: ignore[assignment]
    progress = Progress(plan, latest=(gan,), seconds={gan: 2.5})
    tally.take(progress)
    progress.latest = (first,)
    tally.take(progress)
    tally.take(progress)
    assert told[0] == StepDone(
        step="GAN pos n=6 r=1", stage="gan", ref=gan, seconds=2.5, images_per_s=600.0
    )
    assert [type(event) for event in told[1:]] == [StepDone, CellDone]
    assert told[2] == CellDone(
        n_patients=6, replicate=1, variant="combined", gan_epoch=None, auroc=0.8, n_cells_done=1,
        n_cells=2,
    )  # fmt: skip
    assert second not in {event.ref for event in told if isinstance(event, StepDone)}


def test_cells_of_earlier_commands_are_counted_and_not_told_again() -> None:
    plan, _, (first, _) = two_cells()
    tally, told = tally_of(plan, {first: 0.8})
    tally.begin("tiny", "run", plan)
    assert told == [
        Started(study="tiny", run="run", n_cells=2, n_cells_done=1,
                n_steps={"gan": 1, "evaluate": 2})
    ]  # fmt: skip
    assert [point.mean for point in tally.board.points.values()] == [0.8]


def test_a_try_that_is_repeated_and_the_last_one_are_told_with_hashed_errors() -> None:
    plan, gan, judging = two_cells()
    tally, told = tally_of(plan, {})
    failure = Outcome(gan, "OSError: P001\nis away")
    tally.take(Progress(plan, retried=(failure,)))
    progress = Progress(plan, failed={gan: failure}, blocked=dict.fromkeys(judging, gan))
    tally.take(progress)
    tally.take(progress)
    step = {"step": "GAN pos n=6 r=1", "stage": "gan", "ref": gan}
    assert told == [
        StepRetried(**step, error="OSError: #12 is away"),
        StepFailed(**step, error="OSError: #12 is away"),
    ]
    assert [point.n_failed for point in tally.board.points.values()] == [2]


def test_a_cell_without_an_auroc_is_told_as_such() -> None:
    """A score may not be finite, and a record may be damaged: the report says which."""
    plan, _, judging = two_cells()
    tally, told = tally_of(plan, {judging[0]: None})
    tally.take(Progress(plan, latest=tuple(judging)))
    assert [event.auroc for event in told if isinstance(event, CellDone)] == [None, None]
