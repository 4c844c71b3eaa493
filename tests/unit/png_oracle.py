"""A PNG decoder of a page, without Pillow: 8-bit grey or colour, not interlaced, every chunk's checksum right."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from sluice.core.errors import BadInput
from sluice.features.pixels import decode_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAID = (
    "is no PNG image",
    "is a damaged PNG image (",
    "has colour mode",
    "at most 16,777,216 pixels",
    "is animated",
)


def check_png(data: bytes) -> None:
    """Decoded pixels are those of the file; what is refused is no plain image, and the refusal says why."""
    wanted = pixels_of(data)
    try:
        found = decode_png(data, "here")
    except BadInput as error:
        message = str(error)
        assert message.startswith(("here ", "here: "))
        assert any(said in message for said in SAID), message
        assert wanted is None, f"{message}, yet it is a right image"
        if not data.startswith(SIGNATURE):
            assert "is no PNG image" in message
    else:
        assert data.startswith(SIGNATURE)
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted)


def pixels_of(data: bytes) -> np.ndarray | None:
    """The pixels, shape (height, width, channels); None where a strict reader would not give any."""
    try:
        chunks = list(_chunks(data))
        width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
        plain = chunks[0][0] == b"IHDR" and depth == 8 and colour in (0, 2) and rest == [0, 0, 0]
        known = {kind for kind, _ in chunks} == {b"IHDR", b"IDAT", b"IEND"} and chunks[-1] == (b"IEND", b"")
        if not (plain and known and 0 < width * height <= 2**24):
            return None
        channels = 1 if colour == 0 else 3
        raw = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
        if len(raw) != height * (1 + width * channels):
            return None
        return _unfiltered(raw, height, width * channels, channels).reshape(height, width, channels)
    except (struct.error, zlib.error, ValueError, IndexError):
        return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(SIGNATURE):
        raise ValueError("no signature")
    place = len(SIGNATURE)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        if zlib.crc32(kind + content) != checksum:
            raise ValueError("checksum")
        yield kind, content
        place += 12 + length


def _unfiltered(raw: bytes, height: int, width: int, step: int) -> np.ndarray:
    """PNG specification, section 9: filters None, Sub, Up, Average, Paeth."""
    rows = np.zeros((height + 1, width + step), int)
    for y in range(height):
        line = raw[y * (width + 1) : (y + 1) * (width + 1)]
        for x in range(width):
            left, up, corner = (int(v) for v in (rows[y + 1, x], rows[y, x + step], rows[y, x]))
            paeth = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            predicted = (0, left, up, (left + up) // 2, paeth)[line[0]]
            rows[y + 1, x + step] = (line[x + 1] + predicted) % 256
    return rows[1:, step:].astype(np.uint8)
