"""Driver and steps of one Ray cluster: a few bytes each, in the memory of Ray's head.

Nodes need no folder in common for it.
"""

from __future__ import annotations

from contextlib import suppress

from lussweep.backend.cluster.session import ray

from ray.experimental import internal_kv  # isort: skip


def own_mark() -> str:
    """Before every key of this driver and its steps, as others may be at work in the cluster."""
    return f"lussweep:{ray.get_runtime_context().get_job_id()}:"


class ClusterLink:
    """Of one driver; a copy in another process of the cluster speaks with the same one."""

    def __init__(self) -> None:
        self._mark = f"{own_mark()}link:"

    def ask_to_stop(self) -> None:
        self._put("stop", "asked")

    def stop_is_asked(self) -> bool:
        return bool(self._get("stop"))

    def warn(self, node_id: str) -> None:
        """Steps on this node are told that it is about to go."""
        self._put(f"leaving:{node_id}", "soon")

    def end_is_near(self) -> bool:
        return bool(self._get(f"leaving:{ray.get_runtime_context().get_node_id()}"))

    def tell(self, ref: str, text: str) -> None:
        self._put(ref, text)

    def progress_text(self, ref: str) -> str:
        return self._get(ref)

    def close(self) -> None:
        """Leave nothing in a cluster that stays."""
        with suppress(ray.exceptions.RayError):
            internal_kv._internal_kv_del(own_mark().encode(), del_by_prefix=True)

    # No training ends because the head does not answer: without a head, Ray ends it soon enough.

    def _put(self, name: str, text: str) -> None:
        with suppress(ray.exceptions.RayError):
            internal_kv._internal_kv_put((self._mark + name).encode(), text.encode(), True)

    def _get(self, name: str) -> str:
        with suppress(ray.exceptions.RayError):
            return (internal_kv._internal_kv_get((self._mark + name).encode()) or b"").decode()
        return ""
