"""Prefect's temporary server: it ends with this process, and Ctrl-C or SIGTERM ends both at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from tasks.execution.prefect_compat.signals import replace_sigterm_handler
from tasks.execution.prefect_compat.temporary_server import kill_temporary_server, use_temporary_server
from tasks.observability.best_effort import has_server

SIGNAL_BASE = 128
"""A program that a signal ended has this exit code in a shell, plus the number of the signal."""


@contextmanager
def temporary_server() -> Iterator[None]:
    """Without a permanent server, use one in the block that ends with this process.

    SIGTERM, which a service manager sends to all processes of a group, ends both at once.
    Flow runs send it no heartbeats, which no one reads: at the end, Prefect would wait up to a second for them.
    """
    if has_server():
        yield
        return
    no_heartbeat = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with no_heartbeat, replace_sigterm_handler(_stop), _on_signal(signal.SIGTERM), use_temporary_server():
        yield


@contextmanager
def exit_on_sigint() -> Iterator[None]:
    """End the process on SIGINT if Prefect's server is a temporary one.

    The terminal's Ctrl-C reaches that server too. It ends before the flow run could report its own end,
    and Prefect would keep calling it for more than a minute. A permanent server gets the report.
    """
    if has_server():
        yield
        return
    with _on_signal(signal.SIGINT):
        yield


@contextmanager
def _on_signal(signum: signal.Signals) -> Iterator[None]:
    before = signal.signal(signum, _stop)
    try:
        yield
    finally:
        signal.signal(signum, before)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    typer.echo(
        "\nstopped: finished parts of the videos are kept, and the part in work is done again by the same command",
        err=True,
    )
    kill_temporary_server()
    os._exit(SIGNAL_BASE + signum)
