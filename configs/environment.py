"""Environment variables that maskmill reads: each is declared here, and read when its value is needed.

No value is kept, so no representation can show a secret. Prefect, fsspec and torch read further variables of their own.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One variable: how its text becomes a value, and what the value means."""

    name: str
    parse: Callable[[str], T]
    meaning: str

    def read(self) -> T | None:
        """Return the value; None if the variable is not set or empty."""
        text = os.environ.get(self.name)
        return self.parse(text) if text else None


def _parse_threads(text: str) -> int | None:
    """Return the outermost number of a list such as `4,2`, as OpenMP reads it; None if it is not positive."""
    outermost = text.partition(",")[0].strip()
    return int(outermost) or None if outermost.isdecimal() else None


HOME = Variable("MASKMILL_HOME", Path, "Folder for the database, videos and images; `--home` overrides it.")
DATABASE_URL = Variable(
    "MASKMILL_DATABASE_URL",
    str,
    "SQLAlchemy URL of the database. Default: SQLite in the home. May hold a password.",
)
IMAGE_STORE = Variable(
    "MASKMILL_IMAGE_STORE",
    str,
    "Folder or URL (`s3://bucket/prefix`) for kept images. Default: `images` in the home.",
)
CACHE = Variable(
    "MASKMILL_CACHE",
    Path,
    "Folder for downloaded weights. Default: `maskmill/weights` in the user's cache folder.",
)
LABEL_STUDIO_URL = Variable(
    "MASKMILL_LABEL_STUDIO_URL", str, "Address of the team's Label Studio. Default: the one of the home."
)
LABEL_STUDIO_API_KEY = Variable(
    "MASKMILL_LABEL_STUDIO_API_KEY", str, "Its token, from Account & Settings. Secret."
)
LABEL_STUDIO_AWS_ACCESS_KEY_ID = Variable(
    "MASKMILL_LABEL_STUDIO_AWS_ACCESS_KEY_ID",
    str,
    "Key with which Label Studio itself reads images in S3.",
)
LABEL_STUDIO_AWS_SECRET_ACCESS_KEY = Variable(
    "MASKMILL_LABEL_STUDIO_AWS_SECRET_ACCESS_KEY", str, "The secret access key that belongs to it. Secret."
)
WEB_TOKEN = Variable(
    "MASKMILL_WEB_TOKEN",
    str,
    "Token for the web page; required if `maskmill web --host` lets other machines use it. Secret.",
)
AWS_ENDPOINT_URL_S3 = Variable(
    "AWS_ENDPOINT_URL_S3", str, "S3 server that Label Studio connects to, if it is not Amazon's."
)
AWS_ENDPOINT_URL = Variable("AWS_ENDPOINT_URL", str, "The same; `AWS_ENDPOINT_URL_S3` overrides it.")
AWS_REGION = Variable("AWS_REGION", str, "Region of the S3 bucket.")
AWS_DEFAULT_REGION = Variable("AWS_DEFAULT_REGION", str, "The same; `AWS_REGION` overrides it.")
OMP_NUM_THREADS = Variable(
    "OMP_NUM_THREADS", _parse_threads, "Threads of a model and of OpenCV in each process. Default: all cores."
)
TORCH_HOME = Variable(
    "TORCH_HOME", Path, "Folder in which torch keeps weights. Default: `torch` in `XDG_CACHE_HOME`."
)
XDG_CACHE_HOME = Variable("XDG_CACHE_HOME", Path, "The user's cache folder. Default: `~/.cache`.")


def variables() -> list[Variable[object]]:
    """Return all declared variables, in order."""
    return [value for value in globals().values() if isinstance(value, Variable)]


def read_variable(name: str) -> str | None:
    """Return the value of a variable whose name a user wrote into a config or a source."""
    return os.environ.get(name)


def all_variables() -> Mapping[str, str]:
    """Return the whole environment: `$NAME` of a source is looked up in it, and other programs get it."""
    return os.environ


def set_prefect_defaults(*, logging_level: str | None = None) -> None:
    """Set Prefect's variables for a temporary server; values that the user has set are kept.

    To be called before Prefect is imported, which reads them then.
    """
    defaults = {
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
    }
    if logging_level:
        defaults["PREFECT_LOGGING_LEVEL"] = logging_level
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
