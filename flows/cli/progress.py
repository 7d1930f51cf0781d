"""Progress bars that read what a flow writes: the database, or the folders of mattes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape
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


@contextmanager
def watch_mattes(folders: Sequence[Path], *, enabled: bool) -> Iterator[None]:
    """Show on stderr what is being done with each matte, until the block ends.

    The files that an earlier run left are ignored until they change.
    """
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield
        return
    files = [folder / "progress.json" for folder in folders]
    before = {file: _changed_at(file) for file in files}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("preparing", total=None)

        def update() -> None:
            changed = [file for file in files if _changed_at(file) != before[file]]
            if not changed:
                return
            latest = max(changed, key=_changed_at)
            with suppress(OSError, ValueError, KeyError):
                state = json.loads(latest.read_bytes())
                stage = _MATTE_STAGES.get(state["stage"], state["stage"])
                name = escape(latest.parent.name)
                progress.update(
                    bar,
                    description=f"{name} ({files.index(latest) + 1} of {len(files)}): {stage}",
                    completed=state["frames_done"],
                    total=state["frames_total"] or None,
                )

        with repeat(update, EVERY_S):
            yield


_MATTE_STAGES = {
    "plate": "searching the background",
    "matte": "cutting people out",
    "encode": "writing videos",
}


def _changed_at(file: Path) -> int:
    """Return when a file changed last; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
