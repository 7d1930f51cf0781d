"""A home's own Label Studio: started, killed, and started again."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from configs.errors import ConfigError, LabelStudioDenied, LabelStudioMissing
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.credentials import credentials_file, write_credentials
from labeling.review.label_studio.local_server import LocalLabelStudio
from labeling.review.label_studio.ports import free_port
from tests.studio_server import LABEL_CONFIG, RunningStudio

labelstudio = pytest.mark.labelstudio

LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 in /proc/net."""


@pytest.fixture(scope="module")
def spare(studio: RunningStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLabelStudio]:
    """A second home, whose server a test may kill; call `up` first."""
    local = LocalLabelStudio(tmp_path_factory.mktemp("spare home"))
    yield local
    local.down()


def wait_until(condition: Callable[[], bool], *, limit_s: float = 60.0) -> None:
    latest = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < latest, "the condition was never true"
        time.sleep(0.05)


def processes_of(group: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(path.name)) == group:
                found.append(int(path.name))
    return found


def listening_addresses(group: int) -> list[str]:
    """Addresses on which the processes of a group listen, in hexadecimal as in /proc/net."""
    targets = []
    for link in [link for pid in processes_of(group) for link in Path(f"/proc/{pid}/fd").iterdir()]:
        with suppress(FileNotFoundError):  # closed since it was listed
            targets.append(str(link.readlink()))
    sockets = {found[1] for target in targets if (found := re.match(r"socket:\[(\d+)]", target))}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets]


