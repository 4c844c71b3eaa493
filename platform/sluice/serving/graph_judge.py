"""A served model whose graph takes raw rows: nothing runs but onnxruntime."""

from pathlib import Path

from sluice.exporting.forms import Served, as_given
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.served_files import GRAPH, ServedModel, read_served_model
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
        graph = GraphSession(folder / GRAPH, threads, served.digest)
        super().__init__(served, Served(as_given, graph.forecast))
        self._ask = graph.forecast
