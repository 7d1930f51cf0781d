"""The open databases of this process: the only place that opens one."""

import atexit
import os
import threading

from configs.environment import DATABASE_URL
from db.connection.database import Database, open_database
from labeling.storage.home import Home

_open: dict[tuple[int, str], Database] = {}
_opening = threading.Lock()


def database_url(home: Home) -> str:
    """Return `MASKMILL_DATABASE_URL`, or SQLite in the home.

    The URL may contain a password, so it is not part of a config.
    """
    return DATABASE_URL.read() or home.database_url


def has_database(home: Home) -> bool:
    """Return whether there is a database to open: `database_of` would create the one at home."""
    return DATABASE_URL.read() is not None or home.database.exists()


def database_of(home: Home) -> Database:
    """Return the database of a home, opened once per process; a forked child opens its own."""
    key = (os.getpid(), database_url(home))
    with _opening:
        if key not in _open:
            _open[key] = open_database(key[1])
        return _open[key]


@atexit.register
def close_databases() -> None:
    """Close all databases; SQLite then writes its log back into the database file."""
    with _opening:
        for database in _open.values():
            database.close()
        _open.clear()
