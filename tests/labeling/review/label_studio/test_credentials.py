"""Where a Label Studio is, and that its keys stay between us."""

import json
import stat
from pathlib import Path
from traceback import format_exception

import pytest

from labeling.errors import HomeNotWritable, LabelStudioMissing
from labeling.review.label_studio.credentials import (
    TOKEN_VARIABLE,
    URL_VARIABLE,
    Credentials,
    credentials_file,
    find_credentials,
    read_credentials,
    write_credentials,
)

KEYS = ("t0ken", "passw0rd")
OWN = Credentials(
    url="http://127.0.0.1:8080", token=KEYS[0], email="a@localhost", password=KEYS[1], local=True
)
THEIRS = Credentials(url="https://studio.example", token=KEYS[0])


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_what_was_written_is_read_by_this_user_alone(tmp_path: Path) -> None:
    write_credentials(tmp_path, OWN)
    assert read_credentials(tmp_path) == OWN
    assert find_credentials(tmp_path) == OWN
    assert stat.S_IMODE(credentials_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials_file(tmp_path).parent.stat().st_mode) == 0o700
    assert list(credentials_file(tmp_path).parent.iterdir()) == [credentials_file(tmp_path)]


def test_a_file_that_others_could_read_is_closed_by_the_next_writing(tmp_path: Path) -> None:
    write_credentials(tmp_path, OWN)
    credentials_file(tmp_path).chmod(0o644)
    credentials_file(tmp_path).with_suffix(".writing").write_text("left by a killed process, readable by all")
    write_credentials(tmp_path, OWN)
    assert stat.S_IMODE(credentials_file(tmp_path).stat().st_mode) == 0o600
    assert read_credentials(tmp_path) == OWN


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "studio").write_text("a file")
    with pytest.raises(HomeNotWritable, match="studio"):
        write_credentials(tmp_path, OWN)


def test_the_environment_comes_before_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_credentials(tmp_path, OWN)
    monkeypatch.setenv(URL_VARIABLE, f" {THEIRS.url} ")
    monkeypatch.setenv(TOKEN_VARIABLE, f"{THEIRS.token}\n")
    assert find_credentials(tmp_path) == THEIRS


def test_variables_may_come_from_elsewhere(tmp_path: Path) -> None:
    kept = {URL_VARIABLE: THEIRS.url, TOKEN_VARIABLE: THEIRS.token}
    assert find_credentials(tmp_path, look_up=kept.get) == THEIRS


@pytest.mark.parametrize(
    ("there", "absent"), [(URL_VARIABLE, TOKEN_VARIABLE), (TOKEN_VARIABLE, URL_VARIABLE)]
)
@pytest.mark.parametrize("empty", [None, "", " "])
def test_half_of_the_variables_is_not_passed_over(
    tmp_path: Path, there: str, absent: str, empty: str | None
) -> None:
    write_credentials(tmp_path, OWN)
    with pytest.raises(LabelStudioMissing, match=f"{there} is set and {absent} is not") as missing:
        find_credentials(tmp_path, look_up={there: "s3cret", absent: empty}.get)
    assert "s3cret" not in str(missing.value)


def test_without_any_it_says_how_to_get_one(tmp_path: Path) -> None:
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
    with pytest.raises(LabelStudioMissing, match=r"access\.json cannot be read .* remove it") as missing:
        find_credentials(tmp_path)
    assert "t0ken" not in "".join(format_exception(missing.value))


def test_no_representation_shows_a_key() -> None:
    assert OWN.url in repr(OWN)
    for shown in (repr(OWN), str(OWN), f"{[OWN]}"):
        assert OWN.token not in shown
        assert OWN.password not in shown
    assert OWN.token in json.dumps([OWN.token]), "the test could see it"
