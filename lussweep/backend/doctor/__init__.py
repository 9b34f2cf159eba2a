"""Checks whether a cluster, or this machine, is fit for a run and closed to other users."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lussweep.backend.doctor import nodes, security
from lussweep.backend.doctor.findings import Finding, is_sound, show
from lussweep.backend.machine import answer_mark, look, probe_storage, versions
from lussweep.errors import InputError
from lussweep.store.object_store import url_answer
from lussweep.store.remote import is_url

if TYPE_CHECKING:
    from lussweep.backend.cluster.inspection import ClusterFacts

__all__ = ["Finding", "examine", "is_sound", "judge_cluster", "show"]


def examine(address: str | None, places: Sequence[Path | str]) -> list[Finding]:
    """Examine the cluster at `address`, or this machine, and return one finding per check.

    None stands for $RAY_ADDRESS, or for this machine if that is not set. `places` are the folders
    and URLs that a run would write to. Starts no Ray.
    """
    chosen = address or os.environ.get("RAY_ADDRESS") or "local"
    folders = [Path(place) for place in places if not is_url(place)]
    urls = [str(place) for place in places if is_url(place)]
    if chosen == "local":
        return _examine_machine(folders, urls)
    from lussweep.backend.cluster.inspection import inspect
    from lussweep.backend.cluster.session import ray_session

    try:
        with ray_session(address) as url:
            return judge_cluster(inspect(url, folders, urls), folders)
    except InputError as error:
        remedy = "see that it runs, and that its token is in ~/.ray/auth_token here"
        return [Finding("cluster", "problem", str(error), remedy)]


def judge_cluster(facts: ClusterFacts, folders: Sequence[Path]) -> list[Finding]:
    """Judge the facts that `inspect` has collected: one finding per check."""
    machines = facts.machines
    authentication = security.check_authentication(
        facts.control_open, facts.dashboard_status, facts.mode
    )
    head = machines.get(facts.head)
    return [
        nodes.check_answers(len(machines), facts.silent),
        security.check_ray_version({n: m.versions.get("ray", "0") for n, m in machines.items()}),
        authentication,
        security.check_addresses(
            facts.ports, head.listening if head else None, authentication.status == "ok"
        ),
        security.check_token_files({node: m.token for node, m in machines.items()}),
        nodes.check_clocks(facts.clocks),
        nodes.check_versions(versions(), {node: m.versions for node, m in machines.items()}),
        nodes.check_gpus({node: m.gpus for node, m in machines.items()}, facts.gpus),
        nodes.check_disks(machines, {str(folder) for folder in folders}),
        nodes.check_memory({node: m.memory for node, m in machines.items()}, facts.cpus),
        *_storage(facts.storage),
    ]


def _examine_machine(folders: Sequence[Path], urls: Sequence[str]) -> list[Finding]:
    machine = look([*map(str, folders), f"{os.environ.get('RAY_TMPDIR') or '/tmp'}/ray"])
    host = machine.host

    def ask(folder: str, mark: str) -> dict[str, str]:
        return {host: answer_mark(folder, mark, host)}

    return [
        security.check_ray_version({host: machine.versions.get("ray", "0")}),
        security.check_own_ray(machine.auth_mode),
        security.check_token_files({host: machine.token}),
        nodes.check_gpus({host: machine.gpus}, {}),
        nodes.check_disks({host: machine}, {str(folder) for folder in folders}),
        nodes.check_memory({host: machine.memory}, {host: os.cpu_count() or 1}),
        *_storage(
            {str(folder): probe_storage(folder, ask) for folder in folders}
            | {url: {host: url_answer(url)} for url in urls}
        ),
    ]


def _storage(answers: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    if not answers:
        return [Finding("storage", "warning", "not checked", "name the run's --store or --out")]
    return [nodes.check_storage(place, by_node) for place, by_node in answers.items()]
