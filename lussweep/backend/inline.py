"""Runs steps in this process: the reference backend.

One step runs at a time. Steps that read videos are an exception: two of them run at once, because
most of their work is done by a child process each.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterable
from dataclasses import replace

import torch
from threadpoolctl import threadpool_limits

from lussweep.backend.driver import Outcome
from lussweep.backend.stop import Stop
from lussweep.errors import InputError, encodable, one_line
from lussweep.models.generators.checkpoint import Stopped
from lussweep.models.generators.seam import TrainingEnded
from lussweep.models.training.precision import check_precision
from lussweep.stages import Context, execute
from lussweep.stages.link import OwnProcess
from lussweep.study.keys import canonical
from lussweep.study.plan import Plan, Step
from lussweep.study.plan.step_specs import GanStep
from lussweep.study.spec import GENERATORS

MAX_READING = 2
"""Most steps that read videos at once. Each may hold a whole video in memory."""
WAIT_S = 1.0
"""Seconds after which `wait` returns without an outcome."""


class InlineExecutor:
    """Runs a step inside `wait`, or up to MAX_READING steps that read videos in threads.

    Every other backend must produce the same artifacts.
    """

    def __init__(self, plan: Plan, context: Context, stop: Stop | None = None) -> None:
        most = max((step.workers.n for step in plan.steps.values()), default=1)
        if most > 1:
            raise InputError(f"gan.n_workers {most} needs Ray: leave out --backend inline")
        refuse_unsupported(plan, context.torch_device())
        self.stop = stop or Stop()
        self.context = replace(context, link=OwnProcess(lambda: self.stop.requested))
        self.submitted: Step | None = None
        self.n_reading = 0
        self.max_reading = min(MAX_READING, _n_cores())
        self.ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.blas_threads: threadpool_limits | None = None

    def kind(self, step: Step) -> str:
        return "reads videos" if _reads_videos(step) else "any"

    def accepts(self, step: Step) -> bool:
        if self.submitted is not None:
            return False
        return self.n_reading < (self.max_reading if _reads_videos(step) else 1)

    def share(self, step: Step) -> float:
        return 1.0 / self.max_reading if _reads_videos(step) else 1.0

    def submit(self, step: Step) -> None:
        assert self.accepts(step), "too many steps at once"
        if not _reads_videos(step):
            self.submitted = step
            return
        if not self.n_reading:  # each step sets and restores the limit of the whole process
            self.blas_threads = threadpool_limits(1)
        self.n_reading += 1
        # A second Ctrl-C, or the end of the grace, ends the process without waiting for a daemon.
        threading.Thread(target=self._read, args=(step,), daemon=True).start()

    def _read(self, step: Step) -> None:
        is_late = self.stop.requested
        self.ended.put(stopped(step.ref) if is_late else attempt(step, self.context))

    def forget(self, refs: Iterable[str]) -> None:
        """Does nothing: this executor does not plan ahead."""

    def progress_text(self, ref: str) -> str:
        return self.context.link.progress_text(ref)

    def wait(self) -> list[Outcome]:
        if self.submitted is None:
            return self._wait_for_reading()
        step, self.submitted = self.submitted, None
        if self.stop.requested:
            return [stopped(step.ref)]
        self.stop.breaks_off = not _obeys_a_stop(step)
        try:
            return [attempt(step, self.context)]
        finally:
            self.stop.breaks_off = False

    def _wait_for_reading(self) -> list[Outcome]:
        assert self.n_reading, "nothing is in flight"
        try:
            outcome = self.ended.get(timeout=WAIT_S)
        except queue.Empty:
            return []
        self.n_reading -= 1
        if not self.n_reading and self.blas_threads:
            self.blas_threads.restore_original_limits()
        return [outcome]


def _n_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _reads_videos(step: Step) -> bool:
    return step.stage == "shard" and step.spec.get("preprocess") is not None


def refuse_unsupported(plan: Plan, device: torch.device) -> None:
    """Raises InputError for settings that the device does not support, before any training."""
    gan_steps = (step for step in plan.steps.values() if step.stage == "gan")
    # The text tells specs apart, because the spec of a plugin may hold lists, which have no hash.
    step_of = {canonical(step.spec["gan"]): step for step in gan_steps}
    for step in step_of.values():
        gan = GanStep.of(step).gan
        GENERATORS[gan.kind].check(gan, device)
    trials = [s.spec["classifier"] for s in plan.steps.values() if s.stage == "trial"]
    for precision in {classifier["precision"] for classifier in trials}:
        check_precision(precision, device, "classifier.precision")


def _obeys_a_stop(step: Step) -> bool:
    """Whether the step ends by itself if the user asks for a stop, and leaves a checkpoint."""
    return step.stage == "gan" and GENERATORS[GanStep.of(step).gan.kind].stops


def attempt(step: Step, context: Context) -> Outcome:
    """Run a step and return its outcome. An exception becomes a failed outcome."""
    try:
        execute(step, context)
    except Exception as error:  # a step may fail in any way
        return failed(step.ref, error)
    return Outcome(step.ref)


def stopped(ref: str) -> Outcome:
    """The outcome of a step that a stop request kept from starting."""
    return Outcome(ref, "asked to stop", is_stopped=True)


def failed(ref: str, error: BaseException) -> Outcome:
    """The outcome of a step that raised."""
    text = one_line(str(error), limit=None) or "no message"
    return Outcome(
        ref,
        f"{type(error).__name__}: {text}",
        encodable("".join(traceback.format_exception(error))),
        is_final=isinstance(error, (InputError, TrainingEnded)),
        is_stopped=isinstance(error, Stopped),
    )
