"""Prefect's handler of SIGTERM, replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from prefect.utilities import engine


@contextmanager
def replace_sigterm_handler(stop: Callable[[int, FrameType | None], NoReturn]) -> Iterator[None]:
    """Install a handler in flow runs instead of Prefect's own for SIGTERM.

    Prefect's handler reports the end of the flow run to the server. A temporary server has received the signal
    too and has ended: Prefect would keep calling it for more than a minute.
    """
    module: dict[str, Any] = vars(engine)
    before, module["_prefect_sigterm_handler"] = module["_prefect_sigterm_handler"], stop
    try:
        yield
    finally:
        module["_prefect_sigterm_handler"] = before
