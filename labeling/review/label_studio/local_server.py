"""A home's own Label Studio, which runs in the background and listens on this machine only.

`home/studio` contains `data` (its database), `credentials.json`, `server.log`, `server.pid` (its process
group), `server.lock`, and `served` (its server has accepted our token once). The server inherits a lock on
`server.lock`. It runs exactly while that lock is held, so another process with the same id is not mistaken
for it. (A `FileLock` cannot be inherited: the parent would release it.)
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import IO, TypeVar

import httpx

from configs.errors import ConfigError, LabelStudioDenied, LabelStudioMissing
from labeling.review.label_studio.credentials import (
    Credentials,
    credentials_file,
    label_studio_folder,
    read_credentials,
    write_credentials,
)
from labeling.review.label_studio.http import MAX_DETAIL
from labeling.review.label_studio.install import (
    DATABASE,
    empty_database,
    label_studio_variables,
    last_lines,
    make_environment,
)
from labeling.review.label_studio.ports import HOST, free_port, is_free
from labeling.storage.atomic import storage_errors

START_LIMIT_S = 240.0
"""A start takes 10 s on an idle machine."""
STOP_LIMIT_S = 10.0
"""After SIGTERM; then SIGKILL follows."""
USUAL_PORT = 8080
_POLL_S = 0.25
_PROBE_S = 0.2
"""A status check holds the lock for a moment, too."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LocalServerStatus:
    """State of a home's Label Studio."""

    running: bool
    answers: bool
    """It responds, and accepts our token."""
    pid: int | None
    """Its process group."""
    access: Credentials | None


