"""The home and its database, opened once per process and passed down to every use case."""

import atexit
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.environment import DATABASE_URL
from configs.errors import OtherDatabase
from db.connection.database import Database, open_database
from labeling.storage.home import Home

if TYPE_CHECKING:
    from configs.models import RunConfig

SAME_DATABASE = (
    "workers of a cluster require the run's database and home: set MASKMILL_DATABASE_URL in their environment "
    "as for the run, and have the home at the same path"
)
_open: dict[tuple[int, str], Database] = {}
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Context:
    """What a use case works on; kept images are in `home.images`."""

    home: Home
    database: Database


def open_context(home: Home) -> Context:
    """Return the context of a home; a process opens each database once.

    A process that is started later, forked or spawned, calls this again for a connection of its own.
    """
    return Context(home, database_of(home))


def open_worker_context(home: Home, config: "RunConfig") -> Context:
    """Return the context of a home in a worker, which may be on another machine of a cluster."""
    named = DATABASE_URL.read()
    if config.address and not named and not home.database.exists():
        raise OtherDatabase(f"no database at {home.database}: {SAME_DATABASE}")
    return open_context(home)


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
