"""Models that judge images, as they are served: the decoder of the training, then a graph from pixels on."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sluice.core.errors import BadInput
from sluice.exporting.refusals import WrongValues
from sluice.features.png_images import ImageShape, decode_as

_VALUES_AT_ONCE = 2**18
"""Pixel values that one run of a graph takes: a convolution makes a hundred bytes and more of each."""
Columns = Mapping[str, np.ndarray]


class ImageForecast:
    """A forecast from the bytes of PNG files: decoded and judged in parts, so that memory holds some of them.

    Args:
        column: The column with the files' bytes, an array of objects of shape (rows,).
        shape: What each image must have.
        graph: The forecast from pixels, uint8, shape (rows, height, width, channels).
    """

    def __init__(self, column: str, shape: ImageShape, graph: Callable[[Columns], Any]) -> None:
        self._column, self._shape, self._graph = column, shape, graph
        self._rows = max(1, _VALUES_AT_ONCE // shape.values)

    def __call__(self, columns: Columns) -> Any:  # noqa: ANN401 - an array
        """Forecasts, shape (rows, classes) or (rows, 1).

        Raises:
            WrongValues: Files are no PNG images of the shape; all of them are told.
        """
        files, found, wrong = columns[self._column], list[Any](), list[tuple[int, str, str]]()
        for start in range(0, len(files), self._rows):
            pixels = self._decoded(files[start : start + self._rows], start, wrong)
            if not wrong:
                found.append(self._graph({self._column: pixels}))
        if wrong:
            raise WrongValues(wrong)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _decoded(self, files: np.ndarray, start: int, wrong: list[tuple[int, str, str]]) -> np.ndarray:
        shape = self._shape
        pixels = np.empty((len(files), shape.height, shape.width, shape.channels), np.uint8)
        for place, file in enumerate(files):
            try:
                pixels[place] = decode_as(file, shape, self._column)
            except BadInput as error:
                wrong.append((start + place, self._column, str(error)))
        return pixels
