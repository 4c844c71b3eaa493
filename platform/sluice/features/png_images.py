"""From the bytes of a PNG file to pixels, with limits: an image is data from outside, and may be broken or a bomb.

Training and the server of models decode by this module, which needs neither pandas nor torch.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.core.bounds import IMAGE_BYTES, IMAGE_PIXELS
from sluice.core.errors import BadInput

Pixels = npt.NDArray[np.uint8]

CHANNELS = {"L": 1, "RGB": 3}
"""Colour modes that models take, in Pillow's names, with their 8-bit channels."""


@dataclass(frozen=True)
class ImageShape:
    """An image's width and height in pixels, and its 8-bit channels (1 is grey, 3 is red, green and blue)."""

    width: int
    height: int
    channels: int

    def __post_init__(self) -> None:
        numbers = (self.width, self.height, self.channels)
        if any(type(number) is not int or number < 1 for number in numbers):
            raise ValueError("an image's width, height and channels are whole numbers from 1")
        if self.width * self.height > IMAGE_PIXELS.most or self.channels not in CHANNELS.values():
            raise ValueError(f"an image has at most {IMAGE_PIXELS.most:,} pixels and 1 or 3 channels")

    @property
    def values(self) -> int:
        """How many numbers its pixels are."""
        return self.width * self.height * self.channels

    def __str__(self) -> str:
        return f"{self.width} x {self.height} {'grey' if self.channels == 1 else 'colour'}"


def decode_png(data: bytes, where: str, shape: ImageShape | None = None) -> Pixels:
    """Decode a PNG image.

    Args:
        data: The file's bytes.
        where: Names the image in errors.
        shape: What it must have; None for any. Another one is refused before anything is unpacked.

    Returns:
        Shape (height, width, channels).

    Raises:
        BadInput: It is no PNG, is truncated or damaged, too large, animated, or neither 8-bit grey nor RGB.
    """
    from PIL import Image, UnidentifiedImageError

    IMAGE_BYTES.check(len(data), where, "shrink the image")
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        _check_header(image, where, shape)
        image.load()
        pixels = np.asarray(image, dtype=np.uint8)
    except BadInput:
        raise
    except UnidentifiedImageError:
        raise BadInput(f"{where} is no PNG image; export it as PNG") from None
    except Exception as error:  # noqa: BLE001 - damaged bytes make Pillow raise nearly anything
        raise BadInput(f"{where} is a damaged PNG image ({error}); export it again") from None
    return pixels.reshape(image.height, image.width, CHANNELS[image.mode])


def blank_png(shape: ImageShape) -> bytes:
    """A black image of a shape."""
    from PIL import Image

    mode = next(name for name, channels in CHANNELS.items() if channels == shape.channels)
    stream = io.BytesIO()
    Image.new(mode, (shape.width, shape.height)).save(stream, "PNG")
    return stream.getvalue()


def shape_of(pixels: Pixels) -> ImageShape:
    """The shape of a decoded image."""
    height, width, channels = pixels.shape
    return ImageShape(width, height, channels)


def decode_as(value: object, shape: ImageShape, where: str) -> Pixels:
    """Decode a value that must be a PNG image of one shape.

    Args:
        value: The file's bytes.
        shape: What it must have.
        where: Names the value in errors.

    Returns:
        Shape (height, width, channels).

    Raises:
        BadInput: It is something else; see `decode_png`.
    """
    if not isinstance(value, bytes | bytearray):
        raise BadInput(f"{where}: {type(value).__name__} where the bytes of a PNG image are wanted")
    return decode_png(bytes(value), where, shape)


def _check_header(image: Any, where: str, shape: ImageShape | None) -> None:  # noqa: ANN401 - Pillow, imported late
    """Refuse by the header alone, before a small file can unfold to gigabytes."""
    IMAGE_PIXELS.check(image.width * image.height, where, "shrink the image")
    if image.mode not in CHANNELS:
        raise BadInput(f"{where} has colour mode {image.mode}; convert it to 8-bit grey (L) or colour (RGB)")
    if getattr(image, "n_frames", 1) > 1:
        raise BadInput(f"{where} is animated; keep one frame of it")
    found = ImageShape(image.width, image.height, CHANNELS[image.mode])
    if shape is not None and found != shape:
        raise BadInput(f"{where}: the image is {found} where {shape} is wanted; resize it")
