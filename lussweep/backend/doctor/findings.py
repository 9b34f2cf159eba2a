"""What a check found: one line, with its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    check: str
    status: Status
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.status:8} {self.check}: {self.found}" + (
            f" -> {self.remedy}" if self.remedy else ""
        )


def is_sound(findings: Iterable[Finding]) -> bool:
    """Whether a run may start: warnings do not stop it."""
    return all(finding.status != "problem" for finding in findings)


def show(findings: Iterable[Finding], as_json: bool) -> str:
    """A line a finding, or a JSON list of objects with the fields of Finding."""
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=1)
    return "\n".join(map(str, findings))


def judge(
    check: str, fine: str, warnings: Iterable[str], problems: Iterable[str], remedy: str
) -> Finding:
    """The worst of what was found, named in full; `fine` where nothing was."""
    problems, warnings = list(problems), list(warnings)
    if problems or warnings:
        return Finding(
            check, "problem" if problems else "warning", "; ".join(problems + warnings), remedy
        )
    return Finding(check, "ok", fine)
