"""Where this process keeps its connection to the ledger."""

import atexit
import os
import threading

from db.engine import Ledger, open_ledger
from labeling.storage import Home

_open: dict[tuple[int, str], Ledger] = {}
_opening = threading.Lock()


def database_url(home: Home) -> str:
    """`MASKMILL_DATABASE_URL` (it may hold a password, so it is no part of a config), or SQLite at home."""
    return os.environ.get("MASKMILL_DATABASE_URL") or home.database_url


def ledger_of(home: Home) -> Ledger:
    """This process's ledger; a forked child gets one of its own."""
    key = (os.getpid(), database_url(home))
    with _opening:
        if key not in _open:
            _open[key] = open_ledger(key[1])
        return _open[key]


@atexit.register
def close_ledgers() -> None:
    """Close them all; SQLite then puts everything into its one file."""
    with _opening:
        for ledger in _open.values():
            ledger.close()
        _open.clear()
