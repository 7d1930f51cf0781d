"""Flow runs that died before they could say that they were at work."""

import time
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from db.runs.leases import BEAT_S, who_is_at_work
from labeling.storage.home import Home
from tasks.execution.database import database_of
from tasks.observability.best_effort import log_prefect_errors

TAG = "maskmill"
"""What our deployments and their runs are marked with."""
START_S = {StateType.PENDING: 60.0, StateType.RUNNING: 15.0}
"""How long a run may take from one state to the next: to start a process, and then to open the ledger."""


def mark_stillborn(home: Home) -> list[str]:
    """Have Prefect show as crashed the runs of our deployments that are not at work, though it says so.

    One that is alive after all goes on, and Prefect then shows how it ends. Returns their names.
    """
    marked: list[str] = []
    with log_prefect_errors("runs that never began are not marked"), get_client(sync_client=True) as api:
        if suspects := _missing(api, home):
            time.sleep(BEAT_S)  # one that has just ended is not in the ledger, and may not be over in Prefect
            still = {run.id for run in suspects}
            for run in _missing(api, home):
                if run.id in still:
                    message = "its process ended without a word before it began; the next run takes its place"
                    api.set_flow_run_state(run.id, Crashed(message=message))
                    marked.append(run.name)
    return marked


def _missing(api: SyncPrefectClient, home: Home) -> list[FlowRun]:
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(START_S)))
    ours = FlowRunFilter(state=states, tags=FlowRunFilterTags(all_=[TAG]))
    runs = api.read_flow_runs(flow_run_filter=ours)
    with database_of(home).session() as session:
        at_work = who_is_at_work(session)
    return [run for run in runs if _is_of(run, home) and str(run.id) not in at_work and _is_late(run)]


def _is_of(run: FlowRun, home: Home) -> bool:
    return Path(run.parameters.get("home", "")).expanduser().resolve() == home.root


def _is_late(run: FlowRun) -> bool:
    if run.state is None:
        return False
    return (datetime.now(UTC) - run.state.timestamp).total_seconds() > START_S[run.state.type]
