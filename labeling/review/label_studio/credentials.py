"""Where a Label Studio is, and what opens it."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from configs.environment import LABEL_STUDIO_API_KEY, LABEL_STUDIO_URL, read_variable
from labeling.errors import LabelStudioMissing
from labeling.storage.atomic import storage_errors

URL_VARIABLE, TOKEN_VARIABLE = LABEL_STUDIO_URL.name, LABEL_STUDIO_API_KEY.name
HOW_TO_START_ONE = (
    f"`maskmill review up` starts one here; for your team's set {URL_VARIABLE} and {TOKEN_VARIABLE}"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An address and its keys, which no representation shows."""

    url: str
    token: str = field(repr=False)
    email: str = ""
    """For the browser; empty where only a token is known."""
    password: str = field(default="", repr=False)
    local: bool = False
    """The server is ours: it reads the images of this home on its own disk."""


def label_studio_folder(home_root: Path) -> Path:
    """Where a home keeps its own Label Studio."""
    return home_root.resolve() / "studio"


def credentials_file(home_root: Path) -> Path:
    return label_studio_folder(home_root) / "credentials.json"


LookUp = Callable[[str], str | None]
"""Tells the value of a variable, from the environment or wherever else secrets are kept."""


def find_credentials(home_root: Path, *, look_up: LookUp = read_variable) -> Credentials:
    """The team's server that the variables name, else this home's own.

    Raises:
        LabelStudioMissing: neither, only half of the variables, or a file that cannot be read.
    """
    if (found := known_credentials(home_root, look_up=look_up)) is None:
        raise LabelStudioMissing(f"no Label Studio for {home_root}: {HOW_TO_START_ONE}")
    return found


def known_credentials(home_root: Path, *, look_up: LookUp = read_variable) -> Credentials | None:
    """As `find_credentials`; None: there is none.

    Raises:
        LabelStudioMissing: only half of the variables, or a file that cannot be read.
    """
    url, token = ((look_up(name) or "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE))
    if url and token:
        return Credentials(url=url, token=token)
    if url or token:
        there, absent = (URL_VARIABLE, TOKEN_VARIABLE) if url else (TOKEN_VARIABLE, URL_VARIABLE)
        raise LabelStudioMissing(
            f"{there} is set and {absent} is not: set both, or neither to use the local one"
        )
    return read_credentials(home_root)


def read_credentials(home_root: Path) -> Credentials | None:
    """This home's own Label Studio, running or not; None: there is none.

    Raises:
        LabelStudioMissing: the file is not as we wrote it.
    """
    path = credentials_file(home_root)
    try:
        return _parse(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        raise LabelStudioMissing(
            f"{path} cannot be read ({type(exc).__name__}): remove it, then `maskmill review up` makes another user"
        ) from exc


def _parse(text: str) -> Credentials:
    """ValueErrors and TypeErrors of this do not repeat the text, which holds the keys."""
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise TypeError("not a table of texts")
    return Credentials(**content, local=True)


def write_credentials(home_root: Path, access: Credentials) -> None:
    """Keep it where nobody but this user can read it."""
    path = credentials_file(home_root)
    content = {name: value for name, value in asdict(access).items() if name != "local"}
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".writing")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        temporary.replace(path)
