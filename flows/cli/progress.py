"""The progress bar of `maskmill run`, fed from the database while the flow writes it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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

from db.runs.queries import shard_progress
from labeling.errors import DatabaseError
from labeling.storage.home import Home
from tasks.execution.database import database_of

EVERY_S = 0.5


@contextmanager
def watch_progress(root: Path, run_id: str, *, enabled: bool) -> Iterator[None]:
    """Show finished and planned shards of a run on stderr until the block ends."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        stop = threading.Event()
        home = Home(root.expanduser().resolve())
        watcher = threading.Thread(target=_watch, args=(progress, home, run_id, stop), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()


def _watch(progress: Progress, home: Home, run_id: str, stop: threading.Event) -> None:
    bar = progress.add_task("preparing", total=None)
    while not stop.wait(EVERY_S):
        if not (home.root / "maskmill.db").exists():
            continue
        try:
            with database_of(home).session() as session:
                done, total = shard_progress(session, run_id)
        except DatabaseError:
            continue
        if total:
            progress.update(bar, description="shards", completed=done, total=total)
