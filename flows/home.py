"""Where a home is, and opening one that must exist already."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from configs.errors import ConfigError, NoRunYet

if TYPE_CHECKING:
    from db.connection.database import Database
    from labeling.storage.home import Home

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def complete_if_no_run(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Have a flow that its schedule starts before anything was labeled end as `NothingToDo`.

    People who call it are told by the error.
    """

    @wraps(work)
    def patient(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        from prefect.runtime import deployment
        from prefect.states import Completed

        from tasks.observability.final_state import NOTHING_TO_DO

        try:
            return work(*args, **named)
        except NoRunYet as error:
            if not deployment.id:
                raise
            message = f"nothing to do yet: {error}"
            return cast(Result, Completed(name=NOTHING_TO_DO, message=message))  # Prefect takes it for one

    return patient


def existing_home(home: Path) -> "Home":
    """The home at this folder.

    Raises:
        NoRunYet: nothing is there yet.
        ConfigError: a file is.
    """
    from configs.environment import DATABASE_URL
    from labeling.storage.home import Home

    place = Home(home.expanduser().resolve())
    if place.root.is_file():
        raise ConfigError(f"--home {home} is a file: name a folder")
    if not place.root.is_dir() and DATABASE_URL.read() is None:
        raise NoRunYet(f"no home at {place.root}: `maskmill run SOURCE --home {home}` makes one")
    return place


def whole_path(path: Path, name: str) -> Path:
    """The path from the root on.

    Raises:
        ConfigError: it is relative, and this is a run of a deployment, which starts in whatever folder
            its worker has, on another machine perhaps; that folder may even be gone afterwards.
    """
    from prefect.runtime import deployment

    if not path.expanduser().is_absolute() and deployment.id:
        raise ConfigError(
            f"{name} {path}: a relative path, and this run may be anywhere; name the whole path, "
            "as in /srv/maskmill"
        )
    return path.expanduser().resolve()


def open_home(home: Path) -> "Database":
    """The ledger of an existing home."""
    from tasks.execution.database import database_of

    return database_of(existing_home(home))
