"""Prefect's temporary server, which ends with us however we end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

_WAIT_THEN_END = 'read -r _; kill "$0"'
"""A shell's: nobody writes to it, so that what it waits for is the end of whoever might."""


@contextmanager
def temporary_server() -> Iterator[None]:
    """Where Prefect will start its temporary server, let it be one that ends with this process.

    Prefect keeps one such server per process: the one that is made first is the one that it uses. It is
    sent no signs of life, which nobody would look at: at the end, Prefect waits up to a second for them.
    """
    if PREFECT_API_URL.value():
        yield
        return
    ParentBoundServer()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


class ParentBoundServer(SubprocessASGIServer):
    """The temporary server with a shell beside it that ends it when this process is killed.

    Without it, kill -9 would leave a server of 250 MB running for good.
    """

    _watcher: "subprocess.Popen[bytes] | None" = None

    def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
        server = super()._run_uvicorn_command()
        self._dismiss_watcher()
        self._watcher = subprocess.Popen(  # noqa: S603  # our own words and a number
            ["/bin/sh", "-c", _WAIT_THEN_END, str(server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not meant for it
        )
        return server

    def stop(self) -> None:
        super().stop()
        self._dismiss_watcher()

    def _dismiss_watcher(self) -> None:
        """Before the server's process id can be another's."""
        if self._watcher:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
