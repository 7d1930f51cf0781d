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
from prefect.states import Cancelled, Crashed
from sqlalchemy.orm import Session

from db.runs.leases import (
    BEAT_S,
    LEASE_S,
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
from tasks.observability.best_effort import PREFECT_ERRORS, is_watched

_ENDING = {StateType.CANCELLING, StateType.CANCELLED}


@dataclass(frozen=True, slots=True)
class Execution:
    """This time that a flow is at work."""

    id: str
    home: Home
    flow: str
    place: str
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
        give_sign_of_life(session, self.id, flow=self.flow, place=self.place)

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
    us = Execution(our_id, home, flow, place, is_watched=is_watched())
    with database.alone(_lock(us.id)):
        with database.transaction() as session:
            enter_execution(session, us.id, flow=flow, place=place)
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
    """Free the shards of executions that died, and have Prefect show their runs as crashed.

    Dead is who gave no sign of life for `LEASE_S`, or whose lock is free: the database, or the system,
    knows its end at once.

    Raises:
        DatabaseError: the ledger cannot be read or written.
    """
    database = database_of(home)
    # a PostgreSQL that was started again has forgotten the locks of the living: two signs of life tell
    doubt_s = 2 * BEAT_S if database.engine.dialect.name == "postgresql" else 0.0
    with database.session() as session:
        heard_s = hearing_s(session)  # who spoke to a database that was away need not be dead
        silent = silent_executions(session, silent_s=doubt_s) if heard_s >= doubt_s else []
    return [
        _bury(home, one)
        for one in silent
        if min(one.silent_s, heard_s) >= LEASE_S or database.is_alone(_lock(one.id))
    ]


def _bury(home: Home, dead: SilentExecution) -> Buried:
    with database_of(home).transaction() as session:
        shards = bury_execution(session, dead.id)
    _show_as_crashed(dead)
    return Buried(dead.id, dead.place, shards)


def _show_as_crashed(dead: SilentExecution) -> None:
    """Prefect itself would show the run as running for good, if its worker died with it."""
    if not (is_watched() or FlowRunContext.get()):
        return  # a temporary server was it, which ended too
    message = f"{dead.place} ended without a word; the next run goes on from here"
    with (
        suppress(*PREFECT_ERRORS),
        get_client(sync_client=True) as api,
    ):
        run = api.read_flow_run(UUID(dead.id))
        if run.state and not run.state.is_final():
            api.set_flow_run_state(run.id, Crashed(message=message), force=True)


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
