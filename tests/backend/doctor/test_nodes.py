"""Each check of the nodes, both ways."""

from __future__ import annotations

import pytest

from lussweep.backend.doctor.findings import Finding, is_sound, show
from lussweep.backend.doctor.nodes import (
    GIB,
    check_answers,
    check_clocks,
    check_disks,
    check_gpus,
    check_memory,
    check_storage,
    check_versions,
)
from lussweep.backend.doctor.security import (
    check_addresses,
    check_authentication,
    check_own_ray,
    check_ray_version,
    check_token_files,
)
from lussweep.backend.machine import Clock, Gpus, Listening, Machine, Space, TokenFile

OURS = {"python": "3.11.13", "ray": "2.60.0", "lussweep": "0.1.0", "torch": "2.13.0"}
FINE = Gpus(("L4",), ("570.1",), "12.8", 1)


def test_silent_nodes() -> None:
    assert check_answers(2, {}).status == "ok"
    found = check_answers(1, {"b": "no answer within 60 s"})
    assert (found.status, found.found) == ("problem", "b: no answer within 60 s")


@pytest.mark.parametrize("told", [100.0, 103.0, 98.1, 106.9])
def test_a_clock_between_question_and_answer_is_right_whatever_it_says(told: float) -> None:
    """The answer took 5 s: what the clock shows within them tells nothing against it."""
    assert check_clocks({"a": Clock(100.0, told, 105.0)}).status == "ok"


@pytest.mark.parametrize(("told", "off"), [(97.0, "3 s"), (110.0, "5 s")])
def test_a_clock_that_is_off_is_named(told: float, off: str) -> None:
    clocks = {"a": Clock(100.0, told, 105.0), "b": Clock(100.0, 101.0, 105.0)}
    found = check_clocks(clocks)
    assert found.status == "warning"
    assert found.found.startswith(f"a is {off}") and "b is" not in found.found


def test_equal_versions() -> None:
    assert check_versions(OURS, {"a": OURS, "b": dict(OURS)}).status == "ok"


@pytest.mark.parametrize(
    ("name", "status"),
    [("python", "problem"), ("ray", "problem"), ("lussweep", "problem"), ("torch", "warning")],
)
def test_other_versions_are_named_with_their_nodes(name: str, status: str) -> None:
    other = {**OURS, name: "9.9"}
    found = check_versions(OURS, {"a": OURS, "b": other, "c": other})
    assert (found.status, found.found) == (status, f"{name} 9.9 on b, c, {OURS[name]} here")


def test_a_missing_library_differs() -> None:
    without = {name: version for name, version in OURS.items() if name != "lussweep"}
    assert "lussweep none on a" in check_versions(OURS, {"a": without}).found
    assert "0.1.0 on a, none here" in check_versions(without, {"a": OURS}).found


def test_storage() -> None:
    assert check_storage("/mnt", {"a": "", "b": ""}).status == "ok"
    found = check_storage("/mnt", {"a": "", "b": "/mnt: Permission denied"})
    assert (found.status, found.found) == ("problem", "b: /mnt: Permission denied")


def test_gpus_that_can_be_used() -> None:
    found = check_gpus({"a": FINE, "b": None}, {"a": 1.0, "b": 0.0})
    assert (found.status, found.found) == ("ok", "a: 1 x L4, driver 570.1")
    assert check_gpus({"a": None}, {}).status == "ok"
    assert check_gpus({"a": FINE}, {}).status == "ok"  # before a local Ray was started


@pytest.mark.parametrize(
    ("gpus", "given", "status", "words"),
    [
        (Gpus((), (), "", None), 1.0, "problem", "nvidia-smi shows none"),
        (Gpus(("L4",), ("570.1",), "", None), 1.0, "problem", "does not answer"),
        (Gpus(("L4",), ("570.1",), "", 0), 1.0, "problem", "built for the CPU"),
        (Gpus(("L4",), ("470.9",), "12.8", 0), 1.0, "problem", "can use 0 of 1 GPUs with driver"),
        (FINE, 0.0, "warning", "without its 1 GPUs"),
    ],
)
def test_gpus_that_cannot(gpus: Gpus, given: float, status: str, words: str) -> None:
    found = check_gpus({"a": gpus}, {"a": given})
    assert found.status == status
    assert words in found.found


def test_drivers_that_differ() -> None:
    other = Gpus(("L4",), ("560.2",), "12.8", 1)
    found = check_gpus({"a": FINE, "b": other}, {"a": 1.0, "b": 1.0})
    assert (found.status, found.found) == ("warning", "drivers differ: 560.2, 570.1")


@pytest.mark.parametrize(
    ("path", "free", "status"),
    [
        ("/mnt", 11, "ok"),
        ("/mnt", 9, "warning"),
        ("/tmp/ray", 6, "ok"),
        ("/tmp/ray", 4, "problem"),
    ],
)
def test_room_on_disk(path: str, free: int, status: str) -> None:
    """A store of 100 GiB wants room for a run; Ray stops where less than 5 % are free."""
    machine = Machine("a", {}, "", disks={path: Space(free * GIB, 100 * GIB)})
    assert check_disks({"a": machine}, {"/mnt"}).status == status


@pytest.mark.parametrize(("free", "status"), [(9, "ok"), (7, "warning"), (2, "problem")])
def test_room_in_memory(free: int, status: str) -> None:
    found = check_memory({"a": Space(free * GIB, 64 * GIB), "b": None}, {"a": 8.0, "b": 8.0})
    assert found.status == status


def test_a_head_without_tasks_needs_no_memory_for_them() -> None:
    assert check_memory({"a": Space(4 * GIB, 16 * GIB)}, {"a": 0.0}).status == "ok"


def test_only_problems_stop_a_run() -> None:
    fine, odd = Finding("a", "ok", "x"), Finding("b", "warning", "y", "do z")
    assert is_sound([fine, odd])
    assert not is_sound([fine, Finding("c", "problem", "y", "do z")])
    assert show([fine, odd], False).splitlines() == ["ok       a: x", "warning  b: y -> do z"]


def test_whatever_is_wrong_has_a_remedy() -> None:
    full = Machine("a", {}, "", disks={"/tmp/ray": Space(GIB, 100 * GIB)})
    wrong = [
        check_answers(1, {"b": "no answer"}),
        check_clocks({"a": Clock(100.0, 0.0, 101.0)}),
        check_versions(OURS, {"a": {}}),
        check_storage("/mnt", {"a": "Permission denied"}),
        check_gpus({"a": Gpus((), (), "", None)}, {"a": 1.0}),
        check_disks({"a": full}, set()),
        check_memory({"a": Space(GIB, 64 * GIB)}, {"a": 8.0}),
        check_ray_version({"a": "2.9.0"}),
        check_authentication(True, None, "token"),
        check_authentication(None, None, ""),
        check_own_ray("disabled"),
        check_addresses({"dashboard": 8265}, [Listening("0.0.0.0", 8265)], True),
        check_addresses({"dashboard": 8265}, None, True),
        check_token_files({"a": TokenFile("/home/a/.ray/auth_token", 0o644, 0o755)}),
    ]
    assert {finding.status for finding in wrong} == {"problem", "warning"}
    assert all(finding.remedy for finding in wrong)
