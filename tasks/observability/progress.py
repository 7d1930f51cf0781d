"""How far a run is, as an artifact that moves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from db.runs.overview import shards_ended
from labeling.storage.home import Home
from labeling.text.figures import count_of, duration
from tasks.execution.database import database_of
from tasks.observability.best_effort import PREFECT_ERRORS, is_watched, log_prefect_errors

EVERY_S = 2.0
"""Between two looks at the ledger; Prefect is told only when something changed."""

_PATIENCE_S = 10.0
"""How long the last word may take at the end of a run."""


@contextmanager
def show_progress(run_id: str, home: Home, shards: int) -> Iterator[None]:
    """Keep a progress artifact of so many shards up to date until the block ends.

    It reads the ledger, so that it sees what other processes do, and costs the shards nothing.
    """
    if not (shards and is_watched()):
        yield
        return
    watch: _Watch | None = None
    with log_prefect_errors(f"run {run_id} has no progress artifact"):
        words = progress_words(0, shards, 0.0)
        made = create_progress_artifact(0.0, key=f"progress-{run_id}", description=words)
        watch = _Watch(run_id, home, shards, cast(UUID, made))  # no coroutine: nothing here is async
    if watch is None:
        yield
        return
    stop = threading.Event()
    # the context holds Prefect's settings and its connection
    watcher = threading.Thread(target=copy_context().run, args=(watch.until, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(_PATIENCE_S)


class _Watch:
    """Compares the ledger with how it was at the beginning: a run may have done much before this time."""

    def __init__(self, run_id: str, home: Home, shards: int, artifact: UUID) -> None:
        self._run_id = run_id
        self._home = home
        self._shards = shards
        self._artifact = artifact
        self._begin_s = time.monotonic()
        self._done_before, self._failed_before = self._look()

    def _look(self) -> tuple[int, set[int]]:
        with database_of(self._home).session() as session:
            return shards_ended(session, self._run_id)

    def until(self, stop: threading.Event) -> None:
        shown, last = 0, False
        while not last:
            last = stop.wait(EVERY_S)
            # the next look says it, or the run's summary; a RuntimeError: the run's connection is closed
            with suppress(*PREFECT_ERRORS, RuntimeError):
                ended = self._ended()
                if ended > shown:
                    self._show(ended)
                    shown = ended

    def _ended(self) -> int:
        done, failed = self._look()
        return min(self._shards, done - self._done_before + len(failed - self._failed_before))

    def _show(self, ended: int) -> None:
        words = progress_words(ended, self._shards, time.monotonic() - self._begin_s)
        update_progress_artifact(self._artifact, 100 * ended / self._shards, description=words)


def progress_words(ended: int, shards: int, seconds: float) -> str:
    """How much is done, and how much longer it may take.

    >>> progress_words(3, 12, 60)
    '3 of 12 shards in 1 min 00 s; about 3 min 00 s to go'
    >>> progress_words(0, 1, 0), progress_words(2, 2, 90)
    ('0 of 1 shard', '2 of 2 shards in 1 min 30 s')
    """
    words = f"{ended} of {count_of(shards, 'shard')}"
    if ended:
        words += f" in {duration(seconds)}"
    if 0 < ended < shards:
        words += f"; about {duration(seconds / ended * (shards - ended))} to go"
    return words
