"""A temporary Prefect server that ends with this process, even after kill -9."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

_WAIT_THEN_END = 'read -r _; kill "$0"'
"""Shell one-liner: blocks on stdin until this process exits, then kills the server."""


@contextmanager
def temporary_server() -> Iterator[None]:
    """Make Prefect's temporary server one that ends with this process.

    Prefect keeps one such server per process, the first one created. Heartbeats to it are switched off:
    no one reads them, and Prefect would wait up to a second for them at the end.
    """
    if PREFECT_API_URL.value():
        yield
        return
    ParentBoundServer()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


class ParentBoundServer(SubprocessASGIServer):
    """Temporary server with a watching shell; without it, kill -9 would leave 250 MB running."""

    _watcher: "subprocess.Popen[bytes] | None" = None

    def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
        server = super()._run_uvicorn_command()
        self._stop_watcher()
        self._watcher = subprocess.Popen(  # noqa: S603  # a constant and a number
            ["/bin/sh", "-c", _WAIT_THEN_END, str(server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # keeps Ctrl-C of the terminal away from it
        )
        return server

    def stop(self) -> None:
        super().stop()
        self._stop_watcher()

    def _stop_watcher(self) -> None:
        """Stop it before the server's process id can be reused."""
        if self._watcher:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
