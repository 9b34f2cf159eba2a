"""Judges from facts whether nodes are alike, share their storage and have room."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lussweep.backend.doctor.findings import Finding, judge
from lussweep.backend.machine import Clock, Gpus, Machine, Space
from lussweep.store.remote import is_url

MAX_SKEW_S = 2.0
GIB = 2**30
RAY_FULL = 0.95
"""The used share of a disk above which Ray stores no objects, and of memory above which it kills
workers."""
ROOM_FOR_RUN = 10 * GIB
ROOM_PER_CPU = GIB
MUST_AGREE = ("python", "ray", "lussweep")
"""Ray refuses nodes that differ in the first two. Two versions of lussweep may compute different
results under one key."""


def check_answers(n_nodes: int, silent: Mapping[str, str]) -> Finding:
    """Judge whether all nodes answered. `silent` holds, by node, why one did not."""
    return judge(
        "nodes",
        f"{n_nodes} answered",
        [],
        [f"{node}: {why}" for node, why in silent.items()],
        "see that lussweep is installed there, or take the node out",
    )


def check_clocks(clocks: Mapping[str, Clock]) -> Finding:
    """Judge the clocks. A clock's error is the distance of its answer from [sent, received]."""
    off = {n: max(c.sent - c.answered, c.answered - c.received, 0.0) for n, c in clocks.items()}
    return judge(
        "clocks",
        f"within {MAX_SKEW_S:g} s of this one",
        [f"{n} is {s:.0f} s or more off" for n, s in off.items() if s > MAX_SKEW_S],
        [],
        "keep them by NTP: times in records and logs would contradict each other",
    )


def check_versions(ours: Mapping[str, str], by_node: Mapping[str, Mapping[str, str]]) -> Finding:
    """Compare the versions of Python and libraries with those of this process."""
    problems: list[str] = []
    warnings: list[str] = []
    for name in sorted({*ours}.union(*by_node.values())):
        differing: dict[str, list[str]] = {}
        for node, versions in by_node.items():
            if versions.get(name) != ours.get(name):
                differing.setdefault(versions.get(name, "none"), []).append(node)
        for version, nodes in differing.items():
            line = f"{name} {version} on {', '.join(nodes)}, {ours.get(name, 'none')} here"
            (problems if name in MUST_AGREE else warnings).append(line)
    fine = ", ".join(f"{name} {version}" for name, version in ours.items())
    return judge("versions", fine, warnings, problems, "install the same versions on all nodes")


def check_storage(place: str, answers: Mapping[str, str]) -> Finding:
    """Judge a folder or URL. `answers` holds, by node, why it cannot use it; empty if it can."""
    return judge(
        "storage",
        f"{place}: written and read by {len(answers)} node{'s' if len(answers) > 1 else ''}",
        [],
        [f"{node}: {error}" for node, error in answers.items() if error],
        "give every node the driver's credentials, endpoint and network"
        if is_url(place)
        else "choose a folder that every node has mounted and may write",
    )


def check_gpus(by_node: Mapping[str, Gpus | None], given: Mapping[str, float]) -> Finding:
    """Judge the GPUs. `given` holds the number that Ray knows of, by node."""
    problems, warnings, shown = [], [], []
    drivers: set[str] = set()
    for node, gpus in by_node.items():
        if gpus is None:
            continue
        n_shown, n_given = len(gpus.names), given.get(node)
        drivers.update(gpus.drivers)
        if gpus.names:
            shown.append(f"{node}: {n_shown} x {gpus.names[0]}, driver {', '.join(gpus.drivers)}")
        if not gpus.names:
            problems.append(f"{node}: Ray has {n_given or 0:g} GPU, nvidia-smi shows none")
        elif gpus.usable is None:
            problems.append(f"{node}: torch does not answer")
        elif not gpus.torch_cuda:
            problems.append(f"{node}: torch is built for the CPU alone")
        elif gpus.usable < n_shown:
            problems.append(
                f"{node}: torch (CUDA {gpus.torch_cuda}) can use {gpus.usable} of {n_shown} GPUs "
                f"with driver {', '.join(gpus.drivers)}"
            )
        elif n_given == 0:
            warnings.append(f"{node}: Ray was started without its {n_shown} GPUs")
    if len(drivers) > 1:
        warnings.append(f"drivers differ: {', '.join(sorted(drivers))}")
    return judge(
        "gpu",
        "; ".join(shown) or "none: everything runs on CPUs",
        warnings,
        problems,
        "install an NVIDIA driver that suits torch's CUDA, or the torch that suits the driver",
    )


def check_disks(machines: Mapping[str, Machine], stores: Collection[str]) -> Finding:
    """Judge the disks. `stores` need room for a run; Ray's folder must not be nearly full."""
    problems, warnings, free = [], [], []
    for node, machine in machines.items():
        for path, space in machine.disks.items():
            line = f"{_gib(space.free)} free for {path} on {node}"
            free.append(line)
            is_full = space.free < (1 - RAY_FULL) * space.total
            if path not in stores and is_full:
                problems.append(f"{line}: over {RAY_FULL:.0%} full, where Ray stores nothing more")
            elif path in stores and space.free < ROOM_FOR_RUN:
                warnings.append(line)
    remedy = "free some room, or choose another --store or --out (for Ray: RAY_TMPDIR)"
    return judge("disk", "; ".join(free), warnings, problems, remedy)


def check_memory(by_node: Mapping[str, Space | None], n_cpus: Mapping[str, float]) -> Finding:
    """Judge the memory. `n_cpus` holds the CPUs that Ray gives to workers, by node."""
    problems, warnings, free = [], [], []
    for node, space in by_node.items():
        if space is None:
            continue
        line = f"{_gib(space.free)} of {_gib(space.total)} free on {node}"
        free.append(line)
        if space.free < (1 - RAY_FULL) * space.total:
            problems.append(f"{line}: Ray kills workers there")
        elif space.free < ROOM_PER_CPU * n_cpus.get(node, 0):
            warnings.append(f"{line}, for {n_cpus[node]:g} CPUs with a worker each")
    remedy = "end what else runs there, or start Ray with fewer CPUs (a local one: grid --cpus)"
    return judge("memory", "; ".join(free) or "unknown on this system", warnings, problems, remedy)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / GIB:.1f} GiB"
