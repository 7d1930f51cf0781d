"""Being at work, seen by others: signs of life, and what becomes of those that give none any more."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled
from sqlalchemy.orm import Session

from db.connection.database import Database
from db.runs.leases import (
    BEAT_S,
    LEASE_S,
    LOST_MACHINE_S,
    SilentExecution,
    bury_execution,
    enter_execution,
    give_sign_of_life,
    hearing_s,
    leave_execution,
    silent_executions,
)
from labeling.errors import DatabaseError, Interrupted, StorageError
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.execution.process_identity import ProcessIdentity, identify_process
from tasks.execution.zombies import end_flow_run
from tasks.observability.best_effort import PREFECT_ERRORS, has_server

_ENDING = {StateType.CANCELLING, StateType.CANCELLED}


@dataclass(frozen=True, slots=True)
class Execution:
    """This time that a flow is at work."""

    id: str
    home: Home
    flow: str
    place: str
    process: ProcessIdentity | None
    """None: the system cannot tell."""
    is_watched: bool
    """Whether people see it, and may cancel it, on a Prefect server that stays."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    _speaking: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Nothing, unless somebody cancelled the flow run in Prefect.

        Raises:
            Interrupted: somebody did.
        """
        if self.cancelled.is_set():
            raise Interrupted("this run was cancelled; what is not done waits for the next one")

    def give_sign_of_life(self, session: Session) -> None:
        give_sign_of_life(session, self.id, **self.row)

    @property
    def row(self) -> dict[str, Any]:
        """The columns of its row that do not change."""
        return {
            "flow": self.flow,
            "place": self.place,
            "process": str(self.process) if self.process else None,
        }

    def beat(self) -> None:
        """The same, unless this execution has ended meanwhile."""
        with self._speaking:
            if not self.ended.is_set():
                with database_of(self.home).transaction() as session:
                    self.give_sign_of_life(session)

    def end(self) -> None:
        """The last word: no sign of life comes after it."""
        self.ended.set()
        with self._speaking, database_of(self.home).transaction() as session:
            leave_execution(session, self.id)


@dataclass(frozen=True, slots=True)
class Buried:
    """An execution that had died."""

    id: str
    place: str
    shards: int
    """That wait for somebody else now."""


@contextmanager
def at_work(home: Home, flow: str) -> Iterator[Execution]:
    """Give signs of life until the block ends, however it ends; then nothing is claimed any more.

    Raises:
        DatabaseError: the ledger cannot be written.
        AlreadyRunning: this very flow run is at work elsewhere.
    """
    database, place = database_of(home), f"{socket.gethostname()}, process {os.getpid()}"
    our_id = flow_run.id or uuid.uuid4().hex
    us = Execution(our_id, home, flow, place, identify_process(), is_watched=has_server())
    with database.alone(_lock(us.id)):
        with database.transaction() as session:
            enter_execution(session, us.id, **us.row)
        heart = threading.Thread(target=_live, args=(us,), name="signs-of-life", daemon=True)
        heart.start()
        try:
            yield us
        finally:
            us.end()
            heart.join(BEAT_S)  # it may be asking a server that does not answer
    database.is_alone(_lock(us.id))


def cancelled(error: Interrupted) -> Any:
    """What a flow returns when it was cancelled: Prefect shows that state, and raises for Python callers."""
    return Cancelled(message=str(error))


def bury_the_dead(home: Home) -> list[Buried]:
    """Expire the leases of processes that are gone, free their shards, set their flow runs to Crashed.

    A process of this machine is looked up by pid and start time, and how long it has been silent does not
    matter: it may be paused, or the machine may be busy. Of other processes the lock and the last heartbeat
    are known. A lock of SQLite is the system's and is free only if its process is gone. One of PostgreSQL
    is lost with its connection too; so its shards are freed, which a living process notices before it
    stores one, but its flow run keeps its state.

    Raises:
        DatabaseError: the database cannot be read or written.
    """
    database = database_of(home)
    with database.session() as session:
        heard_s = hearing_s(session)  # a database that was away received no heartbeats
        leases = silent_executions(session, silent_s=0.0)
    expired = []
    for lease in leases:
        process = ProcessIdentity.parse(lease.process)
        if process and process.is_here():
            is_gone, is_lost = process.is_gone(), False
        else:
            is_gone, is_lost = _judge_by_lock(database, lease, min(lease.silent_s, heard_s))
        if (is_gone or is_lost) and (one := _expire(database, lease)):
            expired.append(one)
            if is_gone:
                _show_as_crashed(lease)
    return expired


def _judge_by_lock(database: Database, lease: SilentExecution, silent_s: float) -> tuple[bool, bool]:
    """Return whether the process of a lease is known to be gone, and whether it counts as lost."""
    if not database.is_alone(_lock(lease.id)):
        return False, silent_s >= LOST_MACHINE_S
    if database.engine.dialect.name == "postgresql":
        return False, silent_s >= LEASE_S
    return True, False


def _expire(database: Database, lease: SilentExecution) -> Buried | None:
    """Free the shards; None if the lease was renewed since it was read."""
    with database.transaction() as session:
        shards = bury_execution(session, lease.id, seen_at=lease.seen_at)
    if shards is None:
        return None
    database.is_alone(_lock(lease.id))  # removes its file
    return Buried(lease.id, lease.place, shards)


def _show_as_crashed(lease: SilentExecution) -> None:
    """Prefect would show the run as running for good if its worker ended with it."""
    if not (has_server() or FlowRunContext.get()):
        return  # a temporary server was it, which ended too
    message = f"{lease.place} ended without a final state; the next run goes on from here"
    with (
        suppress(*PREFECT_ERRORS),
        get_client(sync_client=True) as api,
    ):
        end_flow_run(api, UUID(lease.id), message, ProcessIdentity.parse(lease.process))


def _live(us: Execution) -> None:
    """A beat that fails is followed by another: a database may be started again, a full disk emptied."""
    while not us.ended.wait(BEAT_S):
        with suppress(DatabaseError, StorageError):
            us.beat()
        if us.is_watched and _is_cancelled(us.id):
            us.cancelled.set()


def _is_cancelled(flow_run_id: str) -> bool:
    """Whether somebody asked Prefect to end this: where no worker watches, nobody else tells us."""
    with (
        suppress(*PREFECT_ERRORS),
        get_client(sync_client=True) as api,
    ):
        state = api.read_flow_run(UUID(flow_run_id)).state
        return state is not None and state.type in _ENDING
    return False


def _lock(execution_id: str) -> str:
    return f"execution {execution_id}"
