"""GPU slots on a real Prefect server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from configs.errors import Interrupted
from configs.load import load_config
from configs.models import RunConfig
from flows.deployment.pools import set_gpu_slots
from tasks.execution.slots import GPU_LIMIT, gpu_slot


def one_slot(*changes: str) -> RunConfig:
    return load_config("offline", ["gpu_slots=1", *changes])


def keep_waiting() -> None:
    """A check that never stops the wait."""


@pytest.fixture
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        set_gpu_slots(client, one_slot())
        yield client


def active_slots(client: SyncPrefectClient) -> int:
    return client.read_global_concurrency_limit_by_name(GPU_LIMIT).active_slots


def test_a_slot_is_held_during_the_block(client: SyncPrefectClient) -> None:
    with gpu_slot(one_slot(), keep_waiting):
        assert active_slots(client) == 1
    assert active_slots(client) == 0


def test_an_error_releases_the_slot(client: SyncPrefectClient) -> None:
    with pytest.raises(ZeroDivisionError), gpu_slot(one_slot(), keep_waiting):
        _ = 1 / 0
    assert active_slots(client) == 0


def test_a_shard_waits_for_a_free_slot(client: SyncPrefectClient) -> None:
    order = []

    def work() -> None:
        with gpu_slot(one_slot(), keep_waiting):
            order.append("second")

    second = threading.Thread(target=work)
    with gpu_slot(one_slot(), keep_waiting):
        second.start()
        second.join(2)
        order.append("first")
    second.join(60)
    assert order == ["first", "second"]


@pytest.mark.slow
def test_the_check_ends_the_wait(client: SyncPrefectClient) -> None:
    def stop() -> None:
        raise Interrupted("cancelled")

    with gpu_slot(one_slot(), keep_waiting):
        with pytest.raises(Interrupted), gpu_slot(one_slot(), stop):
            pytest.fail("there was one slot")
        assert active_slots(client) == 1
    assert active_slots(client) == 0


def test_changing_the_slots_keeps_one_limit(client: SyncPrefectClient) -> None:
    set_gpu_slots(client, load_config("offline", ["gpu_slots=3"]))
    set_gpu_slots(client, load_config("offline"))  # no setting leaves the limit as it is
    limits = client.read_global_concurrency_limits(limit=200, offset=0)
    assert [limit.limit for limit in limits if limit.name == GPU_LIMIT] == [3]


@pytest.mark.parametrize("config", [load_config("offline"), one_slot("device=cpu")])
def test_prefect_is_not_called_without_the_setting_or_on_the_cpu(config: RunConfig, tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}), gpu_slot(config, keep_waiting):
        (tmp_path / "worked").touch()
    assert (tmp_path / "worked").exists()


def test_slots_do_not_change_the_run_id() -> None:
    assert one_slot().run_id() == load_config("offline").run_id()
