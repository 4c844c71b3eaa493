"""Memory that nobody uses any more, back to the system: allocators keep it for a next time that may never come."""

import ctypes
import sys
from contextlib import suppress


def give_back() -> None:
    """Give back what the C library and Arrow, where it is loaded, keep for themselves; elsewhere than on glibc nothing.

    Between two stages that each need much memory, so that one's leftovers do not stand beside the other's needs.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # macOS and musl have no such function
        ctypes.CDLL(None).malloc_trim(0)
