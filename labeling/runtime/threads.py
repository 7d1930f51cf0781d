"""Thread limits for models, where several processes share the cores of a machine."""

import os

from configs.environment import OMP_NUM_THREADS


def thread_limit() -> int | None:
    """Return OMP_NUM_THREADS, which torch, BLAS, Dask and Ray also follow; None: use all cores.

    Each of several workers on one machine gets its share of the cores this way.
    """
    return OMP_NUM_THREADS.read()


def available_cores() -> int:
    """Return the cores that this process may use: in a container or a batch job, fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bound_image_threads() -> None:
    """Set OpenCV's limit for this process: OpenCV reads no variable."""
    if limit := thread_limit():
        import cv2

        cv2.setNumThreads(limit)
