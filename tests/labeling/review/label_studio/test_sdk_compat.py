"""The private API of label-studio-sdk that we require."""

from importlib.metadata import version

import httpx
import pytest

from configs.errors import LabelStudioMissing
from labeling.review.label_studio import sdk_compat
from labeling.review.label_studio.client import LabelStudioClient
from labeling.review.label_studio.sdk_compat import TESTED_SDK, make_authenticator


def test_the_installed_sdk_gives_the_headers_of_a_request() -> None:
    """After an upgrade of the SDK: check this private API, then set `TESTED_SDK`."""
    assert version("label-studio-sdk").startswith(f"{TESTED_SDK}.")
    with httpx.Client() as http:
        headers = make_authenticator("http://127.0.0.1:1/", "t0ken", http)()
    assert headers["Authorization"] == "Token t0ken"


def test_a_missing_sdk_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_compat, "find_spec", lambda _: None)
    with pytest.raises(LabelStudioMissing, match=r"maskmill\[review\]"):
        LabelStudioClient("http://127.0.0.1:1", "t0ken")
