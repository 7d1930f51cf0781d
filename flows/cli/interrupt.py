"""Ctrl-C ends the process at once: finished shards are committed, an unfinished one is repeated."""

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
"""Exit code that shells use for a program ended by Ctrl-C."""


@contextmanager
def exit_on_sigint() -> Iterator[None]:
    """End the process on SIGINT while Prefect's server is a temporary one.

    The terminal's Ctrl-C ends that server too, and Prefect would retry its calls to it for more than a
    minute. A server of the user's own is informed as usual.
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
    typer.echo("\nstopped; finished work is kept: run the same command again to continue", err=True)
    for server in SubprocessASGIServer._instances.values():  # private: Prefect has no public access to it
        if server.server_process:
            server.server_process.kill()
    os._exit(INTERRUPTED)
