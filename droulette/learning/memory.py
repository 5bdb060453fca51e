"""Memory that training takes and frees."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[None]:
    """What is freed stays with the C library, for the next allocation, instead of going back to the system.

    Each training step allocates what the last one freed, and the system would fill each page of it with zeros again:
    a seventh of resnet50's step. Does nothing where the C library is not GNU's. Its settings, by their numbers in
    malloc.h, are set to their defaults afterwards, and the memory is given back.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    trim_threshold, mmap_most, arenas_most = -1, -4, -8
    library.mallopt(arenas_most, 1)  # other arenas hold no more than 64 MiB
    library.mallopt(mmap_most, 0)
    library.mallopt(trim_threshold, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(trim_threshold, 128 * 1024)
        library.mallopt(mmap_most, 65536)
        library.mallopt(arenas_most, 0)
        library.malloc_trim(0)
