"""A Ray cluster of several nodes on this machine, each with processes of its own.

The head has no CPU, so that every step but the smallest runs on a node that may be lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.commands import with_helpers
from support.faults import kill_tree


class Nodes:
    """The cluster, kept by another process; nodes are named by the process id of their raylet."""

    def __init__(self, log: Path) -> None:
        self.log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.nodes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True, env={**with_helpers(), "RAY_AUTH_MODE": "token"},
        )  # fmt: skip
        self.address: str = self._ask("head")["address"]
        self.alive: list[int] = []

    def add(self) -> int:
        self.alive.append(self._ask("add")["raylet"])
        return self.alive[-1]

    def kill(self, raylet: int) -> None:
        """kill -9 of all its processes."""
        self.alive.remove(raylet)
        kill_tree(raylet)

    def announce_preemption(self, raylet: int, seconds: int) -> None:
        """As a cloud's notice does through Ray: no new work, and the end in so many seconds."""
        assert self._ask("drain", raylet, seconds)["accepted"]

    def _ask(self, *words: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise AssertionError(Path(self.log.name).read_text())


@contextmanager
def cluster(folder: Path, n_nodes: int) -> Iterator[Nodes]:
    nodes = Nodes(folder / "nodes.log")
    try:
        for _ in range(n_nodes):
            nodes.add()
        yield nodes
    finally:
        for raylet in nodes.alive:
            kill_tree(raylet)
        kill_tree(nodes.process.pid)
        nodes.process.wait()
        nodes.log.close()


def serve() -> None:
    import lussweep.backend.cluster.session as session  # the environment of our nodes

    from ray._private.authentication.authentication_token_setup import (  # isort: skip
        ensure_token_if_auth_enabled,
    )
    from ray._raylet import GcsClient  # isort: skip
    from ray.cluster_utils import Cluster  # isort: skip
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # isort: skip

    ensure_token_if_auth_enabled()
    session._close_token_file()
    kept, node_ids = Cluster(shutdown_at_exit=False), {}
    for line in sys.stdin:
        match json.loads(line):
            case ["head"]:
                kept.add_node(num_cpus=0, include_dashboard=False)
                answer: dict[str, Any] = {"address": kept.address}
            case ["add"]:
                node = kept.add_node(num_cpus=1)
                raylet = node.all_processes["raylet"][0].process.pid
                node_ids[raylet] = node.node_id
                answer = {"raylet": raylet}
            case ["drain", raylet, seconds]:
                accepted, _ = GcsClient(address=kept.address).drain_node(
                    node_ids[raylet], DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,
                    "the instance is taken back", int(1000 * (time.time() + seconds)),
                )  # fmt: skip
                answer = {"accepted": accepted}
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    serve()
