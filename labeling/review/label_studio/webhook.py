"""A small server for Label Studio's webhooks, which report changes.

Label Studio sends each webhook once and waits one second at most, so a request only triggers a pull; its
content is not used.
"""

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from configs.errors import ConfigError

SECRET_HEADER = "X-Maskmill-Secret"  # noqa: S105 - its name
_MAX_BODY = 100_000_000
"""Limit of bytes that are read and discarded, so that the sender can finish."""


@dataclass(frozen=True, slots=True)
class WebhookListener:
    """A running listener."""

    port: int
    secret: str = field(repr=False)
    heard: Event
    """Set by every request with the secret; clear it before a pull."""


@contextmanager
def listen_for_webhooks(host: str, port: int) -> Iterator[WebhookListener]:
    """Listen until the block ends; port 0 chooses a free port.

    Raises:
        ConfigError: the port is in use, or the address is not this machine's.
    """
    secret, heard = secrets.token_urlsafe(32), Event()

    class Handler(_Handler):
        expected, event = secret, heard

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {host}:{port}: {exc.strerror}; choose another --port") from exc
    with server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
        try:
            yield WebhookListener(server.server_address[1], secret, heard)
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0
    expected: str
    event: Event

    def do_POST(self) -> None:
        given = self.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.expected.encode()):
            self._answer(HTTPStatus.FORBIDDEN)
            return
        self.event.set()
        length = self.headers.get("Content-Length", "")
        left = min(int(length) if length.isdecimal() else 0, _MAX_BODY)
        while left > 0 and (part := self.rfile.read(min(left, 1 << 16))):
            left -= len(part)
        self._answer(HTTPStatus.NO_CONTENT)

    def _answer(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def version_string(self) -> str:
        """Hide the version of Python."""
        return "maskmill"

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the terminal."""
