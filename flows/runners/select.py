"""The task runner of a run, and the outcome of its shards."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from prefect import Task
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from configs.environment import DATABASE_URL
from configs.errors import ClusterUnreachable, ConfigError, WorkerLost
from configs.models import RunConfig
from flows.runners.processes import ProcessRunner
from tasks.execution.prefect_server import is_this_machine
from tasks.execution.workers import environment, may_use_gpus, thread_limits, worker_environments
from tasks.observability.best_effort import has_server

_LIBRARIES = {"dask": "prefect_dask", "ray": "prefect_ray"}


class _Submits(Protocol):
    """The part of Prefect's task runners that is used here."""

    def submit(self, task: "Task[..., str]", parameters: dict[str, Any]) -> PrefectFuture[str]: ...


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a run; each has one shard at a time if no more are submitted than there are workers."""

    engine: _Submits
    worker_lost_errors: tuple[type[Exception], ...] = ()
    """Raised by the engine when a worker process crashed."""
    cluster_lost_errors: tuple[type[Exception], ...] = ()
    """Raised by the engine when there are no workers left."""

    def submit(self, task: "Task[..., str]", parameters: dict[str, Any]) -> PrefectFuture[str]:
        return self.engine.submit(task, parameters)

    def outcome_of(self, future: PrefectFuture[str]) -> str | Exception:
        """Return the result of a finished task, or its exception.

        `WorkerLost` if its process crashed: another worker may retry the shard.

        Raises:
            ClusterUnreachable: all workers are gone.
        """
        try:
            outcome: Any = future.result(raise_on_failure=False)
        except Exception as exc:  # noqa: BLE001  # any exception is the outcome
            outcome = exc
        if isinstance(outcome, self.cluster_lost_errors):
            raise ClusterUnreachable(
                f"the cluster is gone ({outcome}): run the same command again"
            ) from outcome
        if isinstance(outcome, self.worker_lost_errors):
            lost = WorkerLost(
                "the worker process crashed (killed, or out of memory: use fewer workers or a smaller batch)"
            )
            lost.__cause__ = outcome
            return lost
        return outcome  # type: ignore[no-any-return]  # Prefect's result is untyped


def check_runner(config: RunConfig) -> None:
    """Check, before anything is fetched, that the config's workers can exist.

    Raises:
        ConfigError: a library is missing, or workers elsewhere could not reach the database or Prefect.
    """
    library = _LIBRARIES.get(config.runner)
    if library and importlib.util.find_spec(library) is None:
        raise ConfigError(
            f"runner: {config.runner} is not installed: pip install 'maskmill[{config.runner}]'"
        )
    if config.address is None or _is_here(config.address):
        return
    database = DATABASE_URL.read() or ""
    if not database or database.startswith("sqlite"):
        raise ConfigError(
            f"the workers of {config.address} cannot write into a file on this machine: use PostgreSQL, and set "
            "MASKMILL_DATABASE_URL (postgresql+psycopg://...) here and in their environment"
        )
    if not has_server():
        raise ConfigError(
            f"the workers of {config.address} cannot reach a temporary Prefect server: start one that stays "
            "with `prefect server start --host 0.0.0.0`, and set PREFECT_API_URL to where they can reach it"
        )


def _is_here(address: str) -> bool:
    """Return whether a cluster address names this machine."""
    return address == "auto" or is_this_machine(address if "://" in address else f"//{address}")


@contextmanager
def make_runner(config: RunConfig) -> Iterator[Workers]:
    """Run the workers of a config until the block ends.

    Raises:
        ClusterUnreachable: no cluster answers at the address.
    """
    if config.runner == "threads":
        with ThreadPoolTaskRunner(max_workers=config.workers) as threads:  # type: ignore[var-annotated]
            yield Workers(threads)
        return
    # Dask and Ray set variables of this process for those that they start
    with environment({}), _one_server_for_all(), _make_cluster(config) as workers:
        yield workers


@contextmanager
def _make_cluster(config: RunConfig) -> Iterator[Workers]:
    if config.runner == "processes":
        with ProcessRunner(worker_environments(config)) as processes:
            yield Workers(processes, (BrokenProcessPool,))
    elif config.runner == "dask":
        from distributed import KilledWorker

        from flows.runners.clusters import dask_at, dask_here

        with dask_at(config.address) if config.address else dask_here(worker_environments(config)) as dask:
            yield Workers(dask, (KilledWorker,), (CancelledError,))
    else:
        with _make_ray(config) as workers:
            yield workers


@contextmanager
def _make_ray(config: RunConfig) -> Iterator[Workers]:
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RaySystemError, WorkerCrashedError

    from flows.runners.clusters import ray_at, ray_here

    sharing: Any = {"workers": config.workers, "use_gpus": may_use_gpus(config)}
    limits = thread_limits(config.workers)
    with ray_at(config.address, **sharing) if config.address else ray_here(limits, **sharing) as ray:
        yield Workers(ray, (WorkerCrashedError, NodeDiedError, OutOfMemoryError), (RaySystemError,))


@contextmanager
def _one_server_for_all() -> Iterator[None]:
    """Point the workers to the Prefect server of this process; otherwise each would start a temporary one."""
    if PREFECT_API_URL.value():
        yield
        return
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield
