"""`maskmill web`: the web page for video editors and the team."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import DEFAULT_HOME, HomeOption


def web(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; another than this machine's requires MASKMILL_WEB_TOKEN."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8420,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further name of this server in browsers; repeatable."),
    ] = None,
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE", help="Preset or YAML file for the person masks.")
    ] = "",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A network of `maskmill train matting` instead of the shipped one."
        ),
    ] = None,
) -> None:
    """Serve the web page: drop videos in, download people without background; browse runs. Until Ctrl-C."""
    from configs.environment import WEB_TOKEN
    from flows.web.security import access_rules

    access = access_rules(host, WEB_TOKEN.read(), allow_host or [])
    if config:
        from configs.load import load_config

        load_config(config, [])  # report mistakes now, not in each job
    from flows.web.app import WebSettings
    from flows.web.serve import serve_page

    network = weights.expanduser().resolve() if weights else None
    serve_page(WebSettings(home.expanduser().resolve(), access, config, network), host=host, port=port)
