"""Credentials of a Label Studio, and their protection."""

import json
import stat
from pathlib import Path
from traceback import format_exception

import pytest

from configs.errors import HomeNotWritable, LabelStudioMissing
from labeling.review.label_studio.credentials import (
    TOKEN_VARIABLE,
    URL_VARIABLE,
    Credentials,
    credentials_file,
    find_credentials,
    read_credentials,
    write_credentials,
)

SECRETS = ("t0ken", "passw0rd")
OWN = Credentials(
    url="http://127.0.0.1:8080", token=SECRETS[0], email="a@localhost", password=SECRETS[1], local=True
)
THEIRS = Credentials(url="https://studio.example", token=SECRETS[0])


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_written_credentials_are_readable_by_this_user_only(tmp_path: Path) -> None:
    write_credentials(tmp_path, OWN)
    assert read_credentials(tmp_path) == OWN
    assert find_credentials(tmp_path) == OWN
    assert stat.S_IMODE(credentials_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials_file(tmp_path).parent.stat().st_mode) == 0o700
    assert list(credentials_file(tmp_path).parent.iterdir()) == [credentials_file(tmp_path)]


def test_the_next_write_protects_a_file_that_others_could_read(tmp_path: Path) -> None:
    write_credentials(tmp_path, OWN)
    credentials_file(tmp_path).chmod(0o644)
    credentials_file(tmp_path).with_suffix(".writing").write_text("left by a killed process, readable by all")
    write_credentials(tmp_path, OWN)
    assert stat.S_IMODE(credentials_file(tmp_path).stat().st_mode) == 0o600
    assert read_credentials(tmp_path) == OWN


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "studio").write_text("a file")
    with pytest.raises(HomeNotWritable, match="studio"):
        write_credentials(tmp_path, OWN)


def test_the_environment_has_priority_over_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_credentials(tmp_path, OWN)
    monkeypatch.setenv(URL_VARIABLE, f" {THEIRS.url} ")
    monkeypatch.setenv(TOKEN_VARIABLE, f"{THEIRS.token}\n")
    assert find_credentials(tmp_path) == THEIRS


def test_variables_may_come_from_elsewhere(tmp_path: Path) -> None:
    kept = {URL_VARIABLE: THEIRS.url, TOKEN_VARIABLE: THEIRS.token}
    assert find_credentials(tmp_path, look_up=kept.get) == THEIRS


@pytest.mark.parametrize(
    ("present", "absent"), [(URL_VARIABLE, TOKEN_VARIABLE), (TOKEN_VARIABLE, URL_VARIABLE)]
)
@pytest.mark.parametrize("empty", [None, "", " "])
def test_one_of_two_variables_is_an_error(
    tmp_path: Path, present: str, absent: str, empty: str | None
) -> None:
    write_credentials(tmp_path, OWN)
    with pytest.raises(LabelStudioMissing, match=f"{present} is set and {absent} is not") as missing:
        find_credentials(tmp_path, look_up={present: "s3cret", absent: empty}.get)
    assert "s3cret" not in str(missing.value)


def test_the_error_without_a_server_explains_how_to_start_one(tmp_path: Path) -> None:
    assert read_credentials(tmp_path) is None
    with pytest.raises(
        LabelStudioMissing, match=f"`maskmill review up` .* {URL_VARIABLE} and {TOKEN_VARIABLE}"
    ):
        find_credentials(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"url": "http://x", "token": "t0ken',
        '["t0ken"]',
        '"t0ken"',
        '{"token": "t0ken"}',
        '{"url": "http://x", "token": "t0ken", "color": "t0ken"}',
        '{"url": "http://x", "token": "t0ken", "local": "t0ken"}',
        '{"url": 7, "token": "t0ken"}',
        '{"url": "http://x", "token": null}',
        "t0ken\xff",
    ],
)
def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    credentials_file(tmp_path).parent.mkdir()
    credentials_file(tmp_path).write_bytes(content.encode("latin-1"))
    with pytest.raises(LabelStudioMissing, match=r"credentials\.json cannot be read .* delete it") as missing:
        find_credentials(tmp_path)
    assert "t0ken" not in "".join(format_exception(missing.value))


def test_no_representation_shows_a_secret() -> None:
    assert OWN.url in repr(OWN)
    for shown in (repr(OWN), str(OWN), f"{[OWN]}"):
        assert OWN.token not in shown
        assert OWN.password not in shown
    assert OWN.token in json.dumps([OWN.token]), "the check can fail"
