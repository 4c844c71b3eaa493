"""What NumPy files say of themselves, read fast: a model of trees has thousands of them, with few different headers."""

import functools
import io
from typing import IO, Any

import numpy as np

_MAGIC_BYTES = 8
_LONGEST_HEADER = 10_000  # bytes; NumPy itself takes no longer one from a file that it does not trust
_REMEMBERED = 1024


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array at the beginning of a stream, which then stands at its first byte.

    Args:
        stream: A NumPy file (format versions 1.0 to 3.0).

    Raises:
        ValueError: It is none, or its header is longer than NumPy would read.
    """
    head = stream.read(_MAGIC_BYTES)
    size = stream.read(2 if head[6:7] == b"\x01" else 4)
    length = int.from_bytes(size, "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    return _parsed(head + size + stream.read(length))


@functools.lru_cache(_REMEMBERED)
def _parsed(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    stream = io.BytesIO(header)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    return shape, kind
