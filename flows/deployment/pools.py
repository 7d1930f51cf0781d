"""What workers share on a Prefect server: a work pool, and slots for graphics cards."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from configs.errors import ConfigError
from configs.models import RunConfig
from tasks.execution.slots import GPU_LIMIT

POOL_TYPE = "process"


def ensure_pool(client: SyncPrefectClient, name: str) -> bool:
    """Make the work pool if there is none; whether it was made.

    Raises:
        ConfigError: a pool of that name is of another type, or the name cannot be one.
    """
    if not name.strip() or set(name) & set("/%&<>"):
        raise ConfigError(f"--pool {name!r}: wants a name, without any of / % & < >")
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=name, type=POOL_TYPE, base_job_template=template))
        return True
    if found.type != POOL_TYPE:
        raise ConfigError(
            f"the work pool {name!r} is of the type {found.type!r}, and maskmill's runs want {POOL_TYPE!r}: "
            "name another one, which is made when there is none"
        )
    return False


def set_gpu_slots(client: SyncPrefectClient, config: RunConfig) -> None:
    """Make or change the concurrency limit that shards ask; a config that asks for none leaves it alone."""
    if config.gpu_slots is not None:
        client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, config.gpu_slots)
