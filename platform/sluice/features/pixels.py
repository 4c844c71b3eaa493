"""A table's column of images as the numbers that models take."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.core.bounds import IMAGES_VALUES
from sluice.features.columns import feature_column
from sluice.features.png_images import ImageShape as ImageShape  # who reads columns need not know where one is decoded
from sluice.features.png_images import blank_png as blank_png
from sluice.features.png_images import decode_as as decode_as
from sluice.features.png_images import decode_png as decode_png
from sluice.features.png_images import shape_of as shape_of
from sluice.problems.task import Task


def image_pixels(rows: pd.DataFrame, task: Task, shape: ImageShape) -> npt.NDArray[np.float32]:
    """Decode the task's column of PNG images, which all have one shape.

    Args:
        rows: The column holds the bytes of PNG files.
        task: Names the column.
        shape: What each image must have.

    Returns:
        Shape (rows, height, width, channels), from 0 (black) to 1.

    Raises:
        BadInput: The column is missing; a value is missing, is no readable PNG or has another shape.
    """
    name = str(task.image)
    values = feature_column(rows, name)
    IMAGES_VALUES.check(
        len(rows) * shape.values, f"column {name!r}, {len(rows):,} images of {shape}", "take fewer rows"
    )
    decoded = [decode_as(value, shape, f"column {name!r}, row {row}") for row, value in enumerate(values)]
    empty = np.empty((0, shape.height, shape.width, shape.channels), np.uint8)
    return (np.stack(decoded) if decoded else empty).astype(np.float32) / np.float32(255)
