"""A question to every node of the cluster, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lussweep.backend.cluster.session import ray
from lussweep.errors import one_line

ANSWER_S = 60.0
"""A node that starts its first worker, and torch in it to ask for GPUs, answers within this."""


def alive_nodes() -> list[dict[str, Any]]:
    """As Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def leaving_nodes() -> set[str]:
    """Ids of nodes that Ray was told will be taken away, as spot instances are."""
    return set(ray._private.state.state.get_draining_nodes())


def names_of(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """By id: a node's host, or more of it where that is not enough."""
    hosts = [node["NodeManagerHostname"] for node in nodes]
    return {
        node["NodeID"]: host if hosts.count(host) == 1 else f"{host}#{node['NodeID'][:6]}"
        for node, host in zip(nodes, hosts, strict=True)
    }


def on(node: dict[str, Any], function: Callable[..., Any]) -> Any:
    """`function` as a task that this node runs, however little it has left."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node["NodeID"], soft=False
    )
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(function)


def ask_all(
    nodes: list[dict[str, Any]], names: Mapping[str, str], start: Callable[[dict[str, Any]], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The nodes' answers by name, and why the others gave none."""
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
            silent[name] = one_line(error, limit=None)[-200:]
    return told, silent
