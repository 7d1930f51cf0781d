"""Where this process keeps its connection to the ledger."""

import atexit
import os
import threading

from configs.environment import DATABASE_URL
from configs.models import RunConfig
from db.connection.database import Database, open_database
from labeling.errors import OtherDatabase
from labeling.storage.home import Home

SAME_DATABASE = (
    "the workers of a cluster want the run's database and home: MASKMILL_DATABASE_URL in their environment "
    "as in the run's, and the home at the same path"
)

_open: dict[tuple[int, str], Database] = {}
_opening = threading.Lock()


def database_url(home: Home) -> str:
    """`MASKMILL_DATABASE_URL` (it may hold a password, so it is no part of a config), or SQLite at home."""
    return DATABASE_URL.read() or home.database_url


def has_ledger(home: Home) -> bool:
    """Return whether there is a database to open: `database_of` would create the one at home."""
    return DATABASE_URL.read() is not None or home.database.exists()


def database_of(home: Home) -> Database:
    """This process's ledger; a forked child gets one of its own."""
    key = (os.getpid(), database_url(home))
    with _opening:
        if key not in _open:
            _open[key] = open_database(key[1])
        return _open[key]


def database_of_run(config: RunConfig, home: Home) -> Database:
    """The same, on a worker that may be of a cluster: an empty database would be made of a wrong address.

    Raises:
        OtherDatabase: the run's is not here.
    """
    named = DATABASE_URL.read()
    if config.address and not named and not home.database.exists():
        raise OtherDatabase(f"no database at {home.database}: {SAME_DATABASE}")
    return database_of(home)


@atexit.register
def close_databases() -> None:
    """Close them all; SQLite then puts everything into its one file."""
    with _opening:
        for database in _open.values():
            database.close()
        _open.clear()
