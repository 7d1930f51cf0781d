"""Use of label-studio-sdk for authentication only, including its one private API that we require.

The SDK exchanges personal access tokens for short-lived ones. It has no public access to the resulting
headers, and its own requests encode large bodies twice, which triples their time.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec

import httpx

from configs.errors import LabelStudioMissing

TESTED_SDK = "2.1"
"""Version for which the tests check the private API."""


def make_authenticator(url: str, token: str, http: httpx.Client) -> Callable[[], Mapping[str, str]]:
    """Return a function that gives the headers of a request, and refreshes the token if necessary.

    Raises:
        LabelStudioMissing: label-studio-sdk is not installed.
        ApiError: the token has expired (an exception of the SDK, see `sdk_errors`).
    """
    if find_spec("label_studio_sdk") is None:
        raise LabelStudioMissing("label-studio-sdk is not installed: pip install 'maskmill[review]'")
    from label_studio_sdk import LabelStudio

    # No retries by the SDK: it would repeat writes too.
    sdk = LabelStudio(base_url=url, api_key=token, httpx_client=http, max_retries=0)
    headers: Callable[[], Mapping[str, str]] = sdk._client_wrapper.get_headers
    return headers


def sdk_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of an authentication: the SDK's, and those of an unexpected response."""
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    return ApiError, ParsingError, ValueError, AttributeError
