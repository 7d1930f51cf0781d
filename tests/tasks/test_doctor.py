"""What doctor says of servers, buckets and calibrations."""

import json
import socket
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from configs import load_config
from labeling.review.label_studio.credentials import TOKEN_VARIABLE, URL_VARIABLE, credentials_file
from labeling.storage.image_store import VARIABLE
from tasks.doctor import CheckResult, run_checks
from tests.servers import send_page, serve
from tests.store_server import TestBucket
from tests.studio_server import LABEL_CONFIG, RunningStudio, without_legacy_tokens

labelstudio = pytest.mark.labelstudio

WRONG_KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def examine_studio(home: Path, *changes: str) -> CheckResult:
    [found] = [f for f in run_checks(load_config("offline", changes), home) if f.what == "Label Studio"]
    return found


def set_server(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL_VARIABLE, url)
    monkeypatch.setenv(TOKEN_VARIABLE, WRONG_KEY)


def test_none_is_no_fault_and_it_says_how_to_get_one(tmp_path: Path) -> None:
    found = examine_studio(tmp_path)
    assert found.ok
    assert "`maskmill review up`" in found.finding
    assert TOKEN_VARIABLE in found.finding


def test_half_of_the_variables_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://studio.example")
    found = examine_studio(tmp_path)
    assert not found.ok
    assert f"{TOKEN_VARIABLE} is not" in found.finding


def test_a_broken_access_file_is_a_fault(tmp_path: Path) -> None:
    credentials_file(tmp_path).parent.mkdir()
    credentials_file(tmp_path).write_text("{")
    found = examine_studio(tmp_path)
    assert not found.ok
    assert "remove it" in found.finding


def test_nobody_there_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server(monkeypatch, "http://127.0.0.1:1")
    found = examine_studio(tmp_path)
    assert not found.ok
    assert "http://127.0.0.1:1 cannot be reached" in found.finding
    assert WRONG_KEY not in found.finding


def test_a_server_that_never_answers_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_server(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        examine_studio(tmp_path)  # what is imported once is not counted
        begin = time.monotonic()
        found = examine_studio(tmp_path)
    assert time.monotonic() - begin < 6.0
    assert not found.ok
    assert "did not answer within 3 s" in found.finding


def test_an_old_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as site:
        site.pages["/api/version/"] = send_page('{"release": "1.9.2"}', kind="application/json")
        set_server(monkeypatch, site.url("/"))
        found = examine_studio(tmp_path)
    assert not found.ok
    assert "version 1.9.2, wants 1.20 or newer: upgrade it" in found.finding


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/api", "no Prefect server answers at http://127.0.0.1:1/api: start one with"),
        ("127.0.0.1:4200/api", "PREFECT_API_URL=127.0.0.1:4200/api: wants a whole address"),
    ],
)
def test_a_prefect_server_that_does_not_answer_is_a_fault(url: str, told: str, tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        [found] = [f for f in run_checks(load_config("offline"), tmp_path) if f.what == "Prefect"]
    assert not found.ok
    assert told in found.finding


def examine_calibration(home: Path, calibration: object) -> CheckResult:
    change = f"trust.calibration={json.dumps(calibration)}"
    [found] = [f for f in run_checks(load_config("offline", [change]), home) if f.what == "calibration"]
    return found


def test_a_calibration_of_another_teacher_is_told_and_one_of_other_settings(tmp_path: Path) -> None:
    found = examine_calibration(tmp_path, "lite")
    assert not found.ok
    assert "was fitted to lite:" in found.finding
    assert "the teacher is background:plate: fit one to it with `maskmill calibrate`" in found.finding
    shipped = load_config("lite").trust.calibration
    assert shipped
    ours = shipped.model_dump(mode="json") | {"teacher": "background:plate", "weights_sha256": ""}
    assert examine_calibration(tmp_path, ours | {"settings": {"samples": 60}}).ok
    other = examine_calibration(tmp_path, ours | {"settings": {"samples": 9}})
    assert not other.ok
    assert "samples 60 instead of 9" in other.finding


def examine_images(home: Path) -> CheckResult:
    [found] = [f for f in run_checks(load_config("offline"), home) if f.what == "images"]
    return found


def test_where_images_lie_is_told_and_a_bucket_is_tried(
    tmp_path: Path, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert examine_images(tmp_path).finding == f"in {tmp_path / 'images'}"
    monkeypatch.setenv(VARIABLE, f"{bucket.url}/kept")
    found = examine_images(tmp_path)
    assert found.ok
    assert found.finding.startswith(f"{bucket.url}/kept is written, read and listed")
    assert bucket.objects() == {}
    bucket.gate.fail_with = 503
    began = time.monotonic()
    away = examine_images(tmp_path)
    assert not away.ok
    assert "did not answer correctly" in away.finding
    assert time.monotonic() - began < 30
    bucket.gate.fail_with = 403
    assert "refuses our keys" in examine_images(tmp_path).finding


@labelstudio
def test_a_server_in_order_shows_its_version_and_the_project(studio: RunningStudio) -> None:
    home = studio.home_root
    before = examine_studio(home, "review.project=asked by doctor")
    number = studio.server.find_or_create_project("asked by doctor", LABEL_CONFIG, "")
    after = examine_studio(home, "review.project=asked by doctor")
    version = studio.server.check()
    assert before.ok
    assert before.finding == (
        f"{version} at {studio.access.url}, no project asked by doctor yet: `maskmill review push` makes it"
    )
    assert after.ok
    assert after.finding == (
        f"{version} at {studio.access.url}, asked by doctor: {studio.access.url}/projects/{number}/data"
    )


@labelstudio
def test_a_refused_token_is_told_with_what_to_do(
    studio: RunningStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server(monkeypatch, studio.access.url)
    found = examine_studio(studio.home_root)
    assert not found.ok
    assert "Account & Settings" in found.finding
    assert WRONG_KEY not in found.finding


@labelstudio
def test_switched_off_legacy_tokens_are_told(studio: RunningStudio) -> None:
    with without_legacy_tokens(studio):
        found = examine_studio(studio.home_root)
    assert not found.ok
    assert "legacy token authentication has been disabled" in found.finding
    assert "Organization > API Tokens Settings" in found.finding
