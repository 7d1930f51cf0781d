"""A Label Studio of this home's own: started in the background, for this machine only.

Everything of it lies in `home/studio`: `data` (its database), `access.json` (its keys), `server.log`,
`server.pid`, `server.lock`, which the running server holds, and `served`: it once knew our token. A server runs exactly while its lock is
held: a process that happens to have got an old server's number is nobody of ours.
"""

import fcntl
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

import httpx

from configs.errors import ConfigError
from labeling.errors import LabelStudioDenied, LabelStudioMissing
from labeling.review.label_studio.credentials import (
    Credentials,
    credentials_file,
    label_studio_folder,
    read_credentials,
    write_credentials,
)
from labeling.review.label_studio.http import LONGEST_DETAIL
from labeling.review.label_studio.install import (
    DATABASE,
    empty_database,
    find_environment,
    label_studio_variables,
    last_lines,
    make_environment,
)
from labeling.review.label_studio.ports import HOST, free_port, is_free
from labeling.storage.atomic import storage_errors

START_LIMIT_S = 240.0
"""It takes 10 s on a quiet machine."""
STOP_LIMIT_S = 10.0
"""After a polite request to end; then it is ended."""
USUAL_PORT = 8080
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class LocalServerStatus:
    """What is there of a home's Label Studio."""

    installed: bool
    running: bool
    """Its process lives."""
    answers: bool
    """It serves, and knows our token."""
    pid: int | None
    log: Path
    access: Credentials | None


class LocalLabelStudio:
    """The Label Studio of one home."""

    def __init__(self, home_root: Path, *, start_limit_s: float = START_LIMIT_S) -> None:
        self._home = home_root.resolve()
        self._folder = label_studio_folder(home_root)
        self._start_limit_s = start_limit_s

    @property
    def log(self) -> Path:
        """What the server said since its last start."""
        return self._folder / "server.log"

    def up(self, port: int | None = None) -> Credentials:
        """Start it unless it runs, and wait until it serves. The first time, it is installed.

        `port`: None takes the last one again, else the usual one, else any that is free.

        Raises:
            LabelStudioMissing: it cannot be installed, ends at once, or does not serve in time.
            LabelStudioDenied: it serves, and refuses the token that it once took.
            ConfigError: it runs on another port than asked for, or something else does on this one.
            DiskFull, HomeNotWritable: home or cache cannot be written.
        """
        try:
            return self._start_once(port)
        except LabelStudioDenied:
            if self._served.exists():
                raise
            # Its first start was killed between making the user and giving it our token.
            self.down()
            credentials_file(self._home).unlink(missing_ok=True)
        return self._start_once(port)

    def down(self) -> bool:
        """Stop it, with everything that it started; whether it ran."""
        if not self._runs():
            self._pid_file.unlink(missing_ok=True)
            return False
        group = self._read_pid(limit_s=STOP_LIMIT_S)
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, how)
            if self._ends(limit_s=STOP_LIMIT_S):
                self._pid_file.unlink(missing_ok=True)
                return True
        raise LabelStudioMissing(f"Label Studio (process {group}) does not end: end it by hand")

    def status(self) -> LocalServerStatus:
        """How things stand; nothing is started, and nothing waited for."""
        access, running = read_credentials(self._home), self._runs()
        answers = False
        if running and access is not None:
            with suppress(LabelStudioDenied):
                answers = _serves(access)
        return LocalServerStatus(
            installed=find_environment() is not None,
            running=running,
            answers=answers,
            pid=self._read_pid(limit_s=1.0) if running else None,
            log=self.log,
            access=access,
        )

    @property
    def _pid_file(self) -> Path:
        return self._folder / "server.pid"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _served(self) -> Path:
        return self._folder / "served"

    def _start_once(self, port: int | None) -> Credentials:
        environment = make_environment()
        with self._starting() as lock:
            if lock is not None:
                self._start(environment, port, lock)
        access = self._wait(port)
        self._served.touch()
        return access

    @contextmanager
    def _starting(self) -> Iterator[int | None]:
        """The lock's descriptor, for the server to inherit; None: a server holds it already."""
        with storage_errors(self._folder):
            (self._home / "images").mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Whoever asks whether it runs holds the lock too, for a moment.
            yield lock if _try_lock(lock, limit_s=0.2) else None
        finally:
            os.close(lock)

    def _runs(self) -> bool:
        try:
            lock = os.open(self._folder / "server.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(lock)
        finally:
            os.close(lock)

    def _start(self, environment: Path, port: int | None, lock: int) -> None:
        """Spawn it in a session of its own. A shell writes the number that it then has as the server."""
        known = read_credentials(self._home)
        url = f"http://{HOST}:{_choose_port(port, known)}"
        access = replace(known, url=url) if known else self._new_access(url)
        write_credentials(self._home, access)
        self._copy_database(environment)
        self._pid_file.unlink(missing_ok=True)
        script = 'echo $$ > server.pid; exec "$@"'
        os.set_inheritable(lock, True)
        os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f'cd "$1" && shift && {script}', "sh", *self._command(environment, access)],
            self._variables(access),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def _copy_database(self, environment: Path) -> None:
        """The empty one, unless there is one already."""
        if not self._data.exists():
            begun = self._data.with_suffix(".begun")
            shutil.rmtree(begun, ignore_errors=True)
            with storage_errors(begun):
                begun.mkdir(mode=0o700)
                shutil.copyfile(empty_database(environment), begun / DATABASE)
                begun.rename(self._data)

    def _command(self, environment: Path, access: Credentials) -> list[str]:
        """The folder to start in, then the command."""
        port = str(httpx.URL(access.url).port)
        return [
            str(self._folder),
            str(environment / "bin" / "label-studio"),
            "start",
            "--no-browser",
            *("--internal-host", HOST),
            *("--port", port),
            *("--data-dir", str(self._data)),
        ]

    def _variables(self, access: Credentials) -> dict[str, str]:
        settings = {
            "USERNAME": access.email,
            "PASSWORD": access.password,
            "USER_TOKEN": access.token,
            "ENABLE_LEGACY_API_TOKEN": "true",
            "DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LOCAL_FILES_SERVING_ENABLED": "true",
            "LOCAL_FILES_DOCUMENT_ROOT": str(self._home),
            # Webhooks to this machine are refused otherwise.
            "SSRF_PROTECTION_ENABLED": "false",
        }
        return label_studio_variables(self._data, settings)

    def _new_access(self, url: str) -> Credentials:
        """A user of a new name where there is a database already: its users keep their tokens."""
        another = f"-{secrets.token_hex(3)}" if self._data.exists() else ""
        return Credentials(
            url=url,
            token=secrets.token_hex(20),
            email=f"maskmill{another}@localhost.local",
            password=secrets.token_urlsafe(12),
            local=True,
        )

    def _wait(self, port: int | None) -> Credentials:
        """Until it serves.

        Raises:
            LabelStudioDenied: it serves, and does not know our token.
        """
        latest = time.monotonic() + self._start_limit_s
        while time.monotonic() < latest:
            running, access = self._runs(), read_credentials(self._home)
            if access is not None and running and _serves(access):
                return _of_port(access, port)
            if not running:
                raise LabelStudioMissing(
                    f"Label Studio ended while it started; {self.log} says:{self._said()}"
                )
            time.sleep(_POLL_S)
        self.down()
        raise LabelStudioMissing(
            f"Label Studio did not serve within {self._start_limit_s:g} s and was stopped; "
            f"{self.log} says:{self._said()}"
        )

    def _said(self) -> str:
        return last_lines(self.log.read_text(errors="replace") if self.log.exists() else "")

    def _ends(self, *, limit_s: float) -> bool:
        latest = time.monotonic() + limit_s
        while self._runs():
            if time.monotonic() > latest:
                return False
            time.sleep(0.05)
        return True

    def _read_pid(self, *, limit_s: float) -> int:
        """Number of the running server, which writes it as the first thing that it does."""
        latest = time.monotonic() + limit_s
        while time.monotonic() < latest:
            with suppress(FileNotFoundError, ValueError):
                return int(self._pid_file.read_text())
            time.sleep(0.05)
        raise LabelStudioMissing(f"Label Studio runs and {self._pid_file} is gone: end it by hand")


