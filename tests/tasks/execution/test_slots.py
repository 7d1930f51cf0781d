"""Slots for graphics cards: who waits for whom, on a real Prefect server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from configs.load import load_config
from configs.models import RunConfig
from flows.deployment.pools import set_gpu_slots
from labeling.errors import Interrupted
from tasks.execution.slots import GPU_LIMIT, gpu_slot


def one_slot(*changes: str) -> RunConfig:
    return load_config("offline", ["gpu_slots=1", *changes])


def wanted() -> None:
    """Waiting is worth it."""


@pytest.fixture
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        set_gpu_slots(client, one_slot())
        yield client


def taken(client: SyncPrefectClient) -> int:
    return client.read_global_concurrency_limit_by_name(GPU_LIMIT).active_slots


def test_a_slot_is_held_for_as_long_as_the_work_takes(client: SyncPrefectClient) -> None:
    with gpu_slot(one_slot(), wanted):
        assert taken(client) == 1
    assert taken(client) == 0


def test_work_that_fails_gives_its_slot_back(client: SyncPrefectClient) -> None:
    with pytest.raises(ZeroDivisionError), gpu_slot(one_slot(), wanted):
        _ = 1 / 0
    assert taken(client) == 0


def test_who_finds_no_slot_waits_for_one(client: SyncPrefectClient) -> None:
    order = []

    def work() -> None:
        with gpu_slot(one_slot(), wanted):
            order.append("second")

    second = threading.Thread(target=work)
    with gpu_slot(one_slot(), wanted):
        second.start()
        second.join(2)
        order.append("first")
    second.join(60)
    assert order == ["first", "second"]


def test_who_is_not_wanted_any_more_stops_waiting(client: SyncPrefectClient) -> None:
    def unwanted() -> None:
        raise Interrupted("cancelled")

    with gpu_slot(one_slot(), wanted):
        with pytest.raises(Interrupted), gpu_slot(one_slot(), unwanted):
            pytest.fail("there was one slot")
        assert taken(client) == 1
    assert taken(client) == 0


def test_slots_that_are_changed_are_not_doubled(client: SyncPrefectClient) -> None:
    set_gpu_slots(client, load_config("offline", ["gpu_slots=3"]))
    set_gpu_slots(client, load_config("offline"))  # asks for none, and takes none away
    limits = client.read_global_concurrency_limits(limit=200, offset=0)
    assert [limit.limit for limit in limits if limit.name == GPU_LIMIT] == [3]


@pytest.mark.parametrize("config", [load_config("offline"), one_slot("device=cpu")])
def test_prefect_is_not_asked_without_the_setting_or_a_card(config: RunConfig, tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}), gpu_slot(config, wanted):
        (tmp_path / "worked").touch()
    assert (tmp_path / "worked").exists()


def test_slots_make_no_other_run_of_it() -> None:
    assert one_slot().run_id() == load_config("offline").run_id()
