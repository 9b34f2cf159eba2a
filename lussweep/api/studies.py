"""Runs a study from Python, as `lussweep grid` does from the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lussweep.api.runs import LoadedRun, load_run
from lussweep.backend.choose import ExecutionOptions
from lussweep.errors import InputError
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.request import RunRequest, Trust
from lussweep.study.spec import StudySpec, dump_study

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.run.board import Board
    from lussweep.study.plan import Plan


def run_study(
    study: StudySpec | Mapping[str, Any] | Path | str,
    *,
    data: Path | str | None = None,
    label: str | None = None,
    out: Path | str | None = None,
    store: Path | str | None = None,
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
    replicates: int | None = None,
    weights: Path | str | None = None,
    backend: str = "ray",
    address: str | None = None,
    cpus: int | None = None,
    device: str = "auto",
    retries: int = 1,
    notify: Callable[[str], None] = print,
) -> LoadedRun:
    """Run every missing step of a study, write its report, and open the run.

    The same call again does what is missing, and only that. The steps, keys and tables are those of
    `lussweep grid`. A notebook's kernel drives the run until it ends; an interrupt ends it in
    order, and the report is still written.

    study: the name of an experiment that ships with lussweep, a YAML file, its values as a dict, or
    a StudySpec. data: a manifest or frame store; None takes the phantom. out: the run folder; None
    stands for `lussweep-runs/NAME`. `only` and `overrides` are texts as for `--only` and `--set`,
    such as "variant=combined" and "gan.n_epochs=5". backend: "ray" with all CPUs, or `cpus` of
    them, or "inline", which computes in this process. `notify` takes a line now and then. Other
    arguments are the options of `lussweep grid` with the same names. Raises InputError, which lists
    every mistake in the arguments, before anything is trained.

    >>> import lussweep
    >>> lussweep.run_study({"name": "mine", "gan": {"n_epoch": 5}})
    Traceback (most recent call last):
    lussweep.errors.InputError: study: unknown key gan.n_epoch: did you mean n_epochs?
    """
    if threading.current_thread() is not threading.main_thread():
        raise InputError(
            "run_study handles signals, which Python allows in the main thread only: call it "
            "there, or run `lussweep grid` as a process"
        )
    from lussweep.run.drive import drive

    for name, texts in (("only", only), ("overrides", overrides)):
        if isinstance(texts, str):
            raise InputError(f"{name} is one text: give a list of texts, such as [{texts!r}]")
    text = _text(study)
    request = RunRequest(
        "study" if text is not None else str(study),
        None if data is None else str(data),
        label,
        None,
        None if out is None else str(out),
        None if store is None else str(store),
        replicates,
        tuple(only),
        tuple(overrides),
        None if weights is None else Path(weights),
        trust=Trust(),
    )
    options = ExecutionOptions(address, backend, cpus, False, retries, None, device)
    run, run_data = open_arguments(request, text)
    context = make_context(run, run_data, options.device, request.weights)

    @contextmanager
    def display(
        progress_text: Callable[[str], str], board: Board, plan: Plan
    ) -> Iterator[Callable[[Progress], None]]:
        yield _Lines(notify)

    outcome = drive(run, run.reported(run_data.skipped), context, options, display, notify)
    if outcome.broken:
        notify(f"{outcome.broken}: call run_study again to go on")
    for error in dict.fromkeys(outcome.failures.values()):
        notify(f"a step failed: {run.conceal(error)}")
    return load_run(run.folder.place, store=store)


class _Lines:
    """Notifies of each tenth of the steps that is done."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.notify = notify
        self.last: tuple[int, int] = (0, 0)

    def __call__(self, progress: Progress) -> None:
        n_steps, n_done = len(progress.plan.steps), len(progress.done)
        tenth = (n_steps, 10 * n_done // max(n_steps, 1))
        if tenth != self.last:
            self.last = tenth
            self.notify(f"{n_done} of {n_steps} steps done")


class _WithoutAliases(yaml.SafeDumper):
    """Writes a list that stands in two places twice. Experiments have no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(study: StudySpec | Mapping[str, Any] | Path | str) -> str | None:
    """The YAML of a study that is given as an object; None for a name or a file."""
    if isinstance(study, StudySpec):
        return dump_study(study)
    if isinstance(study, Mapping):
        try:
            return yaml.dump(dict(study), Dumper=_WithoutAliases, sort_keys=False)
        except (yaml.YAMLError, RecursionError):
            raise InputError(
                "the study holds a value that YAML has no text for: give texts, numbers, lists and "
                "dicts"
            ) from None
    return None
