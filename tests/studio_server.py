"""A real Label Studio for tests, and a proxy before it that fails like networks and web servers."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from configs.errors import LabelStudioMissing
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.credentials import Credentials
from labeling.review.label_studio.http import RetryPolicy
from labeling.review.label_studio.install import make_environment
from labeling.review.label_studio.local_server import LocalLabelStudio
from labeling.review.label_studio.ports import free_port
from tests.requirements import skip_or_fail

LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<BrushLabels name="mask" toName="image"><Label value="person"/></BrushLabels></View>'
)
"""A minimal label config with masks."""


@dataclass(frozen=True)
class RunningStudio:
    """A Label Studio that serves the images of a temporary home."""

    access: Credentials
    server: LabelStudioClient
    home_root: Path
    local: LocalLabelStudio

    def http(self) -> httpx.Client:
        """Return a client for the requests of an annotator's browser, with our token."""
        headers = {"Authorization": f"Token {self.access.token}"}
        return httpx.Client(base_url=self.access.url, headers=headers, trust_env=False, timeout=60.0)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    """One Label Studio for all tests; its environment is taken from the cache, or installed there."""
    try:
        make_environment()
    except LabelStudioMissing as exc:
        skip_or_fail("labelstudio", f"cannot be installed: {exc}")
    home_root = tmp_path_factory.mktemp("studio_home")
    local = LocalLabelStudio(home_root)
    access = local.up(free_port())
    try:
        with LabelStudioClient(
            access.url, access.token, retry_policy=RetryPolicy(first_pause_s=0.05)
        ) as server:
            yield RunningStudio(access, server, home_root, local)
    finally:
        local.down()


@contextmanager
def without_legacy_tokens(studio: RunningStudio) -> Iterator[str]:
    """Disable legacy tokens until the end of the block; yields a personal access token."""
    allowed = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    with studio.http() as http:
        http.post("/api/jwt/settings", json=allowed).raise_for_status()
        token = http.post("/api/token/").raise_for_status().json()["token"]
        try:
            http.post("/api/jwt/settings", json={**allowed, "legacy_api_tokens_enabled": False})
            yield token
        finally:
            access = http.post("/api/token/refresh/", json={"refresh": token}).json()["access"]
            http.headers["Authorization"] = f"Bearer {access}"
            http.post("/api/jwt/settings", json=allowed).raise_for_status()
            # A user has one at a time, and it is shown completely only when it is created.
            http.post("/api/token/blacklist/", json={"refresh": token}).raise_for_status()


@dataclass
class Gate:
    """A proxy before Label Studio, which forwards requests unless its fields define a failure."""

    port: int = 0
    largest_body: int | None = None
    """Larger requests are answered with 413."""
    answer_with: list[int] = field(default_factory=list)
    """Statuses of the responses to the next requests, which are not forwarded."""
    let_through: int = 0
    """Number of requests of the methods in `hang_up_after` that are answered first."""
    hang_up_after: list[str] = field(default_factory=list)
    """Methods whose next request is forwarded without returning the response."""
    seen: list[str] = field(default_factory=list)
    """Method and path of every request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def gate_before(url: str) -> Iterator[Gate]:
    """Run a gate until the end of the block."""
    gate = Gate()
    upstream = httpx.Client(base_url=url, trust_env=False, timeout=120.0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            gate.seen.append(f"{self.command} {self.path.partition('?')[0]}")
            if gate.answer_with:
                self._answer(gate.answer_with.pop(0), b"")
            elif gate.largest_body is not None and len(body) > gate.largest_body:
                self._answer(413, b"<html>Request Entity Too Large</html>")
            else:
                self._forward(body)

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the names that http.server looks for

        def _forward(self, body: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = upstream.request(self.command, self.path, headers=headers, content=body)
            if self.command in gate.hang_up_after and not gate.let_through:
                gate.hang_up_after.remove(self.command)
                return
            gate.let_through -= self.command in gate.hang_up_after
            self._answer(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

        def _answer(self, status: int, content: bytes, kind: str = "text/html") -> None:
            with suppress(ConnectionError):  # the client has disconnected
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing to the terminal."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    gate.port = http.server_address[1]
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
        upstream.close()
