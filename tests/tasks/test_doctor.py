"""Checks of servers, buckets and calibrations by `maskmill doctor`."""

import json
import socket
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from configs.environment import IMAGE_STORE
from configs.load import load_config
from labeling.review.label_studio.credentials import TOKEN_VARIABLE, URL_VARIABLE, credentials_file
from labeling.segmenters.requirements import required_extras
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


@pytest.mark.slow  # imports torch
@pytest.mark.requires("transformers", "transformers")
def test_each_model_of_the_hub_that_is_missing_is_named(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("config.json", "model.safetensors"):
        (here / name).write_text("{}")
    gone = [str(tmp_path / name) for name in ("sam", "matting")]
    config = load_config(
        "offline", [f"teacher.refine=['sam:{gone[0]}', 'vitpose:{here}', 'vitmatte:{gone[1]}']"]
    )
    checks = {check.what: check for check in run_checks(config, tmp_path)}
    assert checks[f"model {here}"].ok
    for name in gone:
        assert checks[f"model {name}"].is_failure
        assert "no such folder" in checks[f"model {name}"].finding
    assert required_extras(config) == {"torch", "transformers"}


def check_studio(home: Path, *changes: str) -> CheckResult:
    [found] = [f for f in run_checks(load_config("offline", changes), home) if f.what == "Label Studio"]
    return found


def set_server(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(URL_VARIABLE, url)
    monkeypatch.setenv(TOKEN_VARIABLE, WRONG_KEY)


def test_no_label_studio_is_ok_and_the_finding_says_how_to_start_one(tmp_path: Path) -> None:
    found = check_studio(tmp_path)
    assert found.ok
    assert "`maskmill review up`" in found.finding
    assert TOKEN_VARIABLE in found.finding


def test_a_url_without_token_is_not_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://studio.example")
    found = check_studio(tmp_path)
    assert not found.ok
    assert f"{TOKEN_VARIABLE} is not" in found.finding


def test_a_broken_credentials_file_is_not_ok(tmp_path: Path) -> None:
    credentials_file(tmp_path).parent.mkdir()
    credentials_file(tmp_path).write_text("{")
    found = check_studio(tmp_path)
    assert not found.ok
    assert "delete it" in found.finding


def test_an_unreachable_server_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server(monkeypatch, "http://127.0.0.1:1")
    found = check_studio(tmp_path)
    assert not found.ok
    assert "http://127.0.0.1:1 cannot be reached" in found.finding
    assert WRONG_KEY not in found.finding


@pytest.mark.slow
def test_a_server_that_never_answers_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_server(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        check_studio(tmp_path)  # imports are not timed
        begin = time.monotonic()
        found = check_studio(tmp_path)
    assert time.monotonic() - begin < 6.0
    assert not found.ok
    assert "did not answer within 3 s" in found.finding


def test_an_old_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as site:
        site.pages["/api/version/"] = send_page('{"release": "1.9.2"}', kind="application/json")
        set_server(monkeypatch, site.url("/"))
        found = check_studio(tmp_path)
    assert not found.ok
    assert "version 1.9.2" in found.finding
    assert "1.20" in found.finding


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/api", "no Prefect server answers at http://127.0.0.1:1/api: start one with"),
        ("127.0.0.1:4200/api", "PREFECT_API_URL=127.0.0.1:4200/api is not"),
    ],
)
def test_a_prefect_server_that_does_not_answer_is_not_ok(url: str, message: str, tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        [found] = [f for f in run_checks(load_config("offline"), tmp_path) if f.what == "Prefect"]
    assert not found.ok
    assert message in found.finding


def check_calibration(home: Path, calibration: object) -> CheckResult:
    change = f"trust.calibration={json.dumps(calibration)}"
    [found] = [f for f in run_checks(load_config("offline", [change]), home) if f.what == "calibration"]
    return found


def test_a_calibration_of_another_teacher_or_other_settings_is_not_ok(tmp_path: Path) -> None:
    found = check_calibration(tmp_path, "lite")
    assert not found.ok
    assert "was fitted to lite:" in found.finding
    assert "the teacher is background:plate: fit one to it with `maskmill calibrate`" in found.finding
    shipped = load_config("lite").trust.calibration
    assert shipped
    ours = shipped.model_dump(mode="json") | {"teacher": "background:plate", "weights_sha256": ""}
    assert check_calibration(tmp_path, ours | {"settings": {"samples": 60}}).ok
    other = check_calibration(tmp_path, ours | {"settings": {"samples": 9}})
    assert not other.ok
    assert "samples is 60, was 9" in other.finding


def check_images(home: Path) -> CheckResult:
    [found] = [f for f in run_checks(load_config("offline"), home) if f.what == "images"]
    return found


def test_the_image_store_is_named_and_a_bucket_is_tried(
    tmp_path: Path, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(IMAGE_STORE.name, raising=False)
    assert check_images(tmp_path).finding == f"in {tmp_path / 'images'}"
    monkeypatch.setenv(IMAGE_STORE.name, f"{bucket.url}/kept")
    found = check_images(tmp_path)
    assert found.ok
    assert found.finding.startswith(f"{bucket.url}/kept: write, read and list work")
    assert bucket.objects() == {}
    bucket.gate.fail_with = 503
    began = time.monotonic()
    away = check_images(tmp_path)
    assert not away.ok
    assert "did not answer correctly" in away.finding
    assert time.monotonic() - began < 30
    bucket.gate.fail_with = 403
    assert "refuses our keys" in check_images(tmp_path).finding


@labelstudio
def test_a_working_server_shows_its_version_and_project(studio: RunningStudio) -> None:
    home = studio.home_root
    before = check_studio(home, "review.project=asked by doctor")
    number = studio.server.find_or_create_project("asked by doctor", LABEL_CONFIG, "")
    after = check_studio(home, "review.project=asked by doctor")
    version = studio.server.check()
    assert before.ok
    assert before.finding == (
        f"{version} at {studio.access.url}, no project asked by doctor yet: `maskmill review push` creates it"
    )
    assert after.ok
    assert after.finding == (
        f"{version} at {studio.access.url}, asked by doctor: {studio.access.url}/projects/{number}/data"
    )


@labelstudio
def test_a_refused_token_is_reported_with_a_remedy(
    studio: RunningStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server(monkeypatch, studio.access.url)
    found = check_studio(studio.home_root)
    assert not found.ok
    assert "Account & Settings" in found.finding
    assert WRONG_KEY not in found.finding


@labelstudio
def test_disabled_legacy_tokens_are_reported(studio: RunningStudio) -> None:
    with without_legacy_tokens(studio):
        found = check_studio(studio.home_root)
    assert not found.ok
    assert "legacy token authentication has been disabled" in found.finding
    assert "Organization > API Tokens Settings" in found.finding
