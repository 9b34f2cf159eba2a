"""What `lussweep plan` prints. Apart from the other tables, because it needs no PyTorch."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from lussweep.run.folder import Run
from lussweep.study.plan import STAGES


def print_plan(run: Run) -> None:
    """Steps by stage: asked for by the cells, shared, done and to do."""
    plan, store = run.asked, run.store.surveyed()
    wanted: Counter[str] = Counter()
    for ref, cells in plan.cells_by_step():
        wanted[plan.steps[ref].stage] += len(cells)
    done = Counter(step.stage for ref, step in plan.steps.items() if store.has(ref))
    table = Table(title=f"{run.study.name}: {len(plan.cells)} cells", title_justify="left")
    for heading in ("stage", "steps", "saved by sharing", "done", "to do"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    counts = plan.counts()
    for stage in STAGES:
        n = counts[stage]
        if not n:
            continue
        saved = max(0, wanted[stage] - n)
        table.add_row(stage, *map(str, (n, saved, done[stage], n - done[stage])))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"run folder: {run.place}", soft_wrap=True)
