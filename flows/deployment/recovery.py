"""Recovery inside `maskmill serve` and `maskmill worker`, which know the processes that they start."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.logging import get_logger

from labeling.storage.home import Home
from tasks.execution.context import has_database
from tasks.execution.leases import ExpiredLease, recover_stale_leases
from tasks.execution.process_identity import ProcessIdentity, identify_process
from tasks.execution.zombies import crash_stuck_flow_runs, end_flow_run, label_process, reword_states
from tasks.observability.best_effort import PREFECT_ERRORS, has_server

INTERVAL_S = 5.0
"""Between two rounds; a round reads one page of flow runs and one table."""

_REMEMBERED = 500
"""Ended processes to remember."""

_log = get_logger("maskmill.recovery")


def recover_now(home: Home) -> list[ExpiredLease]:
    """Free what processes of this machine left behind when they crashed, once.

    Raises:
        DatabaseError: the database cannot be read or written.
    """
    expired = recover_stale_leases(home)
    if has_server():
        with suppress(*PREFECT_ERRORS):
            crash_stuck_flow_runs(home)
            reword_states()
    return expired


@dataclass(slots=True)
class RecoveryLoop:
    """A thread that recovers homes every few seconds, for as long as the block lasts.

    The first round is at once: it frees what an earlier `serve` or `worker` of this machine left behind.
    """

    homes: Callable[[], Iterable[Path]]
    """Returns the homes of the flows that this process may start."""
    interval_s: float = INTERVAL_S
    _submitted: set[UUID] = field(default_factory=set)
    """Flow runs whose process this process is about to start."""
    _started: dict[UUID, ProcessIdentity] = field(default_factory=dict)
    _unlabeled: set[UUID] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wake: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def record_submission(self, flow_run_id: UUID) -> None:
        """Remember a flow run that is Pending because of this process; its last process is forgotten."""
        with self._lock:
            self._submitted.add(flow_run_id)
            self._started.pop(flow_run_id, None)

    def record_start(self, flow_run_id: UUID, pid: int) -> None:
        """Remember, here and in Prefect, which process runs a flow run."""
        if process := identify_process(pid):
            with self._lock:
                self._submitted.discard(flow_run_id)
                self._started[flow_run_id] = process
                self._unlabeled.add(flow_run_id)
            self._wake.set()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._wake.set()
        if self._thread:
            self._thread.join(self.interval_s)  # it may be waiting for a server that does not answer

    def crash_ended_runs(self, message: str) -> None:
        """Set the flow runs of this process to Crashed whose process is gone or was never started.

        A run that has a final state keeps it. To be called when the children have ended.
        """
        with self._lock:
            ended: dict[UUID, ProcessIdentity | None] = dict.fromkeys(self._submitted)
            ended |= {run_id: process for run_id, process in self._started.items() if process.is_gone()}
        with suppress(*PREFECT_ERRORS), get_client(sync_client=True) as api:
            for run_id, process in ended.items():
                with suppress(*PREFECT_ERRORS):
                    end_flow_run(api, run_id, message, process)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            try:
                self._label_started()
                for home in self._existing_homes():
                    self._recover(home)
                reword_states()
                self._forget_ended()
            except Exception as exc:  # noqa: BLE001  # the next round may succeed, and must take place
                _log.warning("recovery failed, next try in %g s: %s: %s", INTERVAL_S, type(exc).__name__, exc)
            self._wake.wait(self.interval_s)

    def _label_started(self) -> None:
        with self._lock:
            self._unlabeled &= self._started.keys()
            waiting = {run_id: self._started[run_id] for run_id in self._unlabeled}
        if waiting:
            with get_client(sync_client=True) as api:
                for run_id, process in waiting.items():
                    label_process(api, run_id, process)
                    with self._lock:
                        self._unlabeled.discard(run_id)

    def _existing_homes(self) -> list[Home]:
        homes = [Home(path.expanduser().resolve()) for path in dict.fromkeys(self.homes())]
        return [home for home in homes if has_database(home) or home.root.is_dir()]

    def _recover(self, home: Home) -> None:
        if has_database(home):
            for lease in recover_stale_leases(home):
                _log.warning(
                    "run %s (%s) has crashed; %d shards are free", lease.id, lease.host, lease.shards
                )
        with self._lock:
            started = dict(self._started)
        for name in crash_stuck_flow_runs(home, started):
            _log.warning("run %s crashed outside its lease", name)

    def _forget_ended(self) -> None:
        """Keep memory bounded: Prefect has set the final states of all but the latest of these."""
        with self._lock:
            ended = [run_id for run_id, process in self._started.items() if process.is_gone()]
            for run_id in ended[:-_REMEMBERED]:
                del self._started[run_id]
