"""A Prefect server as people start one: the temporary one of other tests starts no scheduled run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from labeling.studio.ports import free_port


@contextmanager
def run_prefect_server(folder: Path, *, patience_s: float = 120) -> Iterator[dict[str, str]]:
    """The environment in which everything uses a server of its own, with its database in `folder`."""
    port = free_port()
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        _wait_until_healthy(f"{environment['PREFECT_API_URL']}/health", server, time.monotonic() + patience_s)
        yield environment
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_healthy(url: str, server: "subprocess.Popen[bytes]", end: float) -> None:
    with httpx.Client() as client:  # one for all: each would read the certificates that it never needs
        while True:
            try:
                if client.get(url).is_success:
                    return
            except httpx.TransportError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
            time.sleep(0.2)
