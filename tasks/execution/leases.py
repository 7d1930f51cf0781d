"""Leases with heartbeats, and recovery of expired ones."""

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

from configs.errors import DatabaseError, Interrupted, StorageError
from db.connection.database import Database
from db.runs.leases import (
    HEARTBEAT_S,
    LEASE_S,
    LOST_MACHINE_S,
    StaleLease,
    database_uptime_s,
    expire_lease,
    record_heartbeat,
    register_lease,
    release_lease,
    stale_leases,
)
from labeling.storage.home import Home
from tasks.execution.context import database_of
from tasks.execution.process_identity import ProcessIdentity, identify_process
from tasks.execution.zombies import end_flow_run
from tasks.observability.best_effort import PREFECT_ERRORS, has_server

_CANCELLING = {StateType.CANCELLING, StateType.CANCELLED}


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a running flow."""

    id: str
    home: Home
    flow: str
    host: str
    process: ProcessIdentity | None
    """None: unknown to the system."""
    is_watched: bool
    """Whether a permanent Prefect server shows it and can cancel it."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raise Interrupted if the flow run was cancelled in Prefect."""
        if self.cancelled.is_set():
            raise Interrupted("this run was cancelled; unfinished shards wait for the next run")

    def record_heartbeat(self, session: Session) -> None:
        record_heartbeat(session, self.id, **self.row)

    @property
    def row(self) -> dict[str, Any]:
        """Constant columns of its row."""
        return {
            "flow": self.flow,
            "host": self.host,
            "process": str(self.process) if self.process else None,
        }

    def beat(self) -> None:
        """Record a heartbeat, unless the lease has ended."""
        with self._writing:
            if not self.ended.is_set():
                with database_of(self.home).transaction() as session:
                    self.record_heartbeat(session)

    def end(self) -> None:
        """Release the lease; no heartbeat follows."""
        self.ended.set()
        with self._writing, database_of(self.home).transaction() as session:
            release_lease(session, self.id)


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """An expired lease and the number of shards that it held."""

    id: str
    host: str
    shards: int


@contextmanager
def hold_lease(home: Home, flow: str) -> Iterator[Lease]:
    """Hold a lease with heartbeats until the block ends, then release its shards.

    Raises:
        DatabaseError: the database cannot be written.
        AlreadyRunning: this flow run is running elsewhere.
    """
    database, host = database_of(home), f"{socket.gethostname()}, process {os.getpid()}"
    lease_id = flow_run.id or uuid.uuid4().hex
    lease = Lease(lease_id, home, flow, host, identify_process(), is_watched=has_server())
    try:
        with database.exclusive(_lock(lease.id)):
            with database.transaction() as session:
                register_lease(session, lease.id, **lease.row)
            heartbeats = threading.Thread(
                target=_send_heartbeats, args=(lease,), name="heartbeats", daemon=True
            )
            heartbeats.start()
            try:
                yield lease
            finally:
                lease.end()
                heartbeats.join(HEARTBEAT_S)  # it may be waiting for a server that does not answer
    finally:
        database.remove_free_lock(_lock(lease.id))


def cancelled(error: Interrupted) -> Any:
    """Return the state with which a cancelled flow ends; Prefect raises it for Python callers."""
    return Cancelled(message=str(error))


def recover_stale_leases(home: Home) -> list[ExpiredLease]:
    """Expire the leases of processes that are gone, free their shards, set their flow runs to Crashed.

    A process of this machine is looked up by pid and start time, and the age of its heartbeat does not
    matter: it may be paused, or the machine may be busy. Of other processes the lock and the last heartbeat
    are known. A lock of SQLite is the system's and is free only if its process is gone. One of PostgreSQL
    is lost with its connection too; so its shards are freed, which a living process notices before it
    stores one, but its flow run keeps its state.

    Raises:
        DatabaseError: the database cannot be read or written.
    """
    database = database_of(home)
    with database.session() as session:
        uptime_s = database_uptime_s(session)  # a database that was down received no heartbeats
        leases = stale_leases(session, age_s=0.0)
    expired = []
    for lease in leases:
        process = ProcessIdentity.parse(lease.process)
        if process and process.is_here():
            is_gone, is_lost = process.is_gone(), False
        else:
            is_gone, is_lost = _judge_by_lock(database, lease, min(lease.age_s, uptime_s))
        if (is_gone or is_lost) and (one := _expire(database, lease)):
            expired.append(one)
            if is_gone:
                _show_as_crashed(lease)
    return expired


def _judge_by_lock(database: Database, lease: StaleLease, age_s: float) -> tuple[bool, bool]:
    """Return whether the process of a lease is known to be gone, and whether it counts as lost."""
    if not database.remove_free_lock(_lock(lease.id)):
        return False, age_s >= LOST_MACHINE_S
    if database.engine.dialect.name == "postgresql":
        return False, age_s >= LEASE_S
    return True, False


def _expire(database: Database, lease: StaleLease) -> ExpiredLease | None:
    """Free the shards; None if the lease was renewed since it was read."""
    with database.transaction() as session:
        shards = expire_lease(session, lease.id, heartbeat_at=lease.heartbeat_at)
    if shards is None:
        return None
    database.remove_free_lock(_lock(lease.id))
    return ExpiredLease(lease.id, lease.host, shards)


def _show_as_crashed(lease: StaleLease) -> None:
    """Prefect would show the run as running for good if its worker ended with it."""
    if not (has_server() or FlowRunContext.get()):
        return  # its temporary server has ended too
    message = f"{lease.host} ended without a final state; the next run goes on from here"
    with (
        suppress(*PREFECT_ERRORS),
        get_client(sync_client=True) as api,
    ):
        end_flow_run(api, UUID(lease.id), message, ProcessIdentity.parse(lease.process))


def _send_heartbeats(lease: Lease) -> None:
    """Send heartbeats; after a failure too, because a database may restart and a full disk be emptied."""
    while not lease.ended.wait(HEARTBEAT_S):
        with suppress(DatabaseError, StorageError):
            lease.beat()
        if lease.is_watched and _is_cancelled(lease.id):
            lease.cancelled.set()


def _is_cancelled(flow_run_id: str) -> bool:
    """Return whether the flow run was cancelled in Prefect; without a worker, no other process reports it."""
    with (
        suppress(*PREFECT_ERRORS),
        get_client(sync_client=True) as api,
    ):
        state = api.read_flow_run(UUID(flow_run_id)).state
        return state is not None and state.type in _CANCELLING
    return False


def _lock(lease_id: str) -> str:
    return f"execution {lease_id}"