class LocalLabelStudio:
    """The Label Studio of one home."""

    def __init__(self, home_root: Path, *, start_limit_s: float = START_LIMIT_S) -> None:
        self._home = home_root.resolve()
        self._folder = label_studio_folder(home_root)
        self._data = self._folder / "data"
        self._pid_file = self._folder / "server.pid"
        self._lock_file = self._folder / "server.lock"
        self._served = self._folder / "served"
        self._start_limit_s = start_limit_s

    @property
    def log(self) -> Path:
        """The output of the server since its last start."""
        return self._folder / "server.log"

    def up(self, port: int | None = None) -> Credentials:
        """Start it unless it runs, and wait until it responds. The first time, it is installed.

        `port`: None takes the last one, else the usual one, else any free one.

        Raises:
            LabelStudioMissing: it cannot be installed, exits, or does not respond in time.
            LabelStudioDenied: it refuses the token that it once accepted.
            ConfigError: it runs on another port, or the port is in use.
            DiskFull, HomeNotWritable: home or cache cannot be written.
        """
        environment = make_environment()
        try:
            credentials = self._start_and_wait(environment, port)
        except LabelStudioDenied:
            if self._served.exists():
                raise
            # Its first start was killed after it created the user and before it stored our token.
            self.down()
            credentials_file(self._home).unlink(missing_ok=True)
            credentials = self._start_and_wait(environment, port)
        self._served.touch()
        return credentials

    def down(self) -> bool:
        """Stop it with all its processes; returns whether it ran.

        Raises:
            LabelStudioMissing: it cannot be stopped.
        """
        if not self._is_running():
            self._pid_file.unlink(missing_ok=True)
            return False
        group = _wait_until(self._read_group, limit_s=STOP_LIMIT_S)
        if group is None:
            raise LabelStudioMissing(f"Label Studio runs and {self._pid_file} is missing: stop it by hand")
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, how)
            if _wait_until(lambda: not self._is_running(), limit_s=STOP_LIMIT_S):
                self._pid_file.unlink(missing_ok=True)
                return True
        raise LabelStudioMissing(f"Label Studio (process group {group}) does not end: stop it by hand")

    def status(self) -> LocalServerStatus:
        """Return the current state, without starting anything or waiting."""
        credentials, running = read_credentials(self._home), self._is_running()
        answers = False
        if running and credentials is not None:
            with suppress(LabelStudioDenied):
                answers = _responds(credentials)
        group = _wait_until(self._read_group, limit_s=1.0) if running else None
        return LocalServerStatus(running, answers, group, credentials)

    def _start_and_wait(self, environment: Path, port: int | None) -> Credentials:
        with storage_errors(self._folder):
            (self._home / "images").mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock_file.open("w") as lock:
                if _wait_until(lambda: _try_lock(lock), limit_s=_PROBE_S):
                    self._start(environment, port, lock)
        return self._wait(port)

    def _start(self, environment: Path, port: int | None, lock: IO[str]) -> None:
        known = read_credentials(self._home)
        url = f"http://{HOST}:{_choose_port(port, known)}"
        credentials = replace(known, url=url) if known else self._new_credentials(url)
        write_credentials(self._home, credentials)
        self._copy_database(environment)
        self._pid_file.unlink(missing_ok=True)
        self.log.touch(mode=0o600)
        server = (environment / "bin" / "label-studio", "start", "--no-browser", "--internal-host", HOST)
        options = ("--port", str(httpx.URL(url).port), "--data-dir", self._data)
        with self.log.open("w") as log:
            # The shell leads the process group, ends at once and leaves the server in the background.
            subprocess.run(  # noqa: S603 - our own command
                ("/bin/sh", "-c", 'set -e; echo $$ > server.pid; "$@" &', "sh", *server, *options),
                cwd=self._folder,
                env=self._variables(credentials),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()],
                start_new_session=True,
                check=False,  # `_wait` reports a failure with the log
            )

    def _copy_database(self, environment: Path) -> None:
        """Copy the empty database, unless there is a database already."""
        if not self._data.exists():
            temporary = self._data.with_suffix(".writing")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(mode=0o700)
            shutil.copyfile(empty_database(environment), temporary / DATABASE)
            temporary.rename(self._data)

    def _variables(self, credentials: Credentials) -> dict[str, str]:
        settings = {
            "USERNAME": credentials.email,
            "PASSWORD": credentials.password,
            "USER_TOKEN": credentials.token,
            "ENABLE_LEGACY_API_TOKEN": "true",
            "DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LOCAL_FILES_SERVING_ENABLED": "true",
            "LOCAL_FILES_DOCUMENT_ROOT": str(self._home),
            # Webhooks to this machine are refused otherwise.
            "SSRF_PROTECTION_ENABLED": "false",
        }
        return label_studio_variables(self._data, settings)

    def _new_credentials(self, url: str) -> Credentials:
        """Return a new user; with another name if a database exists, because its users keep their tokens."""
        suffix = f"-{secrets.token_hex(3)}" if self._data.exists() else ""
        return Credentials(
            url=url,
            token=secrets.token_hex(20),
            email=f"maskmill{suffix}@localhost.local",
            password=secrets.token_urlsafe(12),
            local=True,
        )

    def _wait(self, port: int | None) -> Credentials:
        """Wait until it responds, and check its port."""
        latest = time.monotonic() + self._start_limit_s
        while time.monotonic() < latest:
            running, credentials = self._is_running(), read_credentials(self._home)
            if running and credentials is not None and _responds(credentials):
                if port not in (None, httpx.URL(credentials.url).port):
                    raise ConfigError(
                        f"Label Studio runs at {credentials.url}, not on port {port}: `maskmill review down` first"
                    )
                return credentials
            if not running:
                raise LabelStudioMissing(f"Label Studio exited while it started; {self._log_end()}")
            time.sleep(_POLL_S)
        self.down()
        raise LabelStudioMissing(
            f"Label Studio did not respond within {self._start_limit_s:g} s and was stopped; {self._log_end()}"
        )

    def _log_end(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"end of {self.log}:{last_lines(text)}"

    def _is_running(self) -> bool:
        try:
            with self._lock_file.open() as lock:
                return not _try_lock(lock)
        except FileNotFoundError:
            return False

    def _read_group(self) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int(self._pid_file.read_text())
        return None


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(condition: Callable[[], Result], *, limit_s: float) -> Result:
    """Call until the result is true or the time is up; returns the last result."""
    latest = time.monotonic() + limit_s
    while not (result := condition()) and time.monotonic() < latest:
        time.sleep(0.02)
    return result


def _choose_port(port: int | None, known: Credentials | None) -> int:
    """Choose a port ourselves: Label Studio would silently take another one."""
    if port is not None:
        if not is_free(port):
            raise ConfigError(f"port {port} is in use: choose another, or omit it to use any free port")
        return port
    last = httpx.URL(known.url).port if known else None
    return next((port for port in (last, USUAL_PORT) if port and is_free(port)), None) or free_port()


def _responds(credentials: Credentials) -> bool:
    """Return whether our server responds at this URL.

    Raises:
        LabelStudioDenied: it responds and refuses our token.
    """
    headers = {"Authorization": f"Token {credentials.token}"}
    try:
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            response = client.get(f"{credentials.url}/api/current-user/whoami", headers=headers)
    except httpx.HTTPError:
        return False
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise LabelStudioDenied(
            f"Label Studio at {credentials.url} refuses our token ({response.text[:MAX_DETAIL]}): log in as "
            f"{credentials.email} and enable legacy tokens (Organization > API Tokens Settings), or delete "
            "its credentials.json, then `maskmill review up` creates another user"
        )
    return response.status_code == HTTPStatus.OK