def _try_lock(descriptor: int, *, limit_s: float = 0.0) -> bool:
    latest = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= latest:
                return False
            time.sleep(0.02)
        else:
            return True


def _choose_port(asked: int | None, known: Credentials | None) -> int:
    """Label Studio itself would go on to another port without a word to us."""
    if asked is not None:
        if not is_free(asked):
            raise ConfigError(f"port {asked} is in use: name another, or none to have one chosen")
        return asked
    last = httpx.URL(known.url).port if known else None
    return next((port for port in (last, USUAL_PORT) if port and is_free(port)), None) or free_port()


def _of_port(access: Credentials, port: int | None) -> Credentials:
    if port not in (None, httpx.URL(access.url).port):
        raise ConfigError(
            f"Label Studio runs at {access.url}, not on port {port}: `maskmill review down` first"
        )
    return access


def _serves(access: Credentials) -> bool:
    """Whether it is our server that answers there.

    Raises:
        LabelStudioDenied: it does, and does not know our token.
    """
    headers = {"Authorization": f"Token {access.token}"}
    try:
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            answer = client.get(f"{access.url}/api/current-user/whoami", headers=headers)
    except httpx.HTTPError:
        return False
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise LabelStudioDenied(
            f"Label Studio at {access.url} refuses our token ({answer.text[:LONGEST_DETAIL]}): log in as "
            f"{access.email} and allow legacy tokens again (Organization > API Tokens Settings), or remove "
            "its access.json, then `maskmill review up` makes another user"
        )
    return answer.status_code == HTTPStatus.OK
