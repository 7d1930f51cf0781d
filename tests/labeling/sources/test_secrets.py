"""Passwords of cameras come from the environment, and stay out of everything that is stored."""

import pytest

from labeling.errors import ConfigError
from labeling.sources import fill_secrets, refuse_passwords


def test_a_variable_is_filled_in_as_a_url_wants_it() -> None:
    spec = "rtsp://me:$CAMERA_PASSWORD@10.0.0.7/live?channel=2"
    filled = fill_secrets(spec, {"CAMERA_PASSWORD": "p@ss/word"})
    assert filled == "rtsp://me:p%40ss%2Fword@10.0.0.7/live?channel=2"


def test_a_token_in_a_query_is_filled_in() -> None:
    assert (
        fill_secrets("https://host/x.mp4?token=$T&v=1", {"T": "a&b"}) == "https://host/x.mp4?token=a%26b&v=1"
    )


@pytest.mark.parametrize(
    "spec", ["videos/", "a$B.mp4", "http://host/$NAME/x.mp4", "rtsp://me@host/live", "rtsp://me:plain@host/"]
)
def test_anything_else_stays_as_it_is(spec: str) -> None:
    assert fill_secrets(spec, {"NAME": "x", "B": "x"}) == spec


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="CAMERA_PASSWORD is not set"):
        fill_secrets("rtsp://me:$CAMERA_PASSWORD@host/", {})


@pytest.mark.parametrize(
    "spec",
    [
        "rtsp://me:hunter2@host/live",
        "https://me:hunter2@host/x.mp4",
        "https://hunter2@host/x.mp4",
        "https://host/x.mp4?v=1&token=hunter2",
        "https://host/x.mp4?X-Goog-Signature=hunter2",
    ],
)
def test_a_password_in_the_open_is_refused_without_repeating_it(spec: str) -> None:
    with pytest.raises(ConfigError, match="environment variable") as caught:
        refuse_passwords([spec])
    assert "hunter2" not in str(caught.value)


def test_specs_without_passwords_pass() -> None:
    refuse_passwords(
        ["videos/", "rtsp://me:$PW@host/", "rtsp://host/", "https://host/x.mp4?v=1", "a:b@c.mp4"]
    )
