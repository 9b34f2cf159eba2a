"""Findings: the result of each check in one line, with its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    status: Status
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.status:8} {self.check}: {self.found}" + (
            f" -> {self.remedy}" if self.remedy else ""
        )


def is_sound(findings: Iterable[Finding]) -> bool:
    """Whether a run may start, which warnings allow and problems do not."""
    return all(finding.status != "problem" for finding in findings)


def show(findings: Iterable[Finding], as_json: bool) -> str:
    """One line per finding, or a JSON list of objects with the fields of Finding."""
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=1)
    return "\n".join(map(str, findings))


def judge(
    check: str, fine: str, warnings: Iterable[str], problems: Iterable[str], remedy: str
) -> Finding:
    """The finding of a check: a problem, a warning, or ok with the text `fine`.

    `warnings` and `problems` are listed in full. `remedy` is given if there are any.
    """
    problems, warnings = list(problems), list(warnings)
    if problems or warnings:
        return Finding(
            check, "problem" if problems else "warning", "; ".join(problems + warnings), remedy
        )
    return Finding(check, "ok", fine)
