"""The permanent Prefect server that schedules, workers and slots require."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from configs.errors import ConfigError

START_A_SERVER = (
    "start one with `prefect server start`, and here `export PREFECT_API_URL=http://127.0.0.1:4200/api`"
)


def server_url() -> str:
    """Return the address of the user's Prefect server.

    Raises:
        ConfigError: PREFECT_API_URL is not set, or not a full URL.
    """
    url: str | None = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(f"schedules require a permanent Prefect server: {START_A_SERVER}")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"PREFECT_API_URL={url} is not a full URL, such as 'http://127.0.0.1:4200/api'")
    return url


def require_server() -> None:
    """Check that the user's Prefect server answers.

    Raises:
        ConfigError: no server is configured, it does not answer, or it refuses access.
    """
    url = server_url()
    with get_client(sync_client=True) as client:
        if problem := client.api_healthcheck():
            raise ConfigError(f"no Prefect server answers at {url}: {START_A_SERVER}") from problem
        try:
            client.hello()
        except PrefectHTTPStatusError as exc:
            raise ConfigError(
                f"{url} answers with HTTP {exc.response.status_code}: is it a Prefect server, and is "
                "PREFECT_API_AUTH_STRING right?"
            ) from exc


def is_this_machine(url: str) -> bool:
    """Return whether the server listens on this machine only.

    >>> is_this_machine("http://127.0.0.1:4200/api"), is_this_machine("http://prefect.example.org/api")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
