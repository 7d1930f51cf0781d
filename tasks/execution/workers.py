"""Processes that work on shards: what each of them is given, and how one begins.

A process begins here before it has numpy or torch, which read the environment when they are loaded.
"""

import importlib.util
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labeling.runtime.threads import available_cores, thread_limit

if TYPE_CHECKING:
    from configs.models import RunConfig

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"


def thread_limits(workers: int) -> dict[str, str]:
    """Variables by which each of so many processes of this machine knows its share of the cores.

    Where OMP_NUM_THREADS is set already it stays: it counts for each process by its nature.
    """
    threads = thread_limit() or max(1, available_cores() // workers)
    return {name: os.environ.get(name, str(threads)) for name in _THREAD_LIMITS}


def worker_environments(config: "RunConfig") -> list[dict[str, str]]:
    """The variables of each of `config.workers` processes of this machine: its threads and its GPU.

    Where there are fewer GPUs than workers, several have the same one.
    """
    limits, devices = thread_limits(config.workers), _visible_devices(config)
    return [
        limits | ({_DEVICES: devices[number % len(devices)]} if devices else {})
        for number in range(config.workers)
    ]


def may_use_gpus(config: "RunConfig") -> bool:
    """Whether torch is here and a segmenter is of a kind that runs on it; a user's own code may be."""
    kinds = {block.kind for block in config.segmenters().values()}
    wants_torch = bool(kinds & {"torchvision", "torchscript", "python"})
    return config.device != "cpu" and wants_torch and importlib.util.find_spec("torch") is not None


def _visible_devices(config: "RunConfig") -> list[str]:
    """GPUs that the run may use, as CUDA names them; torch is asked only where a model may want it."""
    if not may_use_gpus(config):
        return []
    if _DEVICES in os.environ:
        return [name.strip() for name in os.environ[_DEVICES].split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """These variables, for processes that are started within the block; afterwards all are as before,
    whatever a library set."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def begin_worker(given: Mapping[str, str]) -> None:
    """Make this new process a worker: with its share of the machine, for as long as its parent lives."""
    os.environ.update(given)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to answer
    threading.Thread(target=_follow_parent, name="follow-parent", daemon=True).start()


def _follow_parent() -> None:
    """End at once when the parent has ended: after its kill -9 nobody else would end us."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
