"""URL and token of the Label Studio server to use."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from configs.environment import LABEL_STUDIO_API_KEY, LABEL_STUDIO_URL, read_variable
from configs.errors import LabelStudioMissing, NoLabelStudio
from labeling.storage.atomic import storage_errors

URL_VARIABLE, TOKEN_VARIABLE = LABEL_STUDIO_URL.name, LABEL_STUDIO_API_KEY.name
HOW_TO_START_ONE = (
    f"`maskmill review up` starts one here; for your team's server, set {URL_VARIABLE} and {TOKEN_VARIABLE}"
)

LookUp = Callable[[str], str | None]
"""Returns the value of a variable, from the environment or another store of secrets."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """URL and secrets of a server; `repr` does not show the secrets."""

    url: str
    token: str = field(repr=False)
    email: str = ""
    """Login in the browser; empty if only a token is known."""
    password: str = field(default="", repr=False)
    local: bool = False
    """True for the home's own server, which reads the images from the same disk."""


def label_studio_folder(home_root: Path) -> Path:
    """Return the folder of a home's own Label Studio."""
    return home_root.resolve() / "studio"


def credentials_file(home_root: Path) -> Path:
    return label_studio_folder(home_root) / "credentials.json"


def find_credentials(home_root: Path, *, look_up: LookUp = read_variable) -> Credentials:
    """Return the credentials of the server in the variables, else of this home's own server.

    Raises:
        NoLabelStudio: neither exists.
        LabelStudioMissing: one variable is not set, or the file cannot be read.
    """
    if (found := known_credentials(home_root, look_up=look_up)) is None:
        raise NoLabelStudio(f"no Label Studio for {home_root}: {HOW_TO_START_ONE}")
    return found


def known_credentials(home_root: Path, *, look_up: LookUp = read_variable) -> Credentials | None:
    """Like `find_credentials`, but return None if there is no server."""
    url, token = ((look_up(name) or "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE))
    if url and token:
        return Credentials(url=url, token=token)
    if url or token:
        present, absent = (URL_VARIABLE, TOKEN_VARIABLE) if url else (TOKEN_VARIABLE, URL_VARIABLE)
        raise LabelStudioMissing(
            f"{present} is set and {absent} is not: set both, or neither to use the local server"
        )
    return read_credentials(home_root)


def read_credentials(home_root: Path) -> Credentials | None:
    """Return the credentials of this home's own server, running or not; None: it was never started.

    Raises:
        LabelStudioMissing: the file is damaged.
    """
    path = credentials_file(home_root)
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise TypeError("not an object of strings")  # noqa: TRY301
        return Credentials(**content, local=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        # The message must not quote the file, which contains the token.
        raise LabelStudioMissing(
            f"{path} cannot be read ({type(exc).__name__}): delete it, then `maskmill review up` creates another "
            "user"
        ) from exc


def write_credentials(home_root: Path, credentials: Credentials) -> None:
    """Store credentials in a file that only this user can read."""
    path = credentials_file(home_root)
    content = {name: value for name, value in asdict(credentials).items() if name != "local"}
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".writing")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        temporary.replace(path)
