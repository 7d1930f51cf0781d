"""The progress of a run as a Prefect artifact, read from the database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from db.runs.overview import shards_ended
from labeling.runtime.repeat import repeat
from labeling.text.figures import count_of, duration
from tasks.execution.context import Context
from tasks.observability.best_effort import PREFECT_ERRORS, has_server, log_prefect_errors

EVERY_S = 2.0
"""Between two reads of the database; Prefect is called only after a change."""


@contextmanager
def show_progress(context: Context, run_id: str, shards: int) -> Iterator[None]:
    """Keep a progress artifact of `shards` shards up to date until the block ends.

    Shards that other processes finish are counted as well.
    """
    progress: _Progress | None = None
    if shards and has_server():
        with log_prefect_errors(f"run {run_id} has no progress artifact"):
            progress = _Progress(context, run_id, shards)
    if progress is None:
        yield
        return
    with repeat(progress.update, EVERY_S):
        yield


class _Progress:
    """Counts the shards that ended since it was created: an earlier run may have finished others."""

    def __init__(self, context: Context, run_id: str, shards: int) -> None:
        self._context = context
        self._run_id = run_id
        self._shards = shards
        self._start_s = time.monotonic()
        self._shown = 0
        artifact = create_progress_artifact(
            0.0, key=f"progress-{run_id}", description=progress_text(0, shards, 0.0)
        )
        self._artifact = cast(UUID, artifact)  # not a coroutine: nothing here is async
        self._done_before, self._failed_before = self._read()

    def _read(self) -> tuple[int, set[int]]:
        with self._context.database.session() as session:
            return shards_ended(session, self._run_id)

    def update(self) -> None:
        # the next update, or the run's summary, makes up for an error; RuntimeError: the connection is closed
        with suppress(*PREFECT_ERRORS, RuntimeError):
            done, failed = self._read()
            ended = min(self._shards, done - self._done_before + len(failed - self._failed_before))
            if ended > self._shown:
                text = progress_text(ended, self._shards, time.monotonic() - self._start_s)
                update_progress_artifact(self._artifact, 100 * ended / self._shards, description=text)
                self._shown = ended


def progress_text(ended: int, shards: int, seconds: float) -> str:
    """Describe how much is done, and estimate the time left.

    >>> progress_text(3, 12, 60)
    '3 of 12 shards in 1 min 00 s; about 3 min 00 s left'
    >>> progress_text(0, 1, 0), progress_text(2, 2, 90)
    ('0 of 1 shard', '2 of 2 shards in 1 min 30 s')
    """
    text = f"{ended} of {count_of(shards, 'shard')}"
    if ended:
        text += f" in {duration(seconds)}"
    if 0 < ended < shards:
        text += f"; about {duration(seconds / ended * (shards - ended))} left"
    return text
