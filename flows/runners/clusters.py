"""Dask and Ray clusters, on this machine or elsewhere.

maskmill itself decides about the shard of a lost worker, so the clusters' own retries are switched off
where possible. Dask and Ray are imported on first use.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from configs.errors import ClusterUnreachable
from tasks.execution.workers import environment

if TYPE_CHECKING:
    from distributed import SpecCluster
    from prefect_dask import DaskTaskRunner
    from prefect_ray import RayTaskRunner

HERE = "127.0.0.1"
_RAY_STORE_BYTES = 80 << 20
"""Ray's shared memory, near its minimum, because only ids are passed; its default is 30 % of the RAM."""

_RAY_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@contextmanager
def dask_at(address: str) -> Iterator["DaskTaskRunner"]:
    """Connect to a running Dask cluster.

    After a lost worker, its scheduler retries the shard up to `distributed.scheduler.allowed-failures`
    times (3) before it reports the loss.

    Raises:
        ClusterUnreachable: no scheduler answers.
    """
    from prefect_dask import DaskTaskRunner

    with DaskTaskRunner(address=address) as runner:
        try:
            _ = runner.client  # connects
        except (OSError, ValueError) as exc:  # ValueError: not an address
            raise ClusterUnreachable(f"no Dask scheduler answers at {address}: {exc}") from exc
        yield runner


@contextmanager
def dask_here(environments: Sequence[Mapping[str, str]]) -> Iterator["DaskTaskRunner"]:
    """Run a Dask cluster on this machine with one worker per environment until the block ends."""
    from prefect_dask import DaskTaskRunner

    with _dask_cluster(environments) as cluster, DaskTaskRunner(cluster=cluster) as runner:
        yield runner


def _dask_cluster(environments: Sequence[Mapping[str, str]]) -> "SpecCluster":
    """Create a cluster like LocalCluster, but with a GPU of its own and no memory limit for each worker, and TLS, so
    that no other user of this machine can send it code."""
    from distributed import Nanny, Scheduler, Security, SpecCluster

    security = Security.temporary()
    page = {"dashboard": False, "dashboard_address": f"{HERE}:0"}  # 8787 may be taken by another cluster
    common: dict[str, Any] = {"security": security, "host": HERE, **page}
    quiet = logging.CRITICAL  # a lost worker is reported by the code that waits for its shard
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
    """Connect to a running Ray cluster.

    Raises:
        ClusterUnreachable: no cluster answers.
    """
    from prefect_ray import RayTaskRunner

    runner: RayTaskRunner[str] = RayTaskRunner(address=address, init_kwargs=_RAY_QUIET)
    try:
        runner.__enter__()
    except (OSError, RuntimeError, ValueError) as exc:
        raise ClusterUnreachable(f"no Ray cluster answers at {address}: {exc}") from exc
    try:
        with _shard_options(workers=workers, use_gpus=use_gpus):
            yield runner
    finally:
        runner.__exit__(None, None, None)


@contextmanager
def ray_here(limits: Mapping[str, str], *, workers: int, use_gpus: bool) -> Iterator["RayTaskRunner[str]"]:
    """Run a Ray cluster on this machine until the block ends; `limits` are its workers' variables."""
    from prefect_ray import RayTaskRunner

    options = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _RAY_STORE_BYTES}
    silent = {"RAY_USAGE_STATS_ENABLED": "0"}
    with (
        environment({**limits, **silent}),
        RayTaskRunner(init_kwargs=options | _RAY_QUIET) as runner,
        _shard_options(workers=workers, use_gpus=use_gpus),
    ):
        yield runner


@contextmanager
def _shard_options(*, workers: int, use_gpus: bool) -> Iterator[None]:
    """Set Ray's options for a shard: one core, a share of the GPUs, no retries.

    By default Ray would retry the shard of a lost worker, and would end a process with a GPU, and its
    loaded models, after each shard.
    """
    import ray
    from prefect_ray.context import remote_options

    gpus = ray.cluster_resources().get("GPU", 0.0) if use_gpus else 0.0
    share = min(1.0, int(1000 * gpus / workers) / 1000)
    with remote_options(num_cpus=1, num_gpus=share, max_retries=0, max_calls=0):
        yield
