"""Who may use the server: hosts, origins and the token."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from configs.errors import ConfigError
from flows.web.security import access_rules
from tests.flows.web.conftest import IDLE, client_of, upload

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of the tests
RULES = access_rules("0.0.0.0", TOKEN, ["mask.example.org"])  # noqa: S104


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server that requires the token."""
    with client_of(tmp_path / "home", access=RULES, command=IDLE) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "[::1", "10.0.0.1"]
)
def test_another_host_is_refused_against_dns_rebinding(idle: httpx.Client, host: str) -> None:
    answer = idle.get("/api/jobs", headers={"host": host})
    assert answer.status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8420", "127.0.0.1:1", "[::1]:8420"])
def test_names_of_this_machine_are_allowed(idle: httpx.Client, host: str) -> None:
    assert idle.get("/api/jobs", headers={"host": host}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_change_anything(
    idle: httpx.Client, video: bytes, headers: dict[str, str]
) -> None:
    parts = [("files", ("a.mp4", video))]
    assert idle.post("/api/jobs", files=parts, headers=headers).status_code == 403
    assert idle.delete("/api/jobs/" + "0" * 16, headers=headers).status_code == 403
    assert idle.get("/api/jobs").json() == {"jobs": []}


def test_our_own_page_and_programs_can(idle: httpx.Client, video: bytes) -> None:
    origin = str(idle.base_url).rstrip("/")
    parts = [("files", ("a.mp4", video))]
    assert idle.post("/api/jobs", files=parts, headers={"origin": origin}).status_code == 201
    assert upload(idle, ("b.mp4", video)).status_code == 201


def test_answers_cannot_be_framed_or_sniffed_and_allow_no_foreign_script(idle: httpx.Client) -> None:
    for address in ("/", "/api/jobs", "/static/videos.js", "/runs"):
        headers = idle.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


def test_without_the_token_only_the_sign_in_page_is_shown(guarded: httpx.Client, video: bytes) -> None:
    assert guarded.get("/").headers["location"] == "/login"
    assert "Access key" in guarded.get("/login").text
    assert guarded.get("/static/app.css").status_code == 200
    assert guarded.get("/static/../api/jobs").status_code in (401, 404)
    for address in ("/api/jobs", "/api/openapi.json"):
        assert guarded.get(address).status_code == 401
    assert guarded.get("/runs").status_code == 303
    assert upload(guarded, ("a.mp4", video)).status_code == 401


@pytest.mark.slow
def test_programs_send_the_token_in_a_header(guarded: httpx.Client) -> None:
    assert guarded.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    begin = time.monotonic()
    for wrong in (f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer", "Bearer \xfc"):
        headers = {"authorization": wrong.encode("latin-1")}
        assert guarded.get("/api/jobs", headers=headers).status_code == 401  # type: ignore[arg-type]
    assert time.monotonic() - begin > 1.5
    assert guarded.get(f"/api/jobs?token={TOKEN}").status_code == 401


@pytest.mark.slow
def test_people_sign_in_once_and_the_cookie_does_not_contain_the_token(guarded: httpx.Client) -> None:
    assert guarded.post("/login", data={"token": "wrong"}).status_code == 401
    answer = guarded.post("/login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert guarded.get("/api/jobs").status_code == 200
    assert "Sign out" in guarded.get("/").text
    guarded.post("/logout")
    guarded.cookies.clear()
    assert guarded.get("/api/jobs").status_code == 401


def test_a_forged_cookie_is_refused(guarded: httpx.Client) -> None:
    for forged in ("", "0" * 64, TOKEN):
        guarded.cookies.set("maskmill_session", forged)
        assert guarded.get("/api/jobs").status_code == 401


def test_a_server_for_others_knows_its_names_and_addresses(guarded: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for host, status in (("mask.example.org", 200), ("192.168.1.20:8420", 200), ("evil.example", 421)):
        assert guarded.get("/api/jobs", headers=headers | {"host": host}).status_code == status


def test_another_address_requires_a_token_of_some_length() -> None:
    with pytest.raises(ConfigError, match="MASKMILL_WEB_TOKEN"):
        access_rules("0.0.0.0", None, [])  # noqa: S104
    with pytest.raises(ConfigError, match="at least 16"):
        access_rules("127.0.0.1", "short", [])
    assert access_rules("127.0.0.1", None, []).token is None


def test_metrics_require_the_token_as_the_pages_do(guarded: httpx.Client) -> None:
    assert guarded.get("/metrics").status_code == 401
    answer = guarded.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert "maskmill_up{" in answer.text
