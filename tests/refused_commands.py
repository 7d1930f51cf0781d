"""Commands that are refused at once, in this process."""

from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from flows.cli.main import app


def command_here(url: str, *words: str) -> Result:
    """A command in this process: what is refused at once needs no new one, which takes seconds to start."""
    with temporary_settings({PREFECT_API_URL: url}):
        return CliRunner().invoke(app, words)
