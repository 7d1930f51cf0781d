"""Keeping a long run's memory at what one shard needs."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
MAPPED_FROM_BYTES = 4 << 20
"""Arrays of this size and more go back to the system when they are freed. glibc's own threshold rises
to 32 MB as such arrays are freed, and what is left in the heaps between small blocks stays there: a run
on ten shards then took 1.12 times the memory of one shard, with this 1.02, for 2 to 4 % more time."""

LEAKED_OBJECTS = 200_000
"""More than lives of any page of rows; some 20 MB."""


def bound_heaps() -> None:
    """Fix the size from which memory is mapped, for this process. Nothing happens elsewhere than on glibc."""
    mallopt = _glibc("mallopt")
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


def release_memory() -> None:
    """Give memory back to the system between two shards.

    PyAV's containers and decoders refer to each other in circles that hold some 4 MB each until the
    collector happens to come by, and glibc keeps freed images in the heaps of threads that ended.
    Elsewhere than on glibc only the circles are broken.
    """
    gc.collect()
    trim = _glibc("malloc_trim")
    if trim:
        trim(0)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let Python's collector come by when so much lives that something must have leaked.

    Else it walks through everything alive, all libraries included, each time that some pages of rows
    were read, which nothing in circles refers to: half the time of reading a million.
    """
    usual = gc.get_threshold()
    gc.set_threshold(LEAKED_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _glibc(function: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
