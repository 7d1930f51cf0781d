"""How many threads a model may use where several processes share a machine's cores."""

import os


def thread_limit() -> int | None:
    """OMP_NUM_THREADS, which torch, BLAS, Dask and Ray go by too; None: it is not set, take all cores.

    Each of several workers on one machine is given its share of the cores in it.
    """
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isdecimal() and int(outermost) else None


def available_cores() -> int:
    """Cores that this process may run on: in a container or a batch job, fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bound_image_threads() -> None:
    """Tell OpenCV of the limit, for this process: it reads no variable."""
    limit = thread_limit()
    if limit:
        import cv2

        cv2.setNumThreads(limit)
