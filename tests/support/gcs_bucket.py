"""A Google Cloud Storage server of the tests' own on this machine."""

from __future__ import annotations

import io
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("gcp_storage_emulator", reason="the tests' Google Cloud Storage server")
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

BUCKET = "lussweep-tests"


class Handler(RequestHandler):
    """The emulator, and before it the one condition that it does not know: ifGenerationMatch.

    The server has one thread, so that comparing and writing are one.
    """

    def do_POST(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.rfile = io.BytesIO(body)
        if "ifGenerationMatch" in query:
            name = query.get("name") or re.findall(r'"name": "(.*?)"', body.decode())
            if self._generation(name[0]) != query["ifGenerationMatch"][0]:
                self.send_error(412)
                return
        super().do_POST()

    def _generation(self, name: str) -> str:
        """0 where there is no such object, as in the real service."""
        try:
            return str(self.storage.get_file_obj(BUCKET, name)["generation"])
        except NotFound:
            return "0"


class GcsServer:
    def url(self) -> str:
        """A prefix that nobody has used."""
        return f"gs://{BUCKET}/{uuid.uuid4().hex[:12]}"


@contextmanager
def running() -> Iterator[GcsServer]:
    """The server with one bucket, and the environment by which gcsfs finds it."""
    storage = Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    server = HTTPServer(("127.0.0.1", 0), partial(Handler, storage))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.server_port}",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks another service for the bucket's kind
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield GcsServer()
    server.shutdown()
    server.server_close()
    thread.join()
