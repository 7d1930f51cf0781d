"""Prefect is for watching: what it refuses, or is away for, must not end the work that is watched."""

from collections.abc import Iterator
from contextlib import contextmanager

from httpx import HTTPError
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from configs.errors import MaskmillError

PREFECT_ERRORS = (HTTPError, PrefectException, MaskmillError, OSError, ValueError)
"""The server is away, or says no; an image that was to be shown is gone; a value is none that Prefect takes."""


def is_watched() -> bool:
    """Whether there is a server that stays: a temporary one ends with the run, and nobody sees its pages."""
    return bool(PREFECT_API_URL.value())


@contextmanager
def log_prefect_errors(consequence: str) -> Iterator[None]:
    """Go on behind the block where it is refused, with a warning: the ledger has it all."""
    try:
        yield
    except PREFECT_ERRORS as exc:
        get_run_logger().warning("%s: %s: %s", consequence, type(exc).__name__, exc)
