"""Headers of NumPy files, held against what NumPy wrote, and refused where NumPy would not read them."""

import io

import numpy as np
import pytest

from sluice.modeling.array_headers import array_header


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("shape", [(), (7,), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("kind", ["<f8", "|O", [("a", "<i4"), ("b", "|u1")]])
def test_a_header_says_what_was_written_and_leaves_the_first_byte_of_the_array(
    version: tuple[int, int], shape: tuple[int, ...], kind: object
) -> None:
    array = np.zeros(shape, dtype=np.dtype(kind))  # type: ignore[call-overload]
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    for _ in range(2):  # the second time it is remembered
        stream.seek(0)
        assert array_header(stream) == (shape, array.dtype)
    if not array.dtype.hasobject:
        assert stream.read() == array.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUM",
        b"PK\x03\x04 and more",
        b"\x93NUMPY\x01\x00\x10\x00{}",
        b"\x93NUMPY\x02\x00" + b"\xff" * 9,
    ],
)
def test_what_is_no_header_or_a_longer_one_than_numpy_reads_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?i)magic|header"):
        array_header(io.BytesIO(content))
