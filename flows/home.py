"""Where a home is, and opening one that must exist already."""

from pathlib import Path
from typing import TYPE_CHECKING

from labeling.errors import ConfigError

if TYPE_CHECKING:
    from db.engine import Ledger
    from labeling.storage import Home


def existing_home(home: Path) -> "Home":
    """The home at this folder.

    Raises:
        ConfigError: nothing is there yet.
    """
    import os

    from labeling.storage import Home

    place = Home(home.expanduser().resolve())
    if place.root.is_file():
        raise ConfigError(f"--home {home} is a file: name a folder")
    if not place.root.is_dir() and "MASKMILL_DATABASE_URL" not in os.environ:
        raise ConfigError(f"no home at {place.root}: `maskmill run SOURCE --home {home}` makes one")
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


def open_home(home: Path) -> "Ledger":
    """The ledger of an existing home."""
    from tasks.ledger import ledger_of

    return ledger_of(existing_home(home))
