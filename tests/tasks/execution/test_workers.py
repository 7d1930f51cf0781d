"""Environments of the worker processes of one machine."""

import os

import pytest

from configs.load import load_config
from configs.models import RunConfig
from tasks.execution.workers import environment, thread_limits, worker_environments
from tests.requirements import require_module


def torch_config(*changes: str) -> RunConfig:
    return load_config("default", changes)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight cores and none of the variables set."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tasks.execution.workers.available_cores", lambda: 8)


@pytest.mark.parametrize(("workers", "threads"), [(1, "8"), (2, "4"), (3, "2"), (20, "1")])
def test_workers_share_the_cores(workers: int, threads: str) -> None:
    assert set(thread_limits(workers).values()) == {threads}


def test_a_limit_set_by_the_user_applies_to_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set(thread_limits(2).values()) == {"3"}


def test_workers_are_spread_over_the_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    require_module("torch", "torch")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a1")
    variables = worker_environments(torch_config("workers=3"))
    assert [one["CUDA_VISIBLE_DEVICES"] for one in variables] == ["3", "GPU-5a1", "3"]


@pytest.mark.parametrize("config", [torch_config("device=cpu"), load_config("offline")])
def test_a_worker_on_the_cpu_gets_no_gpu(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "CUDA_VISIBLE_DEVICES" not in worker_environments(config)[0]


def test_all_variables_are_restored_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    monkeypatch.delenv("MADE", raising=False)
    before = dict(os.environ)
    with environment({"KEPT": "within"}):
        os.environ["MADE"] = "by a library"
        assert os.environ["KEPT"] == "within"
    assert dict(os.environ) == before
