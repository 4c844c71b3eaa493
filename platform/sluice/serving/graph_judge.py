"""A served model whose graph takes raw rows: nothing runs but onnxruntime."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice.core.errors import BadInput
from sluice.exporting.forms import Served, as_given
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.served_files import GRAPH, RowField, ServedModel, read_served_model
from sluice.serving.judging import FormJudge


class GraphJudge(FormJudge):
    """A folder with a served model, loaded and warm.

    Args:
        folder: With `serving.json` and `model.onnx`.
        threads: That one call may use.
        served: What the folder holds, where it was read already.

    Raises:
        BadInput: A file is missing or garbled, or they are of different models.
    """

    def __init__(self, folder: Path, threads: int = 1, served: ServedModel | None = None) -> None:
        served = served or read_served_model(folder)
        forecast: Callable[..., Any] = GraphSession(folder / GRAPH, threads, served.digest).forecast
        if image := next((field for field in served.fields if field.shape is not None), None):
            forecast = _of_files(image, forecast)
        super().__init__(served, Served(as_given, forecast))
        self._ask = forecast


def _of_files(image: RowField, graph: Callable[..., Any]) -> Callable[..., Any]:
    """The forecast of PNG files, whose decoder only such models need."""
    from sluice.exporting.image_forecast import ImageForecast
    from sluice.features.png_images import ImageShape

    assert image.shape is not None, "asked before"  # noqa: S101
    if importlib.util.find_spec("PIL") is None:
        raise BadInput(
            f"{image.name} is an image, and pillow, which decodes it, is not installed here; install the extra `images`"
        )
    return ImageForecast(image.name, ImageShape(*image.shape), graph)
