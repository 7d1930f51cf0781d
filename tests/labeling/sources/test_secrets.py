"""Passwords of cameras come from the environment, and are never stored."""

from pathlib import Path

import pytest

from configs.errors import ConfigError, SourcePrivate, UnsupportedVideo
from labeling.sources.expand import expand_sources
from labeling.sources.source import FailedSource, SourceItem
from labeling.sources.url_policy import fill_secrets, name_source, refuse_passwords


def test_a_variable_is_filled_in_with_url_quoting() -> None:
    spec = "rtsp://me:$CAMERA_PASSWORD@10.0.0.7/live?channel=2"
    filled = fill_secrets(spec, {"CAMERA_PASSWORD": "p@ss/word"})
    assert filled == "rtsp://me:p%40ss%2Fword@10.0.0.7/live?channel=2"


def test_a_token_in_a_query_is_filled_in() -> None:
    assert (
        fill_secrets("https://host/x.mp4?token=$T&v=1", {"T": "a&b"}) == "https://host/x.mp4?token=a%26b&v=1"
    )


@pytest.mark.parametrize(
    "spec", ["videos/", "a$B.mp4", "http://host/$NAME/x.mp4", "rtsp://me@host/live", "http://host/x.mp4?v=1"]
)
def test_other_specs_stay_unchanged(spec: str) -> None:
    assert fill_secrets(spec, {"NAME": "x", "B": "x"}) == spec


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(SourcePrivate, match="CAMERA_PASSWORD is not set"):
        fill_secrets("rtsp://me:$CAMERA_PASSWORD@host/", {})


@pytest.mark.parametrize(
    "spec",
    [
        "rtsp://me:hunter2@host/live",
        "https://me:hunter2@host/x.mp4",
        "https://hunter2@host/x.mp4",
        "https://host/x.mp4?v=1&token=hunter2",
        "https://host/x.mp4?X-Goog-Signature=hunter2",
        "camera:http://hunter2@host/live",
    ],
)
def test_a_literal_password_is_refused_without_repeating_it(spec: str) -> None:
    with pytest.raises(ConfigError, match="environment variable") as caught:
        refuse_passwords([spec])
    assert "hunter2" not in str(caught.value)


def test_specs_without_passwords_pass() -> None:
    refuse_passwords(
        ["videos/", "rtsp://me:$PW@host/", "rtsp://host/", "https://host/x.mp4?v=1", "a:b@c.mp4"]
    )


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_a_list_names_variables_too(tmp_path: Path, name: str) -> None:
    specs = ["rtsp://me:$PW@host/live", "camera:http://$PW@host/live", "https://host/x.mp4?token=$PW"]
    (tmp_path / name).write_text("\n".join(["url", *specs] if name.endswith("csv") else specs))
    found = list(expand_sources([name], folder=tmp_path, environment={"PW": "p@ss"}))
    assert [item.spec for item in found] == specs
    connected = [item.connect_url for item in found if isinstance(item, SourceItem)]
    assert connected == [
        "rtsp://me:p%40ss@host/live",
        "http://p%40ss@host/live",
        "https://host/x.mp4?token=p%40ss",
    ]
    assert "p%40ss" not in repr(found)


def test_the_stored_spec_of_a_camera_can_be_used_again(tmp_path: Path) -> None:
    environment = {"PW": "p@ss"}
    for spec in ("rtsp://me:$PW@host/live", "camera:http://me:$PW@host/live", "rtsp://me@host/live"):
        (first,) = expand_sources([spec], folder=tmp_path, environment=environment)
        (again,) = expand_sources([first.spec], folder=tmp_path, environment=environment)
        assert isinstance(first, SourceItem)
        assert isinstance(again, SourceItem)
        assert again.connect_url == first.connect_url
        assert first.spec == spec


def test_a_password_in_a_list_fails_its_own_line_only(tmp_path: Path) -> None:
    (tmp_path / "cams.txt").write_text("rtsp://me:hunter2@cam/1\nrtsp://cam/2\nrtsp://me:$GONE@cam/3\n")
    bad, good, unset = expand_sources(["cams.txt"], folder=tmp_path, environment={})
    assert isinstance(good, SourceItem)
    assert isinstance(bad, FailedSource)
    assert isinstance(unset, FailedSource)
    assert isinstance(bad.error, UnsupportedVideo)
    assert isinstance(unset.error, SourcePrivate)
    assert "line 1" in str(bad.error)
    assert "$CAMERA_PASSWORD" in str(bad.error)
    assert "GONE is not set" in str(unset.error)
    assert (bad.spec, unset.spec) == ("rtsp://***@cam/1", "rtsp://me:$GONE@cam/3")
    assert "hunter2" not in repr(bad) + str(bad.error) + repr(bad.error.__cause__)


def test_a_spec_stored_without_its_secret_fails_with_advice(tmp_path: Path) -> None:
    for spec in ("https://host/x.mp4?token=***", "rtsp://***@cam/1", "https://***@host/x.mp4"):
        (failed,) = expand_sources([spec], folder=tmp_path)
        assert isinstance(failed, FailedSource)
        assert "name that page again" in str(failed.error)


def test_only_secrets_are_left_out_of_a_name() -> None:
    assert name_source("https://host/x.mp4?token=abc&user=$U") == "https://host/x.mp4?token=***&user=$U"
    assert name_source("rtsp://me:$PW@host/") == "rtsp://me:$PW@host/"
