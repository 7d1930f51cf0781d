"""The policy of connections to what a source names: each address is checked when a socket connects to it.

A check of a URL alone misses redirects, and names that resolve to another address a moment later. Here the address
that the operating system is about to connect to is checked, in whatever library opens the socket.
"""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from configs.errors import UnsupportedVideo
from labeling.sources.url_policy import refuse_address


@dataclass(slots=True)
class ConnectionCheck:
    """What a block's connections were refused for."""

    refusal: UnsupportedVideo | None = None
    """The last refused connection; a library may hide the error behind its own."""


_current: ContextVar[ConnectionCheck | None] = ContextVar("connection_check", default=None)


@contextmanager
def checked_connections(*, allow_link_local: bool = False) -> Iterator[ConnectionCheck]:
    """Refuse the block's connections to link-local and metadata addresses, before anything is sent.

    Holds for all sockets of Python that the block's thread connects. With `allow_link_local`, none is refused.

    The library that connects gets a PermissionError, which it handles as it does a connection that failed; `refusal`
    then has the reason.
    """
    _install_audit_hook()
    check = ConnectionCheck()
    token = _current.set(None if allow_link_local else check)
    try:
        yield check
    finally:
        _current.reset(token)


@cache
def _install_audit_hook() -> None:
    """Add the hook once a process; Python has no way to remove one."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Check the address of `socket.connect`: https://docs.python.org/3/library/audit_events.html."""
    if event != "socket.connect" or (check := _current.get()) is None:
        return
    address = arguments[1]
    if isinstance(address, tuple) and address and isinstance(address[0], str):
        try:
            refuse_address(address[0])
        except UnsupportedVideo as refusal:
            check.refusal = refusal
            raise PermissionError(errno.EACCES, str(refusal)) from None
