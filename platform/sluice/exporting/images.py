"""Images in graphs: their shape, and from pixels to the numbers that models see."""

from typing import Any

import numpy as np

from sluice.exporting.graph import Graph, NotExportable
from sluice.features.png_images import ImageShape


def image_shape(model: Any) -> ImageShape:  # noqa: ANN401 - any family's
    """The shape of the images that a model takes.

    Raises:
        NotExportable: The model does not say.
    """
    sizes = getattr(model, "sizes", None)
    found = getattr(model, "inputs", None) if sizes is None else getattr(sizes, "image", None)
    if not isinstance(found, ImageShape):
        family = getattr(model, "family", "") or type(model).__name__
        raise NotExportable(f"a model of the family {family!r} does not say what shape its images have")
    return found


def unit_pixels(graph: Graph, pixels: str) -> str:
    """Pixels from 0 (black) to 1, float32, as `sluice.features.pixels.image_pixels` computes them."""
    return graph.add("Div", graph.cast(pixels, np.float32), graph.constant(np.float32(255)))
