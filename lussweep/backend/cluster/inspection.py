"""Facts about a Ray cluster and its nodes, for lussweep.doctor to judge."""

from __future__ import annotations

import ipaddress
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lussweep.backend.cluster.reach import strangers_may_enter
from lussweep.backend.cluster.session import ray
from lussweep.machine import Clock, Machine, answer_mark, look, now, probe_storage

ANSWER_S = 60.0
"""A node that starts its first worker, and torch in it to ask for GPUs, answers within this."""
STRANGER_S = 5.0
CLIENT_PORT = 10001  # of `ray start`, unless it is told another


@dataclass(frozen=True)
class ClusterFacts:
    """Nodes go by their host's name, or by more of it where that is not enough."""

    control_open: bool | None
    dashboard_status: int | None
    mode: str
    head: str
    ports: Mapping[str, int]
    machines: Mapping[str, Machine]
    silent: Mapping[str, str]
    clocks: Mapping[str, Clock]
    cpus: Mapping[str, float]
    gpus: Mapping[str, float]
    storage: Mapping[str, Mapping[str, str]]
    """By folder and node what keeps the node from sharing the folder."""


def inspect(dashboard_url: str, folders: Sequence[Path]) -> ClusterFacts:
    """The cluster that this process is connected to, looked at from outside and from each node."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    names = _names(alive)
    cpus = {names[n["NodeID"]]: n["Resources"].get("CPU", 0.0) for n in alive}
    gpus = {names[n["NodeID"]]: n["Resources"].get("GPU", 0.0) for n in alive}
    head = next(n for n in alive if "node:__internal_head__" in n["Resources"])
    address = ray.get_runtime_context().gcs_address
    ports = {"control service": int(address.rsplit(":", 1)[1]), "client server": CLIENT_PORT}
    status = None
    if dashboard_url:
        ports["dashboard"] = urlsplit(dashboard_url).port or 0
        if _is_reachable(dashboard_url, head):
            status = dashboard_status(dashboard_url)

    def look_there(node: dict[str, Any]) -> Any:
        ray_folder = str(Path(node["ObjectStoreSocketName"]).parents[2])
        wanted = [*map(str, folders), ray_folder]
        return _on(node, look).remote(wanted, node["Resources"].get("GPU", 0) > 0)

    machines, silent = _ask(alive, names, look_there)
    answering = [node for node in alive if names[node["NodeID"]] in machines]

    def ask(folder: str, mark: str) -> dict[str, str]:
        def answer(node: dict[str, Any]) -> Any:
            return _on(node, answer_mark).remote(folder, mark, names[node["NodeID"]])

        told, lost = _ask(answering, names, answer)
        return {**told, **lost}

    return ClusterFacts(
        control_open=strangers_may_enter(address),
        dashboard_status=status,
        mode=os.environ.get("RAY_AUTH_MODE", ""),
        head=names[head["NodeID"]],
        ports=ports,
        machines=machines,
        silent=silent,
        clocks=dict(_clocks(answering, names)),
        cpus=cpus,
        gpus=gpus,
        storage={str(folder): probe_storage(folder, ask) for folder in folders},
    )


def dashboard_status(url: str) -> int | None:
    """HTTP's answer to a request without a token, None if there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/version", timeout=STRANGER_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def is_open() -> bool:
    """Whether the cluster that this process is connected to lets in who has no token."""
    return bool(strangers_may_enter(ray.get_runtime_context().gcs_address))


def _is_reachable(url: str, head: dict[str, Any]) -> bool:
    """On another node than the head's, localhost may be somebody else's dashboard."""
    host = urlsplit(url).hostname or ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return not is_local or ray.get_runtime_context().get_node_id() == head["NodeID"]


def _names(nodes: list[dict[str, Any]]) -> dict[str, str]:
    hosts = [node["NodeManagerHostname"] for node in nodes]
    return {
        node["NodeID"]: host if hosts.count(host) == 1 else f"{host}#{node['NodeID'][:6]}"
        for node, host in zip(nodes, hosts, strict=True)
    }


def _on(node: dict[str, Any], function: Callable[..., Any]) -> Any:
    """`function` as a task that this node runs, however little it has left."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node["NodeID"], soft=False
    )
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(function)


def _ask(
    nodes: list[dict[str, Any]], names: Mapping[str, str], start: Callable[[dict[str, Any]], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The nodes' answers, and why the others gave none."""
    tasks = {start(node): names[node["NodeID"]] for node in nodes}
    if not tasks:
        return {}, {}
    ready, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=ANSWER_S)
    told: dict[str, Any] = {}
    silent: dict[str, str] = {}
    for task, name in tasks.items():
        if task not in ready:
            silent[name] = f"no answer within {ANSWER_S:g} s"
            ray.cancel(task, force=True)
            continue
        try:
            told[name] = ray.get(task)
        except ray.exceptions.RayError as error:
            silent[name] = " ".join(str(error).split())[-200:]
    return told, silent


def _clocks(nodes: list[dict[str, Any]], names: Mapping[str, str]) -> Iterator[tuple[str, Clock]]:
    """Asked one by one after their workers have started, so that question and answer lie close."""
    for node in nodes:
        sent = now()
        told, _ = _ask([node], names, lambda n: _on(n, now).remote())
        for name, time_there in told.items():
            yield name, Clock(sent, time_there, now())
