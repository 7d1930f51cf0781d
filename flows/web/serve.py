"""The web server."""

import socket

import typer
import uvicorn

from configs.errors import ConfigError
from flows.web.app import WebSettings, create_app
from flows.web.jobs import JobStore


def serve_page(settings: WebSettings, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; the running job continues at the next start.

    Raises:
        ConfigError: the address cannot be used.
        AlreadyRunning, HomeNotWritable: another server uses the home, or it cannot be written.
    """
    with JobStore(settings.home / "jobs").opened():
        pass  # report a home that cannot be used before the server starts
    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    typer.echo(f"open http://{name}:{listening.getsockname()[1]} in a browser; Ctrl-C stops")
    options = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(options).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as exc:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {exc.strerror}; choose another --port or --host"
        ) from exc
    return listening
