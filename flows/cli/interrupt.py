"""Ctrl-C: stop at once. What is done is committed, and a shard that is not is simply done again."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""


@contextmanager
def exit_on_sigint() -> Iterator[None]:
    """End the process on SIGINT, where Prefect's server is a temporary one.

    The terminal's Ctrl-C reaches that server too, which ends before we could tell it of our end:
    Prefect would go on calling it for more than a minute. A server of the user's own is told.
    """
    if PREFECT_API_URL.value():
        yield
        return
    before = signal.signal(signal.SIGINT, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    typer.echo("\nstopped; what is done is kept: run the same command again to go on", err=True)
    for server in SubprocessASGIServer._instances.values():  # Prefect offers no other way to it
        if server.server_process:
            server.server_process.kill()
    os._exit(INTERRUPTED)
