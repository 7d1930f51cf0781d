"""Label Studio's own Python environment, separate from ours because their dependencies conflict.

It is installed once per user, in the cache, with the versions that this version of maskmill was tested with.
It includes an empty database, which is copied for each home: creating one takes half a minute.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from configs.errors import LabelStudioMissing
from labeling.storage.atomic import storage_errors
from labeling.storage.home import cache_dir

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
DATABASE = "label_studio.sqlite3"
"""Label Studio's name of its database in its data folder."""
_MAX_LOG_LINES = 15
_INSTALL_LIMIT_S = 1800.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE")
"""Label Studio also reads settings without a prefix (HOST, DEBUG, DATABASE_NAME), so it gets no others."""
_LAYOUT = 2
"""Version of the folder's layout: 1 had no database."""

_log = logging.getLogger(__name__)


def find_environment() -> Path | None:
    """Return the folder of the environment; None: it is not installed, or not completely."""
    folder = environment_folder()
    return folder if _mark(folder).is_file() else None


def make_environment() -> Path:
    """Return the environment's folder; the first call downloads about 1 GB, which takes minutes.

    Of several concurrent calls, one installs and the others wait.

    Raises:
        LabelStudioMissing: neither uv nor pip could install it.
        DiskFull, HomeNotWritable: the cache cannot be written.
    """
    if (found := find_environment()) is not None:
        return found
    folder = environment_folder()
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if find_environment() is None:
                _install(folder)
    return folder


def empty_database(environment: Path) -> Path:
    """Return the path of a database with all tables and no user."""
    return environment / "empty" / DATABASE


def label_studio_variables(data: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all environment variables of a Label Studio; `settings` are given without their prefix."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    no_telemetry = {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    defaults = {
        # Otherwise it creates a folder in the user's home before it reads the command line.
        "BASE_DATA_DIR": str(data),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }
    prefixed = {f"LABEL_STUDIO_{name}": value for name, value in {**defaults, **(settings or {})}.items()}
    return {**kept, **no_telemetry, **prefixed}


def environment_folder() -> Path:
    """Return the folder for these versions of Label Studio and Python, beside the cached weights."""
    versions = CONSTRAINTS.read_text()
    key = hashlib.sha256(f"{sys.version_info[:2]}{_LAYOUT}{versions}".encode()).hexdigest()[:8]
    return cache_dir().absolute().parent / f"studio-{label_studio_version()}-{key}"


def label_studio_version() -> str:
    """Return the version of Label Studio that is installed."""
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return pins["label-studio"]


def last_lines(text: str) -> str:
    """Return the end of a log, each line indented, for a message."""
    lines = [line for line in text.splitlines() if line.strip()][-_MAX_LOG_LINES:]
    return "".join(f"\n  {line}" for line in lines) or " nothing"


def _mark(folder: Path) -> Path:
    """Return the file that marks a complete environment, which cannot be moved into place when it is complete:
    its scripts contain the path of its folder."""
    return folder / "maskmill-complete"


def _install(folder: Path) -> None:
    version, output = label_studio_version(), ""
    _log.info("installing Label Studio %s into %s: once, a few minutes, 1 GB", version, folder)
    data = empty_database(folder).parent
    create_database = (str(folder / "bin" / "label-studio"), "version", "--data-dir", str(data))
    for commands in _installers(folder, f"label-studio=={version}"):
        shutil.rmtree(folder, ignore_errors=True)
        output = next((failed for command in commands if (failed := _run(command))), "")
        output = output or _run(create_database, label_studio_variables(data))
        if not output:
            _mark(folder).touch()
            return
    shutil.rmtree(folder, ignore_errors=True)
    raise LabelStudioMissing(
        f"Label Studio {version} cannot be installed into {folder}: check the network and the settings of the "
        f"package index, or use your team's server. Output of the installer:{last_lines(output)}"
    )


def _installers(folder: Path, requirement: str) -> Iterator[Sequence[Sequence[str]]]:
    """Yield the commands of uv, which is eight times as fast, then of pip, which may know another index."""
    python = str(folder / "bin" / "python")
    packages = ("--constraint", str(CONSTRAINTS), requirement)
    search_path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    if uv := shutil.which("uv", path=search_path):
        yield (
            (uv, "venv", "--python", sys.executable, str(folder)),
            (uv, "pip", "install", "--python", python, *packages),
        )
    yield (
        (sys.executable, "-m", "venv", str(folder)),
        (python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", *packages),
    )


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """Run a command; returns its output if it failed, else an empty string."""
    try:
        subprocess.run(  # noqa: S603 - our own command
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_INSTALL_LIMIT_S,
            check=True,
        )
    except subprocess.CalledProcessError as exc:
        return str(exc.stdout or exc)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return ""
