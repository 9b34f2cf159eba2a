"""Checks, before anything is submitted, that every node can use the shared places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lussweep.backend.cluster.nodes import alive_nodes
from lussweep.errors import InputError, one_line
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.folders import LocalFolder, marked
from lussweep.store.object_store import ObjectStore

PATIENCE_S = 120.0
"""Seconds to wait for a node, which may have to start a worker and import torch first."""


def check_nodes(stores: Sequence[ArtifactStore]) -> None:
    """Raises InputError that names each node which cannot use one of the stores.

    Does nothing on a single node, because the driver has checked its own.
    """
    nodes = alive_nodes()
    if len(nodes) < 2:
        return
    with ExitStack() as stack:
        marks = {
            i: stack.enter_context(marked(LocalFolder(store.root)))
            for i, store in enumerate(stores)
            if not isinstance(store, ObjectStore)
        }
        probe = ray.remote(num_cpus=0, max_retries=2)(problems_here)  # retried if it is killed
        tasks = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = probe.options(scheduling_strategy=there).remote(list(stores), marks)
            tasks[task] = node
        ray.wait(list(tasks), num_returns=len(tasks), timeout=PATIENCE_S)
        problems = [line for task, node in tasks.items() for line in _answer_of(task, node)]
    if problems:
        raise InputError(problems)


def problems_here(stores: Sequence[ArtifactStore], marks: Mapping[int, str]) -> list[str]:
    """The problems that this node has with the stores, one line each.

    `marks` names the file that the driver has left in a store's folder, by the store's position.
    Object stores have none.
    """
    problems = []
    for i, store in enumerate(stores):
        if i in marks and not (store.root / marks[i]).exists():
            problems.append(
                f"does not see the driver's files in {store.place}: mount shared storage there on "
                "every node, or give --out and --store a URL such as s3://BUCKET/PREFIX"
            )
            continue
        try:
            store.check_writable()
        except InputError as error:
            problems += error.problems
    return problems


def _answer_of(task: ray.ObjectRef[list[str]], node: Mapping[str, Any]) -> list[str]:
    """The problems of a node, or the reason why it did not answer, one line each."""
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    ready, _ = ray.wait([task], timeout=0)
    if not ready:
        ray.cancel(task, force=True)
        return [f"node {name} has not answered for {PATIENCE_S:.0f} s: look after it or remove it"]
    try:
        return [f"node {name} {line}" for line in ray.get(task)]
    except ray.exceptions.RayError as error:
        if not any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node["NodeID"]):
            return []  # the node has left the cluster
        reason = one_line(error, limit=300)
        return [f"node {name} cannot run a step ({reason}): install lussweep there as here"]
