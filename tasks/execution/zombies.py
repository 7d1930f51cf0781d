"""Flow runs that Prefect shows as running although their process has ended.

Prefect frees the concurrency slot of a flow run that is set to Crashed, and a process that still lives
then ends itself. So a state is set only where the process is known to be gone, or for an orphan, which is
a run of another machine that has been missing from the database for ten minutes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Crashed

from db.runs.leases import live_lease_ids
from labeling.storage.home import Home
from tasks.execution.context import database_of, has_database
from tasks.execution.process_identity import ProcessIdentity

TAG = "maskmill"
"""Tag of our deployments and their runs."""
PROCESS_LABEL = "maskmill.process"
"""Label with the identity of a flow run's process; `serve` and `worker` set it when they start one."""
MISSING_LABEL = "maskmill.missing"
"""Label with the moment when a flow run was first seen Running and missing from the database."""
ORPHAN_S = 600.0
"""How long a run whose process is on another machine may take to register in the database."""
SETTLE_S = 30.0
"""Minimum age of a state before a process label counts: a run that Prefect starts again has the label of
its last process until the new one is started."""

SKIPPED = "Skipped"
"""State of a start for which there was nothing to do, because the deployment was at work."""
RECENT_S = 24 * 3600.0
"""Age of the latest states that are put into words; others were seen, or are history."""
_NO_SLOT = "Deployment concurrency limit reached."
_STILL_GOING = "skipped: the previous run of this deployment is still going"
_STOPPED = "{place} was stopped while it worked on this run; the next run continues"
_KILLED = "{place} was killed while it worked on this run, as the system does when memory runs out; the next run continues"
_PREFECT_SAYS = {
    "Execution was aborted by Python system exit call.": _STOPPED,
    "Execution was aborted by a termination signal.": _STOPPED,
    "Execution was aborted by an interrupt signal.": _STOPPED,
    "Execution was cancelled by the runtime environment.": _STOPPED,
    "Flow run process exited with non-zero status code -9.": _KILLED,
    "Flow run infrastructure exited with non-zero status code -9.": _KILLED,
    "Flow run process exited with non-zero status code -15.": _STOPPED,
    "Flow run infrastructure exited with non-zero status code -15.": _STOPPED,
}
"""Prefect's messages (prefect/states.py, runner/runner.py, workers/base.py, 3.8), and ours for an operator."""

_MESSAGE = "the process of this run ended without a final state; the next run goes on from here"
_LIVE = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}


def crash_stuck_flow_runs(
    home: Home, started: Mapping[UUID, ProcessIdentity] | None = None, *, orphans: bool = False
) -> list[str]:
    """Set flow runs of this home to Crashed whose process ended before it registered, or after it left.

    Args:
        home: only runs with this home are considered.
        started: processes that the caller started itself, by flow run.
        orphans: also judge runs of other machines, by age.

    Returns:
        The names of the flow runs.

    Raises:
        PrefectException, HTTPError: Prefect does not answer or refuses.
        DatabaseError: the database cannot be read.
    """
    crashed: list[str] = []
    with get_client(sync_client=True) as api:
        for run in _unregistered_runs(api, home):
            process = _process_of(run, started or {})
            if process and process.is_here():
                is_stuck = process.is_gone() and _age_s(run) >= SETTLE_S
            else:
                is_stuck = orphans and _is_orphan(api, run)
            if is_stuck and end_flow_run(api, run.id, _MESSAGE, process):
                crashed.append(run.name)
    return crashed


def reword_states() -> int:
    """Give recent flow runs of ours, where only Prefect's words are known, a state that says what happened.

    A start that was skipped since another run is going is Completed, with the name `Skipped`, instead of Cancelled;
    a run whose process was stopped or killed stays Crashed, with another message.

    Returns:
        The number of flow runs.

    Raises:
        PrefectException, HTTPError: Prefect does not answer or refuses.
    """
    ended = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLED, StateType.CRASHED]))
    recent = FlowRunFilterEndTime(after_=_now() - timedelta(seconds=RECENT_S))
    ours = FlowRunFilter(state=ended, end_time=recent, tags=FlowRunFilterTags(all_=[TAG]))
    reworded = 0
    with get_client(sync_client=True) as api:
        for run in api.read_flow_runs(flow_run_filter=ours, sort=FlowRunSort.END_TIME_DESC):
            if state := _in_words(run):
                api.set_flow_run_state(run.id, state, force=True)
                reworded += 1
    return reworded


