"""Prefect only observes: its errors must not end the work that it observes."""

from collections.abc import Iterator
from contextlib import contextmanager

from httpx import HTTPError
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from configs.errors import MaskmillError
from tasks.execution.prefect_compat.temporary_server import is_temporary

PREFECT_ERRORS = (HTTPError, PrefectException, MaskmillError, OSError, ValueError)
"""Server unreachable or refusing, an image to be shown that is gone, a value that Prefect rejects."""


def has_server() -> bool:
    """Return whether a permanent server is set; a temporary one ends with the run, and its pages with it."""
    url: str | None = PREFECT_API_URL.value()
    return bool(url) and not is_temporary(str(url))


@contextmanager
def log_prefect_errors(consequence: str) -> Iterator[None]:
    """Log an error of Prefect in the block as a warning and continue: the database has all results."""
    try:
        yield
    except PREFECT_ERRORS as exc:
        get_run_logger().warning("%s: %s: %s", consequence, type(exc).__name__, exc)
