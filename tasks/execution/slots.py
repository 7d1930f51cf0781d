"""GPU slots, which shards on all machines of a Prefect server share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from prefect.concurrency.sync import concurrency

from configs.models import RunConfig

GPU_LIMIT = "maskmill-gpu"
"""Prefect's name for the limit, in its UI under Concurrency."""

LEASE_S = 60.0
"""After a holder is killed, its slot becomes free within this time; Prefect's minimum."""

ACQUIRE_TIMEOUT_S = 5.0
"""Time to wait for a slot before calling `check` again."""


@contextmanager
def gpu_slot(config: RunConfig, check: Callable[[], None]) -> Iterator[None]:
    """Hold one of the config's `gpu_slots`, waiting until one is free; do nothing without that setting.

    If the server goes away meanwhile, the work goes on, though the slot may be given to another shard.

    Args:
        check: called while waiting; raises if the slot is no longer needed.
    """
    with ExitStack() as held:
        if config.gpu_slots is not None and config.device != "cpu":
            while not _acquire(held):
                check()
        yield


def _acquire(held: ExitStack) -> bool:
    slot = concurrency(
        GPU_LIMIT,
        timeout_seconds=ACQUIRE_TIMEOUT_S,
        lease_duration=LEASE_S,
        raise_on_lease_renewal_failure=False,
    )
    try:
        held.enter_context(slot)
    except TimeoutError:
        return False
    return True
