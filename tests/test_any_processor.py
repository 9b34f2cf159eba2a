"""Tests that train hold on any processor: a second run computes with other instructions.

Sums come out otherwise where a processor adds more numbers at a time, and a training that is
chaotic ends elsewhere. So `.ci/run` runs what is marked `any_processor` a second time.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
import torch

from other_instructions import LIMITS
from support.commands import ROOT, TESTS

pytestmark = pytest.mark.any_processor
MARKED = "pytest.mark.any_processor"
NAMES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")

SEEN = """
import torch
print("PyTorch:", torch.backends.cpu.get_cpu_capability())
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    torch.nn.functional.conv2d(torch.rand(4, 1, 64, 64), torch.rand(8, 1, 4, 4))
"""

TRAINS = re.compile(
    r"""(succeed|invoke|lussweep|command)\(\s*"grid" | \b(uninterrupted|finished):\ Path
    | support\.trainings | train_(gan|classifier) | (Inline|Cluster)Executor
    | lussweep\.models\.(generators|classifiers)\..*step""",
    re.VERBOSE,
)
"""What a file holds that trains networks, or looks at a run that did."""

NO_SECOND_RUN = {
    "trains nothing: its steps are made up": "test_driver test_inline test_schedule test_memory",
    "compares runs of one machine with each other": """
        test_faults test_faults_cells test_faults_nodes test_remote_runs test_training_workers""",
    "asks for files, codes and messages, whatever was learned": """
        test_browser test_cli test_commands test_compare test_concealed test_events
        test_extending_sections test_feature_map test_ingest test_interim test_loaded_runs
        test_nothing_told test_optuna_journal test_page test_readme test_remote_commands test_report
        test_show test_startable test_times""",
    "slow": "test_quickstart",
}
"""Files that train and need no second run, by the reason."""


def instructions(limits: Mapping[str, str]) -> tuple[str, str]:
    """What PyTorch's own loops and oneDNN compute with in a process under these limits."""
    environment = {k: v for k, v in os.environ.items() if k not in NAMES} | dict(limits)
    printed = subprocess.run(
        [sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True, check=True
    ).stdout
    pytorch, onednn = re.search(r"PyTorch: (\w+)", printed), re.search(r"cpu,isa:(.*)", printed)
    assert pytorch and onednn, printed
    return pytorch[1], onednn[1]


@pytest.mark.unhurried
@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="needs an x86 processor: PyTorch knows one set of instructions of others",
)
def test_the_second_run_computes_with_other_instructions_than_the_first() -> None:
    pytorch, onednn = instructions({})
    fewer = {"AVX512": ("AVX2", "Intel AVX2"), "AVX2": ("DEFAULT", "Intel SSE4.1")}[pytorch]
    assert instructions(LIMITS[pytorch]) == fewer
    assert onednn != fewer[1]


@pytest.mark.unhurried
def test_this_run_computes_with_the_instructions_that_it_is_asked_for() -> None:
    asked = {name: os.environ[name] for name in NAMES if name in os.environ}
    pytorch, onednn = instructions(asked)
    assert torch.backends.cpu.get_cpu_capability() == pytorch
    if "ATEN_CPU_CAPABILITY" in asked:
        assert pytorch == asked["ATEN_CPU_CAPABILITY"].upper()
    if "ONEDNN_MAX_CPU_ISA" in asked:
        assert asked["ONEDNN_MAX_CPU_ISA"] in onednn.upper().replace(".", "")


def test_ci_runs_what_is_marked_under_these_limits() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    first = lines.index("limits=$(python tests/other_instructions.py)")
    assert lines[first + 1] == 'env $limits python -m pytest -m "any_processor and not slow"'
    assert "set -euo pipefail" in lines, "else a script that fails would limit nothing"


def test_every_file_that_trains_is_marked_for_the_second_run_or_named_with_a_reason() -> None:
    texts = {path: path.read_text() for path in TESTS.rglob("test_*.py")}
    named = [name for names in NO_SECOND_RUN.values() for name in names.split()]
    unmarked = [p.stem for p, t in texts.items() if TRAINS.search(t) and MARKED not in t]
    assert sorted(unmarked) == sorted(named)
