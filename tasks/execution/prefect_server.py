"""A Prefect server that stays, which schedules, workers and slots want."""

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
    """The address of the user's Prefect server.

    Raises:
        ConfigError: none is named, or by half.
    """
    url: str | None = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(f"schedules want a Prefect server that stays: {START_A_SERVER}")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"PREFECT_API_URL={url}: wants a whole address, as 'http://127.0.0.1:4200/api'")
    return url


def require_server() -> None:
    """See to it that the user's Prefect server is there.

    Raises:
        ConfigError: none is named, it does not answer, or it does not let us in.
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
                "PREFECT_API_AUTH_STRING what it wants?"
            ) from exc


def is_this_machine(url: str) -> bool:
    """Whether the server listens on this machine alone.

    >>> is_this_machine("http://127.0.0.1:4200/api"), is_this_machine("http://prefect.example.org/api")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
