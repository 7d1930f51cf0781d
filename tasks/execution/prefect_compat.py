"""The parts of Prefect 3.8 outside its public interface that the temporary server requires."""

import subprocess
from typing import Any

from prefect.server.api.server import SubprocessASGIServer

PREFECT_VERSION = "3.8"
"""The version that this module was checked with."""

_KILL_ON_EOF = 'read -r _; kill "$0"'
"""A shell script that waits for the end of stdin, which is the end of this process, then kills the server."""


class ParentBoundServer(SubprocessASGIServer):
    """Prefect's temporary server, with a shell beside it that ends it when this process is killed.

    Without the shell, kill -9 would leave a server of 250 MB running. Prefect keeps one server per process:
    the first instance is the one that it uses.
    """

    _watcher: "subprocess.Popen[bytes] | None" = None

    def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
        server = super()._run_uvicorn_command()
        self._stop_watcher()
        self._watcher = subprocess.Popen(  # noqa: S603  # a constant and a number
            ["/bin/sh", "-c", _KILL_ON_EOF, str(server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C must not reach it
        )
        return server

    def stop(self) -> None:
        super().stop()
        self._stop_watcher()

    def _stop_watcher(self) -> None:
        """Stop the shell before another process can get the server's process id."""
        if self._watcher:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None


def kill_temporary_servers() -> None:
    """Kill the temporary servers of this process without waiting for their end."""
    for server in SubprocessASGIServer._instances.values():
        if server.server_process:
            server.server_process.kill()
