"""`maskmill web`: the web page for video editors and the team."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import DEFAULT_HOME, ConfigOption, HomeOption, SetOption


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
    config: ConfigOption = "lite",
    changes: SetOption = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A network of `maskmill train matting` instead of the shipped one."
        ),
    ] = None,
) -> None:
    """Serve the web page: cut people out of videos, browse runs. Until Ctrl-C."""
    from configs.environment import WEB_TOKEN
    from configs.load import load_config
    from flows.web.security import access_rules

    access = access_rules(host, WEB_TOKEN.read(), allow_host or [])
    load_config(config, changes or [])  # reports mistakes now, not in each job
    from flows.web.app import WebSettings
    from flows.web.job_options import JobOptions
    from flows.web.serve import serve_page

    options = JobOptions(
        home=home.expanduser().resolve(),
        config=str(Path(config).resolve()) if Path(config).is_file() else config,
        changes=tuple(changes or ()),
        weights=weights.expanduser().resolve() if weights else None,
    )
    serve_page(WebSettings(options, access), host=host, port=port)
