"""Connections to a Label Studio: URLs, tokens, and servers that fail."""

import base64
import json
import logging
import socket
import time
from dataclasses import replace
from importlib.metadata import version

import httpx
import pytest

from configs.errors import (
    LabelStudioDenied,
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioTooOld,
    LabelStudioUnreachable,
)
from labeling.review.label_studio import http as label_studio_http
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.http import TESTED_SDK, RetryPolicy, make_authenticator, require_answer
from tests.servers import send_page, send_status, serve
from tests.studio_server import RunningStudio, gate_before, without_legacy_tokens

labelstudio = pytest.mark.labelstudio

FAST = RetryPolicy(first_pause_s=0.001)


def make_jwt(claims: dict[str, object]) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*coded, "c2lnbmF0dXJl"])


@labelstudio
def test_a_valid_token_gives_the_version(studio: RunningStudio) -> None:
    assert studio.server.check().startswith("1.")


@labelstudio
def test_no_log_and_no_representation_shows_the_token(
    studio: RunningStudio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with gate_before(studio.access.url) as gate, LabelStudioClient(gate.url, studio.access.token) as server:
        gate.answer_with = [503]
        server.check()
        assert studio.access.token not in repr(server)
    assert "503" in caplog.text
    assert studio.access.token not in caplog.text


@pytest.mark.slow
def test_a_busy_server_is_no_denial_of_a_personal_access_token() -> None:
    """The SDK first requests a short-lived token, and expects JSON whatever the status."""
    token = make_jwt({"token_type": "refresh", "exp": 4_000_000_000})
    with serve() as site, LabelStudioClient(site.url("/"), token, retry_policy=FAST) as server:
        site.pages["/api/token/refresh/"] = send_status(503)
        with pytest.raises(LabelStudioUnreachable, match="POST /api/token/refresh/: status 503"):
            server.check()


@labelstudio
def test_a_wrong_token_is_denied_and_not_repeated_in_the_message(studio: RunningStudio) -> None:
    wrong = "0123456789abcdef" * 2
    with LabelStudioClient(studio.access.url, wrong) as server, pytest.raises(LabelStudioDenied) as denied:
        server.check()
    assert "legacy token" in str(denied.value)
    assert "Personal Access Token" in str(denied.value)
    assert wrong not in str(denied.value)


@labelstudio
@pytest.mark.filterwarnings("ignore:The `parse_obj` method:DeprecationWarning")  # of the SDK's refresh
def test_a_personal_access_token_works_where_legacy_ones_are_disabled(studio: RunningStudio) -> None:
    with without_legacy_tokens(studio) as token:
        with LabelStudioClient(studio.access.url, token) as server:
            assert server.check().startswith("1.")
            assert studio.access.email in server.user_emails().values()
        with pytest.raises(LabelStudioDenied, match="legacy token authentication has been disabled"):
            studio.server.check()
    assert studio.server.check()


@labelstudio
def test_an_expired_personal_access_token_is_denied(studio: RunningStudio) -> None:
    expired = make_jwt({"token_type": "refresh", "exp": 1_000_000})
    with pytest.raises(LabelStudioDenied, match=r"personal access token.*expired"):
        LabelStudioClient(studio.access.url, expired)


@labelstudio
def test_a_personal_access_token_of_another_server_is_denied(studio: RunningStudio) -> None:
    foreign = make_jwt({"token_type": "refresh", "exp": 4_000_000_000})
    with LabelStudioClient(studio.access.url, foreign) as server, pytest.raises(LabelStudioDenied) as denied:
        server.check()
    assert "personal access token" in str(denied.value)
    assert foreign not in str(denied.value)


@pytest.mark.parametrize("token", ["", "a b", "tøken", "line\nbreak"])
def test_an_invalid_token_is_denied_before_any_request(token: str) -> None:
    with pytest.raises(LabelStudioDenied, match="Account & Settings"):
        LabelStudioClient("http://127.0.0.1:1", token)


@pytest.mark.parametrize(
    "url", ["", "studio.example", "ftp://x", "http://user:secret@x", "http://[x", "http://x:99999"]
)
def test_an_invalid_url_is_unreachable(url: str) -> None:
    with pytest.raises(LabelStudioUnreachable, match="URL") as failed:
        LabelStudioClient(url, "token")
    assert "secret" not in str(failed.value)


def test_a_closed_port_is_unreachable() -> None:
    with (
        LabelStudioClient("http://127.0.0.1:1", "token", retry_policy=FAST) as server,
        pytest.raises(LabelStudioUnreachable, match=r"http://127\.0\.0\.1:1 cannot be reached"),
    ):
        server.check()


def test_that_no_server_answers_is_found_within_seconds_and_without_the_sdk() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # its queue is full: further connections wait
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        begin = time.monotonic()
        with pytest.raises(LabelStudioUnreachable, match=r"cannot be reached .*`maskmill review up`"):
            require_answer(f"http://127.0.0.1:{port}")
        assert time.monotonic() - begin < 4
        for one in waiting:
            one.close()
    with pytest.raises(LabelStudioUnreachable, match=r"cannot be reached .*MASKMILL_LABEL_STUDIO_URL"):
        require_answer("http://127.0.0.1:1")


def test_any_answer_is_one() -> None:
    with serve() as site:
        site.pages["/"] = send_status(503)
        require_answer(site.url("/"))
    assert site.requests == [("GET", "/", None)]


@pytest.mark.parametrize("content", ["<html>shop</html>", "[]", '{"version": 1}', ""])
def test_another_web_server_is_recognized(content: str) -> None:
    with serve() as site, LabelStudioClient(site.url("/"), "token") as server:
        site.pages["/api/version/"] = send_page(content)
        with pytest.raises(LabelStudioError, match="does not respond like Label Studio"):
            server.check()


def test_an_old_version_is_refused() -> None:
    with serve() as site, LabelStudioClient(site.url("/"), "token") as server:
        site.pages["/api/version/"] = send_page('{"release": "1.9.2"}', kind="application/json")
        with pytest.raises(LabelStudioTooOld, match=r"1\.9\.2: upgrade it to 1\.20"):
            server.check()


def test_a_redirect_is_named_and_not_followed() -> None:
    with serve() as site, LabelStudioClient(site.url("/"), "token") as server:
        site.pages["/api/version/"] = send_status(301, Location="https://studio.example/")
        with pytest.raises(LabelStudioRefused, match=r"https://studio\.example/: use that address"):
            server.check()


@labelstudio
def test_a_read_is_repeated_after_busy_and_failed_responses(studio: RunningStudio) -> None:
    with gate_before(studio.access.url) as gate:
        gate.answer_with = [503, 429]
        with LabelStudioClient(gate.url, studio.access.token, retry_policy=FAST) as server:
            assert server.check()
    assert gate.seen.count("GET /api/version/") == 3


@labelstudio
def test_a_server_that_responds_too_late_is_unreachable(studio: RunningStudio) -> None:
    with (
        serve() as site,
        LabelStudioClient(site.url("/"), "t", retry_policy=replace(FAST, timeout_s=0.1)) as server,
    ):
        site.pages["/api/projects/1/"] = lambda _: time.sleep(0.3)
        with pytest.raises(LabelStudioUnreachable, match=r"did not answer within 0\.1 s"):
            server.project_exists(1)


def test_the_installed_sdk_gives_the_headers_of_a_request() -> None:
    """After an upgrade of the SDK: check this private API, then set `TESTED_SDK`."""
    assert version("label-studio-sdk").startswith(f"{TESTED_SDK}.")
    with httpx.Client() as http:
        headers = make_authenticator("http://127.0.0.1:1/", "t0ken", http)()
    assert headers["Authorization"] == "Token t0ken"


def test_a_missing_sdk_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio_http, "find_spec", lambda _: None)
    with pytest.raises(LabelStudioMissing, match=r"maskmill\[review\]"):
        LabelStudioClient("http://127.0.0.1:1", "t0ken")
