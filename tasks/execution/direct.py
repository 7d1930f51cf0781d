"""Flows without Prefect, where no one could watch them: a server that ends with the command costs seconds."""

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from tasks.observability.best_effort import has_server

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_flow_run() -> bool:
    """Return whether Prefect executes a flow run in this thread."""
    return FlowRunContext.get() is not None


def call_flow(flow: Flow[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs) -> Result:
    """Call a flow whose tasks also work without Prefect; on a permanent server it is a flow run."""
    work: Callable[Parameters, Result] = flow if has_server() else flow.fn
    return work(*args, **named)


def run_logger() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """Return the logger of the flow run; outside one, an ordinary logger."""
    return get_run_logger() if in_flow_run() else logging.getLogger("maskmill")
