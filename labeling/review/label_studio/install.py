"""Label Studio's own Python environment: it shares none with us, for their libraries clash.

It is made once per user, in the cache, with the versions that this version of maskmill was tested with, and
with an empty database, of which every home gets a copy: to make one anew takes half a minute.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from labeling.errors import LabelStudioMissing
from labeling.storage.atomic import storage_errors
from labeling.storage.cache import cache_dir

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
SHOWN_LINES = 15
"""Of a log, in a message."""
DATABASE = "label_studio.sqlite3"
"""What Label Studio calls it, in its data folder."""
_INSTALL_LIMIT_S = 1800.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE")
"""Label Studio reads its settings under plain names too (HOST, DEBUG, DATABASE_NAME): it gets no others."""
_LAYOUT = 2
"""Of the folder: 1 had no database."""

_log = logging.getLogger(__name__)


def find_environment() -> Path | None:
    """Folder of the complete environment; None: there is none, or its making was broken off."""
    folder = environment_folder()
    return folder if _is_complete(folder) else None


def make_environment() -> Path:
    """The environment's folder; the first call downloads it, which takes minutes and about 1 GB.

    Several processes may call at once: one installs, the others wait.

    Raises:
        LabelStudioMissing: neither uv nor pip could install it.
        DiskFull, HomeNotWritable: the cache cannot be written.
    """
    folder = environment_folder()
    if _is_complete(folder):
        return folder
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if not _is_complete(folder):
                _install(folder)
    return folder


def empty_database(environment: Path) -> Path:
    """Label Studio's database with all tables and nobody in it."""
    return environment / "empty" / DATABASE


def label_studio_variables(data: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """All environment variables of a Label Studio with this data folder; the settings' without prefix."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    quiet = {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    ours = {
        # Without it, a folder in the user's home is made before the command line is read.
        "BASE_DATA_DIR": str(data),
        # Nothing is told to anybody.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    } | dict(settings or {})
    return {**kept, **quiet, **{f"LABEL_STUDIO_{name}": value for name, value in ours.items()}}


def environment_folder() -> Path:
    """Beside the weights; other versions, of Label Studio or of Python, have other folders."""
    versions = CONSTRAINTS.read_text()
    key = hashlib.sha256(f"{sys.version_info[:2]}{_LAYOUT}{versions}".encode()).hexdigest()[:8]
    return cache_dir().absolute().parent / f"studio-{label_studio_version()}-{key}"


def label_studio_version() -> str:
    """Version of Label Studio that is installed here."""
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return pins["label-studio"]


def last_lines(text: str) -> str:
    """What to show of a log: its end, indented, on lines of its own."""
    lines = [line for line in text.splitlines() if line.strip()][-SHOWN_LINES:]
    return "".join(f"\n  {line}" for line in lines) or " nothing"


def _is_complete(folder: Path) -> bool:
    return _mark(folder).is_file()


def _mark(folder: Path) -> Path:
    """Written last: scripts hold their folder's path, so that an environment cannot be moved into place."""
    return folder / "maskmill-complete"


def _install(folder: Path) -> None:
    _log.info("installing Label Studio %s into %s: once, a few minutes, 1 GB", label_studio_version(), folder)
    said = ""
    for commands in _ways(folder):
        shutil.rmtree(folder, ignore_errors=True)
        said = _run_all(commands) or _make_database(folder)
        if not said:
            _mark(folder).touch()
            return
    shutil.rmtree(folder, ignore_errors=True)
    raise LabelStudioMissing(
        f"Label Studio {label_studio_version()} cannot be installed into {folder}; look at the network and the "
        f"package index's settings, or use your team's server. The installer said:{last_lines(said)}"
    )


def _ways(folder: Path) -> Iterator[Sequence[Sequence[str]]]:
    """uv where it is there, for it takes an eighth of the time, then pip, whose settings may know another index."""
    python = str(folder / "bin" / "python")
    wanted = ("--constraint", str(CONSTRAINTS), f"label-studio=={label_studio_version()}")
    beside_python = sysconfig.get_path("scripts")
    if uv := shutil.which("uv", path=os.pathsep.join([beside_python, os.environ.get("PATH", "")])):
        yield (
            (uv, "venv", "--python", sys.executable, str(folder)),
            (uv, "pip", "install", "--python", python, *wanted),
        )
    yield (
        (sys.executable, "-m", "venv", str(folder)),
        (python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", *wanted),
    )


def _make_database(folder: Path) -> str:
    """Any command makes it; what this one said if it failed."""
    data = empty_database(folder).parent
    command = (str(folder / "bin" / "label-studio"), "version", "--data-dir", str(data))
    return _run(command, label_studio_variables(data))


def _run_all(commands: Sequence[Sequence[str]]) -> str:
    """What the first that failed said; empty: all went well."""
    return next((said for command in commands if (said := _run(command))), "")


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """What it said if it failed; empty: all went well."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_INSTALL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return (done.stdout or f"{command[0]} failed with status {done.returncode}") if done.returncode else ""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in here; the system ends the lock of a killed one."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
