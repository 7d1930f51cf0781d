"""Clusters of worker processes: Dask's and Ray's, on this machine or wherever they are.

A worker that dies is our business, not the cluster's: where it is ours to say, nothing is tried again
unasked. Dask and Ray are imported when they are wanted.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labeling.errors import ClusterUnreachable
from tasks.execution.workers import environment

if TYPE_CHECKING:
    from distributed import SpecCluster
    from prefect_dask import DaskTaskRunner
    from prefect_ray import RayTaskRunner

HERE = "127.0.0.1"
_RAY_STORE_BYTES = 80 << 20
"""Ray's shared memory, about the least that it takes: only ids travel. By itself it takes 30 % of all."""

_RAY_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@contextmanager
def dask_at(address: str) -> Iterator["DaskTaskRunner"]:
    """A Dask cluster that is there.

    When a worker dies its scheduler tries the shard again unasked, as often as its own
    `distributed.scheduler.allowed-failures` says (3), before we are told.

    Raises:
        ClusterUnreachable: no scheduler answers.
    """
    from prefect_dask import DaskTaskRunner

    with DaskTaskRunner(address=address) as runner:
        try:
            _ = runner.client  # connects
        except (OSError, ValueError) as exc:  # ValueError: this is no address
            raise ClusterUnreachable(f"no Dask scheduler answers at {address}: {exc}") from exc
        yield runner


@contextmanager
def dask_here(environments: Sequence[Mapping[str, str]]) -> Iterator["DaskTaskRunner"]:
    """A Dask cluster on this machine, one worker per environment, which ends with the block."""
    from prefect_dask import DaskTaskRunner

    with _dask_cluster(environments) as cluster, DaskTaskRunner(cluster=cluster) as runner:
        yield runner


def _dask_cluster(environments: Sequence[Mapping[str, str]]) -> "SpecCluster":
    """What LocalCluster makes, but for workers that differ in their GPU, for their memory, of which they
    have no fixed share, and for who may send them code: nobody else on this machine."""
    from distributed import Nanny, Scheduler, Security, SpecCluster

    security = Security.temporary()
    page = {"dashboard": False, "dashboard_address": f"{HERE}:0"}  # 8787 may be another cluster's
    common: dict[str, Any] = {"security": security, "host": HERE, **page}
    quiet = logging.CRITICAL  # that a worker died is told by whoever waits for its shard
    worker = common | {"nthreads": 1, "memory_limit": 0, "silence_logs": quiet}
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": common | {"protocol": "tls://", "allowed_failures": 0}},
        workers={
            number: {"cls": Nanny, "options": worker | {"env": dict(given)}}
            for number, given in enumerate(environments)
        },
        security=security,
        silence_logs=quiet,
    )


@contextmanager
def ray_at(address: str, *, workers: int, use_gpus: bool) -> Iterator["RayTaskRunner[str]"]:
    """A Ray cluster that is there.

    Raises:
        ClusterUnreachable: nobody answers.
    """
    from prefect_ray import RayTaskRunner

    runner: RayTaskRunner[str] = RayTaskRunner(address=address, init_kwargs=_RAY_QUIET)
    try:
        runner.__enter__()
    except (OSError, RuntimeError, ValueError) as exc:
        raise ClusterUnreachable(f"no Ray cluster answers at {address}: {exc}") from exc
    try:
        with _left_to_us(workers=workers, use_gpus=use_gpus):
            yield runner
    finally:
        runner.__exit__(None, None, None)


@contextmanager
def ray_here(limits: Mapping[str, str], *, workers: int, use_gpus: bool) -> Iterator["RayTaskRunner[str]"]:
    """A Ray cluster on this machine, which ends with the block; its workers are told their `limits`."""
    from prefect_ray import RayTaskRunner

    options = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _RAY_STORE_BYTES}
    silent = {"RAY_USAGE_STATS_ENABLED": "0"}
    with (
        environment({**limits, **silent}),
        RayTaskRunner(init_kwargs=options | _RAY_QUIET) as runner,
        _left_to_us(workers=workers, use_gpus=use_gpus),
    ):
        yield runner


@contextmanager
def _left_to_us(*, workers: int, use_gpus: bool) -> Iterator[None]:
    """Ray's options for a shard: a core, its share of the GPUs, and no more than it is told.

    By itself Ray would try a shard again when its worker died, and would end a process that had a GPU,
    with the models in it, after each.
    """
    import ray
    from prefect_ray.context import remote_options

    gpus = ray.cluster_resources().get("GPU", 0.0) if use_gpus else 0.0
    share = min(1.0, int(1000 * gpus / workers) / 1000)
    with remote_options(num_cpus=1, num_gpus=share, max_retries=0, max_calls=0):
        yield
