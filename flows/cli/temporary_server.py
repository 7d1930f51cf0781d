"""Prefect's temporary server, bound to the life of this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from tasks.execution.prefect_compat import ParentBoundServer


@contextmanager
def temporary_server() -> Iterator[None]:
    """If Prefect is going to start its temporary server, make it one that ends with this process.

    Flow runs send it no heartbeats, which no one reads: at the end, Prefect would wait up to a second for them.
    """
    if PREFECT_API_URL.value():
        yield
        return
    ParentBoundServer()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
