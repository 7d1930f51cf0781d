"""The home that a flow or command works on: absolute paths, and homes that must exist already."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from configs.errors import ConfigError, NoLabelStudio, NoRunYet

if TYPE_CHECKING:
    from configs.models import RunConfig
    from labeling.storage.home import Home
    from tasks.execution.context import Context

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def complete_if_nothing_to_do(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a flow that its schedule starts before the first run, or without a Label Studio, end as `NothingToDo`.

    A direct caller gets the error.
    """

    @wraps(work)
    def tolerant(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        from prefect.runtime import deployment
        from prefect.states import Completed

        from tasks.observability.final_state import NOTHING_TO_DO

        try:
            return work(*args, **named)
        except (NoRunYet, NoLabelStudio) as error:
            if not deployment.id:
                raise
            message = f"nothing to do yet: {error}"
            return cast(Result, Completed(name=NOTHING_TO_DO, message=message))  # Prefect accepts a state

    return tolerant


def existing_home(home: Path) -> "Home":
    """Return the home at this folder.

    Raises:
        NoRunYet: nothing is there yet.
        ConfigError: it is a file.
    """
    from configs.environment import DATABASE_URL
    from labeling.storage.home import Home

    found = Home(home.expanduser().resolve())
    if found.root.is_file():
        raise ConfigError(f"--home {home} is a file: name a folder")
    if not found.root.is_dir() and DATABASE_URL.read() is None:
        raise NoRunYet(f"no home at {found.root}: `maskmill run SOURCE --home {home}` creates it")
    return found


def existing_context(home: Path) -> "Context":
    """Open the context of an existing home; raises as `existing_home`."""
    from tasks.execution.context import open_context

    return open_context(existing_home(home))


def with_promoted_student(config: "RunConfig", home: Path) -> "RunConfig":
    """Replace `student: registry:...` by the network that it stands for now; other configs need no home.

    Raises:
        NoRunYet, ConfigError: there is no home or no such student.
    """
    if config.student.kind != "registry":
        return config
    from tasks.students.registry import with_registered_student

    return with_registered_student(config, existing_home(home))


def whole_path(path: Path, name: str) -> Path:
    """Return the absolute path.

    Raises:
        ConfigError: it is relative in a run of a deployment, whose working folder is the worker's,
            perhaps a temporary one on another machine.
    """
    from prefect.runtime import deployment

    if not path.expanduser().is_absolute() and deployment.id:
        raise ConfigError(
            f"{name} {path}: a deployment may run in any folder of any machine; give an absolute path such as "
            "/srv/maskmill"
        )
    return path.expanduser().resolve()
