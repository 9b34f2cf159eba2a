"""What a run of the tests did not test, by name: a hook of pytest's, which conftest.py takes in."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each skipped test with its reason, where pytest's own would only count them."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped")
    for report in skipped:
        terminalreporter.write_line(f"{report.nodeid}: {reason(report)}")


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test, or a whole module, was skipped, in one line."""
    where_and_why = report.longrepr
    why = where_and_why[2] if isinstance(where_and_why, tuple) else str(where_and_why)
    return " ".join(why.removeprefix("Skipped: ").split())
