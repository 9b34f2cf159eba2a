"""An S3 server of the tests' own on this machine, which can be told to fail for a while."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "lussweep-tests"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Server:
    """moto's S3 behind a gate: `requests` are kept, and some may be refused or slowed."""

    def __init__(self) -> None:
        from moto.moto_server.threaded_moto_server import MotoRequestHandler
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.app = DomainDispatcherApplication(create_backend_app)
        self.requests: list[str] = []
        self.n_failing = 0
        self.delay_s = 0.0
        self.failing_methods = ("GET", "PUT", "HEAD", "POST", "DELETE")
        self.server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        method = environ["REQUEST_METHOD"]
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        self.requests.append(f"{method} {environ['PATH_INFO']}{query}")
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.n_failing and method in self.failing_methods:
            self.n_failing -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        return self.app(environ, start)

    @contextmanager
    def failing(self, n: int, methods: tuple[str, ...] = ()) -> Iterator[None]:
        """The next n requests (with these methods) are answered with status 500."""
        every = self.failing_methods
        self.n_failing, self.failing_methods = n, methods or every
        try:
            yield
        finally:
            self.n_failing, self.failing_methods = 0, every

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Every answer comes so late."""
        self.delay_s = seconds
        try:
            yield
        finally:
            self.delay_s = 0.0

    def url(self) -> str:
        """A prefix that nobody has used."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()


@contextmanager
def running() -> Iterator[Server]:
    """The server with one bucket, and the environment by which everything finds it."""
    import fsspec

    server = Server()
    before = dict(os.environ)
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=server.endpoint)
    try:
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        yield server
    finally:
        for name in (*CREDENTIALS, "AWS_ENDPOINT_URL"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
        server.stop()
