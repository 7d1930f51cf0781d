"""Limits on a process's memory: a long run should use no more than one shard needs."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_MMAP_THRESHOLD = -3
"""From glibc's malloc.h."""
MAPPED_FROM_BYTES = 4 << 20
"""Arrays of this size and larger return to the system when they are freed. By default glibc raises its threshold to
32 MB when such arrays are freed, and their memory stays in the heaps between small blocks: a run of ten shards then
took 1.12 times the memory of one shard, with this limit 1.02, for 2 to 4 % more time."""

LEAKED_OBJECTS = 200_000
"""More objects than any page of rows allocates (about 20 MB)."""


def bound_heaps() -> None:
    """Set the size from which this process's memory is mapped; only glibc supports it."""
    if mallopt := _glibc("mallopt"):
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def release_memory() -> None:
    """Return unused memory to the system between two shards.

    PyAV's containers and decoders refer to each other in cycles of about 4 MB, which stay until the garbage collector
    runs. glibc keeps freed images in the heaps of threads that ended; other C libraries only get the collection.
    """
    gc.collect()
    if trim := _glibc("malloc_trim"):
        trim(0)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Run Python's garbage collector only after so many new objects that something must have leaked.

    It otherwise visits all objects, those of all libraries included, after every few pages of rows, although rows
    form no cycles: that is half the time of reading a million.
    """
    usual = gc.get_threshold()
    gc.set_threshold(LEAKED_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _glibc(function: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
