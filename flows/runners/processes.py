"""Worker processes on this machine."""

from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

from prefect import Task
from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import ProcessPoolTaskRunner

from tasks.execution.workers import begin_worker, environment


class ProcessRunner:
    """One Prefect process pool of one process per worker.

    A pool ends all its processes when one is killed, without naming the task it had. With separate pools
    a lost worker costs its own shard only.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._workers = [_Worker(given) for given in environments]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the shards in progress and end the processes."""
        for worker in self._workers:
            worker.stop()

    def submit(self, task: "Task[..., str]", parameters: dict[str, Any]) -> PrefectConcurrentFuture[str]:
        """Submit a task to an idle worker, or to a busy one if none is idle."""
        return min(self._workers, key=_Worker.is_busy).submit(task, parameters)


class _Worker:
    """One process, started with its first task and replaced after a crash."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._pool: ProcessPoolTaskRunner | None = None
        self._last: PrefectConcurrentFuture[str] | None = None

    def is_busy(self) -> bool:
        return self._last is not None and not self._last.wrapped_future.done()

    def submit(self, task: "Task[..., str]", parameters: dict[str, Any]) -> PrefectConcurrentFuture[str]:
        if self._has_crashed():
            self.stop()
        if self._pool is None:
            self._pool = ProcessPoolTaskRunner(
                max_workers=1, initializer=begin_worker, initargs=(self._given,)
            )
            self._pool.__enter__()
        with environment(self._given):  # Prefect copies the environment of this process to the new one
            self._last = self._pool.submit(task, parameters)
        return self._last

    def _has_crashed(self) -> bool:
        if self._last is None or self.is_busy():
            return False
        return isinstance(self._last.wrapped_future.exception(), BrokenProcessPool)

    def stop(self) -> None:
        if self._pool:
            self._pool.__exit__(None, None, None)
            self._pool = None
            self._last = None
