"""Processes that label shards: the environment of each, and how one starts.

A worker process starts here before it imports numpy or torch, which read the environment on import.
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
    """Return the variables that give each of `workers` processes its share of this machine's cores.

    OMP_NUM_THREADS is kept where it is set: it is already a limit per process.
    """
    threads = thread_limit() or max(1, available_cores() // workers)
    return {name: os.environ.get(name, str(threads)) for name in _THREAD_LIMITS}


def worker_environments(config: "RunConfig") -> list[dict[str, str]]:
    """Return the variables of each of `config.workers` processes of this machine: threads and GPU.

    With fewer GPUs than workers, several workers share one.
    """
    limits, devices = thread_limits(config.workers), _visible_devices(config)
    return [
        limits | ({_DEVICES: devices[number % len(devices)]} if devices else {})
        for number in range(config.workers)
    ]


def may_use_gpus(config: "RunConfig") -> bool:
    """Return whether torch is installed and a segmenter may run on it, as a user's own code may."""
    kinds = {block.kind for block in config.segmenters().values()}
    uses_torch = bool(kinds & {"torchvision", "torchscript", "python"})
    return config.device != "cpu" and uses_torch and importlib.util.find_spec("torch") is not None


def _visible_devices(config: "RunConfig") -> list[str]:
    """Return the GPUs that the run may use, by CUDA's names; imports torch only if a model may use it."""
    if not may_use_gpus(config):
        return []
    if _DEVICES in os.environ:
        return [name.strip() for name in os.environ[_DEVICES].split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes started in the block; restore all afterwards, also those a library set."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def begin_worker(variables: Mapping[str, str]) -> None:
    """Set up this new process as a worker that ends with its parent."""
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles a terminal's Ctrl-C
    threading.Thread(target=_follow_parent, name="follow-parent", daemon=True).start()


def _follow_parent() -> None:
    """Exit as soon as the parent process has ended, which may have been by kill -9."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
