"""Runs functions on the nodes of the cluster and collects their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lussweep.errors import one_line

ANSWER_S = 60.0
"""Seconds within which a node answers, even if it must start a worker and import torch first."""


def alive_nodes() -> list[dict[str, Any]]:
    """The live nodes, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def names_of(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """A name for each node, by id: its host, with part of the id if nodes share the host."""
    hosts = [node["NodeManagerHostname"] for node in nodes]
    return {
        node["NodeID"]: host if hosts.count(host) == 1 else f"{host}#{node['NodeID'][:6]}"
        for node, host in zip(nodes, hosts, strict=True)
    }


def on(node: dict[str, Any], function: Callable[..., Any]) -> Any:
    """`function` as a Ray task that runs on this node and takes no CPU."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=there)


def ask_all(
    nodes: list[dict[str, Any]], names: Mapping[str, str], start: Callable[[dict[str, Any]], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask all nodes at once. `start` submits a task on a node.

    Returns the answers by name, and the reasons why other nodes gave none.
    """
    tasks = {start(node): names[node["NodeID"]] for node in nodes}
    if not tasks:
        return {}, {}
    ready, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=ANSWER_S)
    answers: dict[str, Any] = {}
    silent: dict[str, str] = {}
    for task, name in tasks.items():
        if task not in ready:
            silent[name] = f"no answer within {ANSWER_S:g} s"
            ray.cancel(task, force=True)
            continue
        try:
            answers[name] = ray.get(task)
        except ray.exceptions.RayError as error:
            silent[name] = one_line(error, limit=None)[-200:]
    return answers, silent
