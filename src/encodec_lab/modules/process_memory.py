"""The C library's habit of giving memory back, which costs time where tensors are large."""

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for its next allocations; returns whether the C library can (glibc can).

    The maps of a training step, and of half a minute that is encoded in one go, are larger than what glibc keeps by
    itself (32 MB), and a fresh page must be cleared by the kernel before it is used: every time again. The process
    stays as large as it has been at most, and grows at first beyond what it needs, where freed pieces do not fit. It is
    for programs that do such work and end; a notebook or a test goes on to other things.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # No allocation by mmap, whose memory goes back when it is freed; and the heap never shrinks.
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, -1))