def send_form(http: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Submit a form like a browser, with the CSRF token of the page."""
    page = http.get("/user/login/").raise_for_status()
    hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert hidden
    return http.post(path, data={**fields, "csrfmiddlewaretoken": hidden[1]})


@labelstudio
def test_starting_twice_starts_once(studio: RunningStudio) -> None:
    before = studio.local.status()
    assert studio.local.up() == studio.access
    assert LocalLabelStudio(studio.home_root).up() == studio.access
    after = studio.local.status()
    assert after == before
    assert after.running
    assert after.answers


@labelstudio
def test_it_listens_on_the_loopback_address_only(studio: RunningStudio) -> None:
    pid = studio.local.status().pid
    assert pid
    addresses = listening_addresses(pid)
    assert addresses
    assert set(addresses) <= LOOPBACK


@labelstudio
def test_its_secrets_are_readable_by_this_user_only(studio: RunningStudio) -> None:
    path, log = credentials_file(studio.home_root), studio.local.log
    assert studio.access.token in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    commands = [
        Path(f"/proc/{pid}/cmdline").read_text() for pid in processes_of(studio.local.status().pid or 0)
    ]
    assert commands
    for secret in (studio.access.token, studio.access.password):
        assert secret not in log.read_text(errors="replace")
        assert not any(secret in command for command in commands)


@labelstudio
def test_the_password_works_and_sign_up_is_disabled(studio: RunningStudio) -> None:
    def browse() -> httpx.Client:
        return httpx.Client(base_url=studio.access.url, trust_env=False, timeout=60.0)

    email, password = studio.access.email, studio.access.password
    with browse() as http:
        assert send_form(http, "/user/login/", email=email, password=f"{password}x").status_code == 200
        assert http.get("/api/projects/").status_code == 401
    with browse() as http:
        assert send_form(http, "/user/login/", email=email, password=password).status_code == 302
        assert http.get("/api/projects/").status_code == 200
    with browse() as http:
        assert send_form(http, "/user/signup/", email="a@b.example", password=password).status_code == 403
        assert http.get("/api/projects/").status_code == 401
    assert "a@b.example" not in studio.server.user_emails().values()


@labelstudio
def test_another_port_is_refused_while_it_runs(studio: RunningStudio) -> None:
    with pytest.raises(ConfigError, match="`maskmill review down` first"):
        studio.local.up(free_port())


@labelstudio
def test_a_port_in_use_is_refused_and_nothing_starts(studio: RunningStudio, tmp_path: Path) -> None:
    local = LocalLabelStudio(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            local.up(port)
    assert not local.status().running


@labelstudio
def test_a_server_that_starts_too_slowly_is_stopped(studio: RunningStudio, tmp_path: Path) -> None:
    local = LocalLabelStudio(tmp_path, start_limit_s=0.5)
    with pytest.raises(LabelStudioMissing, match=r"did not respond within 0\.5 s and was stopped"):
        local.up(free_port())
    assert not local.status().running


@labelstudio
def test_the_log_of_a_server_that_exits_is_quoted(studio: RunningStudio, tmp_path: Path) -> None:
    data = tmp_path / "studio" / "data"
    data.parent.mkdir()
    data.write_text("a file where its folder should be")
    with pytest.raises(
        LabelStudioMissing, match=r"exited while it started; end of .*server\.log:\n"
    ) as failed:
        LocalLabelStudio(tmp_path).up(free_port())
    assert str(data) in str(failed.value).partition("server.log:")[2]


def test_a_home_without_a_server_is_not_changed_by_down_and_status(tmp_path: Path) -> None:
    local = LocalLabelStudio(tmp_path / "home")
    assert not local.down()
    status = local.status()
    assert (status.running, status.answers, status.pid, status.access) == (False, False, None, None)
    assert not (tmp_path / "home").exists()


@labelstudio
def test_a_killed_start_is_completed_by_the_next_one(spare: LocalLabelStudio, studio: RunningStudio) -> None:
    home_root = spare.log.parent.parent
    spare.down()
    command = "import sys, pathlib, labeling.review.label_studio.local_server as l; l.LocalLabelStudio(pathlib.Path(sys.argv[1])).up()"
    starting = subprocess.Popen([sys.executable, "-c", command, str(home_root)])
    wait_until(lambda: spare.log.exists() and spare.log.stat().st_size > 0)
    starting.kill()
    starting.wait()
    survivor = spare.status()
    assert survivor.running
    assert survivor.pid
    assert not survivor.answers
    os.killpg(survivor.pid, signal.SIGKILL)
    wait_until(lambda: not spare.status().running)
    access = spare.up()
    assert access == survivor.access
    assert spare.status().answers
    with LabelStudioClient(access.url, access.token) as server:
        assert server.check()
    assert access.url != studio.access.url, "two homes run side by side"
    with LabelStudioClient(access.url, studio.access.token) as server, pytest.raises(LabelStudioDenied):
        server.check()


@labelstudio
def test_a_killed_server_is_restarted_with_its_data(spare: LocalLabelStudio) -> None:
    access = spare.up()
    with LabelStudioClient(access.url, access.token) as server:
        project = server.find_or_create_project("kept", LABEL_CONFIG, "")
        os.killpg(spare.status().pid or 0, signal.SIGKILL)
        wait_until(lambda: not spare.status().running)
        assert not spare.status().answers
        assert spare.up() == access
        assert server.project_exists(project)
    assert spare.down()
    assert not spare.status().running
    assert not spare.down()


@labelstudio
def test_only_a_token_that_was_never_accepted_is_replaced(spare: LocalLabelStudio) -> None:
    home_root = spare.log.parent.parent
    access = spare.up()
    with LabelStudioClient(access.url, access.token) as server:
        project = server.find_or_create_project("of another user", LABEL_CONFIG, "")
    other = replace(access, token="f" * 40)
    write_credentials(home_root, other)
    with pytest.raises(LabelStudioDenied, match=r"refuses our token .*credentials\.json") as denied:
        spare.up()
    assert other.token not in str(denied.value)
    assert spare.status().access == other
    (home_root / "studio" / "served").unlink()  # as if the first start had been killed
    made = spare.up()
    assert made.email != access.email
    assert made.token not in {access.token, other.token}
    with LabelStudioClient(made.url, made.token) as server:
        assert server.project_exists(project)
