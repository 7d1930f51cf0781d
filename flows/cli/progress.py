"""A progress bar that reads the database while the flow writes to it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from configs.errors import DatabaseError
from db.runs.queries import shard_progress
from labeling.storage.home import Home
from tasks.execution.context import open_context
from tasks.observability.progress import repeat

EVERY_S = 0.5


@contextmanager
def watch_progress(home: Path, run_id: str, *, enabled: bool) -> Iterator[None]:
    """Show on stderr how many shards of a run are done, until the block ends."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield
        return
    root = Home(home.expanduser().resolve())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("preparing", total=None)

        def update() -> None:
            if not root.database.exists():
                return
            with suppress(DatabaseError), open_context(root).database.session() as session:
                done, total = shard_progress(session, run_id)
                if total:
                    progress.update(bar, description="shards", completed=done, total=total)

        with repeat(update, EVERY_S):
            yield
