"""Links the driver and its steps on a Ray cluster, with short texts in the memory of Ray's head.

It needs no folder that the nodes share.
"""

from __future__ import annotations

from contextlib import suppress

import ray

from lussweep.backend.cluster.private import delete_from_head, get_from_head, put_in_head


def own_mark() -> str:
    """The prefix of all keys of this driver and its steps. Other drivers have other prefixes."""
    return f"lussweep:{ray.get_runtime_context().get_job_id()}:"


class ClusterLink:
    """The link of one driver. Its copies in other processes of the cluster use the same keys."""

    def __init__(self) -> None:
        self._mark = f"{own_mark()}link:"

    def ask_to_stop(self) -> None:
        self._put("stop", "asked")

    def stop_is_asked(self) -> bool:
        return bool(self._get("stop"))

    def warn(self, node_id: str) -> None:
        """Tell the steps on a node that it will be taken away."""
        self._put(f"leaving:{node_id}", "soon")

    def end_is_near(self) -> bool:
        return bool(self._get(f"leaving:{ray.get_runtime_context().get_node_id()}"))

    def tell(self, ref: str, text: str) -> None:
        self._put(ref, text)

    def progress_text(self, ref: str) -> str:
        return self._get(ref)

    def close(self) -> None:
        """Delete the keys, because the cluster may outlive the driver."""
        with suppress(ray.exceptions.RayError):
            delete_from_head(own_mark(), is_prefix=True)

    # Errors are ignored: a head that does not answer for a moment must not end a training.

    def _put(self, name: str, text: str) -> None:
        with suppress(ray.exceptions.RayError):
            put_in_head(self._mark + name, text.encode())

    def _get(self, name: str) -> str:
        with suppress(ray.exceptions.RayError):
            return get_from_head(self._mark + name).decode()
        return ""
