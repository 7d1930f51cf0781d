"""Label Studio's own Python environment: it shares none with us, for their libraries clash.

It is made once per user, in the cache, with the versions that this version of maskmill was tested with.
"""

import fcntl
import hashlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labeling.errors import StudioMissing
from labeling.segmenters.weights import cache_dir
from labeling.storage import storage_errors

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
SHOWN_LINES = 15
"""Of a log, in a message."""
_INSTALL_LIMIT_S = 1800.0

_log = logging.getLogger(__name__)


def find_environment() -> Path | None:
    """Folder of the complete environment; None: there is none, or its making was broken off."""
    folder = environment_folder()
    return folder if _is_complete(folder) else None


def make_environment() -> Path:
    """The environment's folder; the first call downloads it, which takes minutes and about 1 GB.

    Several processes may call at once: one installs, the others wait.

    Raises:
        StudioMissing: neither uv nor pip could install it.
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


def environment_folder() -> Path:
    """Beside the weights; other versions, of Label Studio or of Python, have other folders."""
    versions = CONSTRAINTS.read_text()
    key = hashlib.sha256(f"{sys.version_info[:2]}{versions}".encode()).hexdigest()[:8]
    return cache_dir().absolute().parent / f"studio-{studio_version()}-{key}"


def studio_version() -> str:
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
    _log.info("installing Label Studio %s into %s: once, a few minutes, 1 GB", studio_version(), folder)
    said = ""
    for commands in _ways(folder):
        shutil.rmtree(folder, ignore_errors=True)
        said = _run_all(commands)
        if not said:
            _mark(folder).touch()
            return
    shutil.rmtree(folder, ignore_errors=True)
    raise StudioMissing(
        f"Label Studio {studio_version()} cannot be installed into {folder}; look at the network and the "
        f"package index's settings, or use your team's server. The installer said:{last_lines(said)}"
    )


def _ways(folder: Path) -> Iterator[Sequence[Sequence[str]]]:
    """uv where it is there, for it is quicker, then pip, whose settings may know another index."""
    python = str(folder / "bin" / "python")
    wanted = ("--constraint", str(CONSTRAINTS), f"label-studio=={studio_version()}")
    if uv := shutil.which("uv"):
        yield (
            (uv, "venv", "--python", sys.executable, str(folder)),
            (uv, "pip", "install", "--python", python, *wanted),
        )
    yield (
        (sys.executable, "-m", "venv", str(folder)),
        (python, "-m", "pip", "install", "--disable-pip-version-check", *wanted),
    )


def _run_all(commands: Sequence[Sequence[str]]) -> str:
    """What the first that failed said; empty: all went well."""
    for command in commands:
        try:
            done = subprocess.run(  # noqa: S603 - our own words
                command,
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
        if done.returncode:
            return done.stdout or f"{command[0]} failed with status {done.returncode}"
    return ""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in here; the system ends the lock of a killed one."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