def _in_words(run: FlowRun) -> State[Any] | None:
    """Return the state that says what happened; None if it does already."""
    said = run.state.message if run.state else None
    if run.state_type == StateType.CANCELLED and said == _NO_SLOT:
        return Completed(name=SKIPPED, message=_STILL_GOING)
    if run.state_type != StateType.CRASHED or said not in _PREFECT_SAYS:
        return None
    process = _labeled_process(run)
    place = f"its worker (process {process.pid})" if process else "its process"
    return Crashed(message=_PREFECT_SAYS[said].format(place=place))


def end_flow_run(api: SyncPrefectClient, run_id: UUID, message: str, ended: ProcessIdentity | None) -> bool:
    """Set a flow run to Crashed, or to Cancelled if it was being cancelled; return whether it was set.

    Nothing is forced: Prefect refuses it for a run that has ended in the meantime.

    Args:
        api: client of the Prefect server.
        run_id: id of the flow run.
        message: shown with the state.
        ended: the process that the caller knows to have ended. A run that another process runs now, on
            whatever machine, keeps its state.
    """
    run = api.read_flow_run(run_id)
    current = _labeled_process(run)
    if run.state_type not in _LIVE or (current and current != ended and not current.is_gone()):
        return False
    is_cancelling = run.state_type == StateType.CANCELLING
    final: State[Any] = Cancelled(message=message) if is_cancelling else Crashed(message=message)
    return api.set_flow_run_state(run.id, final).status == SetStateStatus.ACCEPT


def label_process(api: SyncPrefectClient, run_id: UUID, process: ProcessIdentity) -> None:
    """Store with the flow run which process runs it."""
    api.update_flow_run_labels(run_id, {PROCESS_LABEL: str(process)})


def _unregistered_runs(api: SyncPrefectClient, home: Home) -> list[FlowRun]:
    """Return the live flow runs of this home without a lease in its database."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_LIVE)))
    ours = FlowRunFilter(state=state, tags=FlowRunFilterTags(all_=[TAG]))
    runs = [run for run in api.read_flow_runs(flow_run_filter=ours) if _is_of(run, home)]
    if not runs or not has_database(home):
        return runs
    with database_of(home).session() as session:  # after the runs: one that registers now is not missing
        registered = live_lease_ids(session)
    return [run for run in runs if str(run.id) not in registered]


def _is_of(run: FlowRun, home: Home) -> bool:
    named = run.parameters.get("home")
    return isinstance(named, str) and Path(named).expanduser().resolve() == home.root


def _process_of(run: FlowRun, started: Mapping[UUID, ProcessIdentity]) -> ProcessIdentity | None:
    """Return the process that runs a flow run, as far as it is known.

    A label of this machine may be older than `started`. One of another machine is newer: Prefect has
    started the run again there.
    """
    labeled = _labeled_process(run)
    if labeled and not labeled.is_here():
        return labeled
    return started.get(run.id, labeled)


def _labeled_process(run: FlowRun) -> ProcessIdentity | None:
    return ProcessIdentity.parse(run.labels.get(PROCESS_LABEL))


def _age_s(run: FlowRun) -> float:
    """Return the seconds since the last change of state."""
    return (_now() - run.state.timestamp).total_seconds() if run.state else 0.0


def _is_orphan(api: SyncPrefectClient, run: FlowRun) -> bool:
    """Return whether a run that only its own machine could judge has been missing for `ORPHAN_S`.

    The age of a Running state says nothing: a run may have registered, worked for hours, and be about to
    report its end. So it must be missing in two looks, `ORPHAN_S` apart, in the same state.
    """
    if run.state is None or _age_s(run) < ORPHAN_S:
        return False
    if run.state_type == StateType.PENDING:
        return True
    now, (state_id, _, noted) = _now(), str(run.labels.get(MISSING_LABEL, "")).partition(" ")
    if state_id != str(run.state.id):
        api.update_flow_run_labels(run.id, {MISSING_LABEL: f"{run.state.id} {now.isoformat()}"})
        return False
    return now - datetime.fromisoformat(noted) >= timedelta(seconds=ORPHAN_S)


def _now() -> datetime:
    return datetime.now(UTC)
