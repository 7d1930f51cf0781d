"""Delete a dataset."""

from configs.errors import ConfigError
from db.datasets.queries import latest_version
from db.datasets.writes import delete_dataset
from tasks.datasets.order import LOCK
from tasks.execution.context import Context


def remove_dataset(context: Context, name: str) -> int:
    """Delete a dataset with all its versions; return their number.

    Raises:
        ConfigError: there is no dataset of this name.
        AlreadyRunning: a version is being made.
    """
    with context.database.exclusive(LOCK), context.database.transaction() as session:
        if latest_version(session, name) is None:
            raise ConfigError(f"no dataset {name!r}: `maskmill dataset list` lists them")
        return delete_dataset(session, name)
