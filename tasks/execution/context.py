"""The home and database of an execution, opened at the front door and passed down to every use case."""

from dataclasses import dataclass

from configs.environment import DATABASE_URL
from configs.errors import OtherDatabase
from configs.models import RunConfig
from db.connection.database import Database
from labeling.storage.home import Home
from tasks.execution.database import database_of

SAME_DATABASE = (
    "workers of a cluster require the run's database and home: set MASKMILL_DATABASE_URL in their environment "
    "as for the run, and have the home at the same path"
)


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


def open_worker_context(home: Home, config: RunConfig) -> Context:
    """Return the context of a home in a worker, which may be on another machine of a cluster."""
    named = DATABASE_URL.read()
    if config.address and not named and not home.database.exists():
        raise OtherDatabase(f"no database at {home.database}: {SAME_DATABASE}")
    return open_context(home)
