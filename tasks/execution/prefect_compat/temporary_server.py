"""Prefect's temporary server, without Prefect's own way to start it.

That one imports the whole server into this process too, which takes longer than all the rest of a small run.
"""

import atexit
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
from prefect.context import _temporary_global_settings_context, get_settings_context
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)

from configs.environment import all_variables
from configs.errors import PrefectNotStarted
from labeling.review.label_studio.ports import HOST, free_port

APPLICATION = "prefect.server.api.server:create_app"
_VARIABLES = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a fifth of its start; a server that stays registers them
}
_KILL_ON_EOF = 'read -r _; kill "$0"'
"""A shell script that waits for the end of stdin, which is the end of this process, then kills the server."""
_POLL_S = 0.05


class TemporaryServer:
    """A Prefect server that ends with this process.

    A shell beside it ends it when this process is killed: kill -9 would leave a server of 250 MB running.
    """

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}/api"
        self._process = _start_server(port)
        self._watcher = subprocess.Popen(  # noqa: S603  # a constant and a number
            ["/bin/sh", "-c", _KILL_ON_EOF, str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C must not reach it
        )
        # called after the threads that still send logs and events have ended
        atexit.register(self.stop)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until the server answers.

        Raises:
            PrefectNotStarted: it ended, or did not answer in time.
        """
        end = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        with httpx.Client(trust_env=False) as client:
            while self.is_running and time.monotonic() < end:
                with suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health").is_success:
                        return
                time.sleep(_POLL_S)
        code = self._process.poll()
        self.stop()
        raise PrefectNotStarted(
            f"Prefect's temporary server ended with exit code {code}; PREFECT_LOGGING_LEVEL=INFO shows why"
            if code is not None
            else "Prefect's temporary server did not answer in time: "
            "set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
        )

    def kill(self) -> None:
        """Kill the server without waiting for its end."""
        self._process.kill()

    def stop(self) -> None:
        """Stop the server, and then the shell, before another process can get the server's process id."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watcher.kill()
        self._watcher.communicate()
        atexit.unregister(self.stop)


def _start_server(port: int) -> "subprocess.Popen[bytes]":
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    variables = {**all_variables(), **_VARIABLES, **settings}
    command = [sys.executable, "-m", "uvicorn", "--factory", APPLICATION, "--host", HOST, "--port", str(port)]
    return subprocess.Popen([*command, "--log-level", "error", "--lifespan", "on"], env=variables)  # noqa: S603


def kill_temporary_server() -> None:
    """Kill the temporary server of this process, if there is one, without waiting for its end."""
    for server in _servers:
        server.kill()


_servers: list[TemporaryServer] = []
"""The one of this process, once it was required: it is kept for later flow runs."""


def is_temporary(url: str) -> bool:
    """Return whether an address is that of this process's temporary server."""
    return any(server.url == url for server in _servers)


@contextmanager
def use_temporary_server() -> Iterator[None]:
    """Let Prefect use this process's temporary server in the block, in all threads.

    Raises:
        PrefectNotStarted: it ended, or did not answer in time.
    """
    if not (_servers and _servers[-1].is_running):
        _servers[:] = [TemporaryServer()]
    server = _servers[-1]
    server.wait()
    addresses = {PREFECT_API_URL: server.url, PREFECT_UI_URL: ""}  # it has no pages
    with temporary_settings(addresses), _temporary_global_settings_context(get_settings_context()):
        yield
