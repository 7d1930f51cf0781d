"""A real S3 protocol server for tests, and a gate before it that is slow, fails, or is away."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from labeling.review.label_studio.ports import free_port
from tests.requirements import require_module

_START_S = 60.0
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass(frozen=True)
class RunningS3:
    """An S3 server on this machine, which accepts any keys."""

    url: str

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # the server takes any
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All contents by key."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[RunningS3]:
    """One server for all tests; each takes a bucket of its own."""
    require_module("s3", "moto")
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    server = subprocess.Popen(command, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(url, server)
        yield RunningS3(url)
    finally:
        server.kill()
        server.wait()


def _wait_until_it_answers(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_S
    with httpx.Client(trust_env=False) as client:  # one for all: each reads the certificates once more
        while True:
            try:
                client.get(f"{url}/moto-api/")
            except httpx.TransportError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return


@dataclass
class StoreGate:
    """What stands before the server, and what was asked."""

    port: int = 0
    latency_s: float = 0.0
    """Before every answer."""
    fail_with: int | None = None
    """Status of every answer; None: the server's own."""
    answer_with: list[int] = field(default_factory=list)
    """Statuses of the next answers; 0: the connection is closed without one."""
    fail_after_puts: int | None = None
    """From so many successful PUTs on, `fail_with` 503, for `fail_for_s`."""
    fail_for_s: float = 0.0
    failed: int = 0
    """How many requests were."""
    seen: list[str] = field(default_factory=list)
    """Method and path of every request that passed."""
    _until: float | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def puts(self) -> list[str]:
        return [line.removeprefix("PUT ") for line in list(self.seen) if line.startswith("PUT ")]

    def recover(self) -> None:
        """Answer as the server does, from now on."""
        self.fail_with, self.fail_after_puts, self._until = None, None, None

    def status_now(self) -> int | None:
        """Status to fail this request with; None: let it pass."""
        if self.fail_after_puts is not None and len(self.puts()) >= self.fail_after_puts:
            self.fail_after_puts, self._until = None, time.monotonic() + self.fail_for_s
        if self._until is not None and time.monotonic() < self._until:
            return 503
        return self.answer_with.pop(0) if self.answer_with else self.fail_with


@contextmanager
def store_gate(url: str) -> Iterator[StoreGate]:
    """Run a gate until the end of the block."""
    gate = StoreGate()
    upstream = httpx.Client(
        base_url=url, trust_env=False, timeout=60.0, limits=httpx.Limits(max_connections=64)
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(gate.latency_s)
            status = gate.status_now()
            if status is None:
                self._forward(body)
                return
            gate.failed += 1
            self.close_connection = not status
            if status:
                self._answer(status, b"", {})

        do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815  # the names that http.server looks for

        def _forward(self, body: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            answer = upstream.request(self.command, self.path, headers=headers, content=body)
            if answer.is_success:
                gate.seen.append(f"{self.command} {self.path.partition('?')[0]}")
            kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
            self._answer(answer.status_code, answer.content, kept)

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            with suppress(ConnectionError):  # whoever asked has gone
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    gate.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        upstream.close()


@dataclass(frozen=True)
class TestBucket:
    """An empty bucket behind a gate; the environment leads there."""

    __test__ = False

    name: str
    gate: StoreGate
    server: RunningS3

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def objects(self) -> dict[str, bytes]:
        return self.server.objects(self.name)


@pytest.fixture
def bucket(
    s3_server: RunningS3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[TestBucket]:
    name = f"b{abs(hash(request.node.nodeid)):x}"[:40]
    s3_server.client().create_bucket(Bucket=name)
    with store_gate(s3_server.url) as gate:
        for variable, value in {
            "AWS_ENDPOINT_URL": gate.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr("labeling.storage.object_store._stores", {})
        yield TestBucket(name, gate, s3_server)
