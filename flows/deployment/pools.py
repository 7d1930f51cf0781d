"""The work pool and the GPU slots that workers share on a Prefect server."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from configs.errors import ConfigError
from configs.models import RunConfig
from tasks.execution.slots import GPU_LIMIT

POOL_TYPE = "process"


def ensure_pool(client: SyncPrefectClient, name: str) -> bool:
    """Create the work pool if it is missing; return True if it was created.

    Raises:
        ConfigError: a pool of that name is of another type, or the name cannot be one.
    """
    if not name.strip() or set(name) & set("/%&<>"):
        raise ConfigError(f"--pool {name!r}: a pool name must not be empty or contain any of / % & < >")
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=name, type=POOL_TYPE, base_job_template=template))
        return True
    if found.type != POOL_TYPE:
        raise ConfigError(
            f"the work pool {name!r} has the type {found.type!r}, and maskmill requires {POOL_TYPE!r}: "
            "name another pool; it is created if missing"
        )
    return False


def set_gpu_slots(client: SyncPrefectClient, config: RunConfig) -> None:
    """Set the concurrency limit that shards acquire; a config without `gpu_slots` leaves it unchanged."""
    if config.gpu_slots is not None:
        client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, config.gpu_slots)
