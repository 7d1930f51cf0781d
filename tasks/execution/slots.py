"""Slots for graphics cards, which shards on all machines of a Prefect server share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from prefect.concurrency.sync import concurrency

from configs.models import RunConfig

GPU_LIMIT = "maskmill-gpu"
"""Prefect's name for the slots, in its UI under Concurrency."""

LEASE_S = 60.0
"""A slot whose holder was killed is free again after so long at most; Prefect takes no less."""

ASK_S = 5.0
"""How long a slot is waited for before it is asked whether that is still wanted."""


@contextmanager
def gpu_slot(config: RunConfig, check: Callable[[], None]) -> Iterator[None]:
    """Hold one of the config's `gpu_slots`, waiting until one is free; without that setting, none.

    A server that goes away in the meantime costs nobody the work: the slot is then given to another.

    Args:
        check: called while waiting; raises where the slot is not wanted any more.
    """
    with ExitStack() as held:
        if config.gpu_slots is not None and config.device != "cpu":
            while not _take_slot(held):
                check()
        yield


def _take_slot(held: ExitStack) -> bool:
    slot = concurrency(
        GPU_LIMIT, timeout_seconds=ASK_S, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False
    )
    try:
        held.enter_context(slot)
    except TimeoutError:
        return False
    return True
