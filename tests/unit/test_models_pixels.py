"""An image from outside is decoded whole, or refused in one line before it can do harm."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sluice.core.bounds import IMAGE_BYTES
from sluice.core.errors import BadInput
from sluice.features.pixels import ImageShape, blank_png, decode_png, shape_of
from tests.unit.png_oracle import check_png, pixels_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def saved(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]))))
def test_pixels_come_back_as_they_went_in(pixels: np.ndarray) -> None:
    data = saved(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    np.testing.assert_array_equal(decode_png(data, "here"), pixels)


FRAMES = [Image.new("L", (4, 4), value) for value in (0, 255)]
BOMB = SIGNATURE + header(60_000, 60_000) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
TEXT_BOMB = (
    SIGNATURE
    + header(1, 1)
    + chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 2**27))
    + chunk(b"IDAT", zlib.compress(b"\0\0"))
    + chunk(b"IEND", b"")
)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "is no PNG image"),
        (SIGNATURE, "is no PNG image"),
        (b"GIF89a" + b"\0" * 50, "is no PNG image"),
        (SIGNATURE + header(0, 4) + chunk(b"IEND", b""), "PNG"),
        (
            SIGNATURE + header(5_000, 5_000) + chunk(b"IDAT", b""),
            "25,000,000, and at most 16,777,216 pixels",
        ),
        (BOMB, "PNG"),
        (TEXT_BOMB, "PNG"),
        (saved(Image.new("RGBA", (4, 4))), "colour mode RGBA"),
        (saved(Image.new("1", (4, 4))), "colour mode 1"),
        (saved(Image.new("I;16", (4, 4))), "colour mode I;16"),
        (saved(Image.new("P", (4, 4))), "colour mode P"),
        (saved(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "is animated"),
        (saved(Image.new("L", (40, 40), 3))[:-30], "is a damaged PNG image"),
        (b"\0" * (IMAGE_BYTES.most + 1), "at most 33,554,432 bytes of an image file"),
    ],
)
def test_what_is_no_such_image_is_refused_at_once(data: bytes, named: str) -> None:
    started = time.monotonic()
    with pytest.raises(BadInput) as caught:
        decode_png(data, "lake/7.png")
    message = str(caught.value)
    assert named in message
    assert message.startswith("lake/7.png")
    assert "\n" not in message
    assert time.monotonic() - started < 5


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=2), st.binary(max_size=60))
def test_any_header_with_a_right_checksum_has_its_pixels_or_is_refused(
    width: int, height: int, kind: bytes, content: bytes
) -> None:
    depth, colour = (*kind, 8, 0)[:2]
    data = SIGNATURE + header(width, height, depth, colour) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    check_png(data)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]))),
    st.integers(0, 120),
    st.binary(max_size=3),
)
def test_a_changed_image_has_its_pixels_or_is_refused(pixels: np.ndarray, place: int, change: bytes) -> None:
    data = saved(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    np.testing.assert_array_equal(pixels_of(data), pixels)
    check_png(data[:place] + change + data[place + len(change) :])
    check_png(data[:place])


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 3]))
def test_a_blank_image_has_its_shape(width: int, height: int, channels: int) -> None:
    shape = ImageShape(width, height, channels)
    pixels = decode_png(blank_png(shape), "here")
    assert shape_of(pixels) == shape
    assert not pixels.any()


@pytest.mark.parametrize("sizes", [(0, 8, 1), (8, -1, 1), (8, 8, 2), (8.0, 8, 1), (True, 8, 1), (10**6, 10**6, 1)])
def test_a_shape_that_no_image_has_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="image"):
        ImageShape(*sizes)
