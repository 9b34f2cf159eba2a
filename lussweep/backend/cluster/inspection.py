"""Collects facts about a Ray cluster and its nodes for the doctor to judge."""

from __future__ import annotations

import ipaddress
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray

from lussweep.backend.cluster.nodes import alive_nodes, ask_all, names_of, on
from lussweep.backend.cluster.private import HEAD_RESOURCE
from lussweep.backend.cluster.reach import strangers_may_enter
from lussweep.backend.machine import Clock, Machine, answer_mark, look, now, probe_storage
from lussweep.store.object_store import url_answer

STRANGER_S = 5.0
CLIENT_PORT = 10001  # the default of `ray start`


@dataclass(frozen=True)
class ClusterFacts:
    """Facts about a cluster. Nodes are named by their host, with an id if several share a host."""

    control_open: bool | None
    """Whether the control service answers without a token; None if it could not be asked."""
    dashboard_status: int | None
    """The HTTP status of a request to the dashboard without a token; None without an answer."""
    mode: str
    """$RAY_AUTH_MODE of this process; empty if it is not set."""
    head: str
    """The name of the head node."""
    ports: Mapping[str, int]
    """Ports of the head's services, by service."""
    machines: Mapping[str, Machine]
    """Facts about each node that answered, by node."""
    silent: Mapping[str, str]
    """The reason why a node gave no answer, by node."""
    clocks: Mapping[str, Clock]
    cpus: Mapping[str, float]
    """CPUs that Ray gives to tasks, by node."""
    gpus: Mapping[str, float]
    """GPUs that Ray gives to tasks, by node."""
    storage: Mapping[str, Mapping[str, str]]
    """Why a node does not share a place, empty if it does: by folder or URL, then by node."""


def inspect(dashboard_url: str, folders: Sequence[Path], urls: Sequence[str] = ()) -> ClusterFacts:
    """Collect facts about the cluster that this process is connected to, here and on each node.

    `folders` and `urls` are the places that all nodes must share.
    """
    alive = alive_nodes()
    names = names_of(alive)
    cpus = {names[n["NodeID"]]: n["Resources"].get("CPU", 0.0) for n in alive}
    gpus = {names[n["NodeID"]]: n["Resources"].get("GPU", 0.0) for n in alive}
    head = next(n for n in alive if HEAD_RESOURCE in n["Resources"])
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
        return on(node, look).remote(wanted, node["Resources"].get("GPU", 0) > 0)

    machines, silent = ask_all(alive, names, look_there)
    answering = [node for node in alive if names[node["NodeID"]] in machines]

    def ask(folder: str, mark: str) -> dict[str, str]:
        def answer(node: dict[str, Any]) -> Any:
            return on(node, answer_mark).remote(folder, mark, names[node["NodeID"]])

        answers, silent = ask_all(answering, names, answer)
        return {**answers, **silent}

    def ask_about(url: str) -> dict[str, str]:
        answers, silent = ask_all(answering, names, lambda n: on(n, url_answer).remote(url))
        here = url_answer(url)
        return {**({"this process": here} if here else {}), **answers, **silent}

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
        storage={str(folder): probe_storage(folder, ask) for folder in folders}
        | {url: ask_about(url) for url in urls},
    )


def dashboard_status(url: str) -> int | None:
    """The HTTP status of a request without a token; None if there is no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/version", timeout=STRANGER_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def is_open() -> bool:
    """Whether the cluster that this process is connected to accepts callers without a token."""
    return bool(strangers_may_enter(ray.get_runtime_context().gcs_address))


def _is_reachable(url: str, head: dict[str, Any]) -> bool:
    """Whether the URL leads to the head's dashboard. Localhost does so only on the head."""
    host = urlsplit(url).hostname or ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return not is_local or ray.get_runtime_context().get_node_id() == head["NodeID"]


def _clocks(nodes: list[dict[str, Any]], names: Mapping[str, str]) -> Iterator[tuple[str, Clock]]:
    """Compare the nodes' clocks with ours, by name.

    Nodes are asked one by one, after their workers have started, so that an answer comes quickly.
    """
    for node in nodes:
        sent = now()
        answers, _ = ask_all([node], names, lambda n: on(n, now).remote())
        for name, time_there in answers.items():
            yield name, Clock(sent, time_there, now())
