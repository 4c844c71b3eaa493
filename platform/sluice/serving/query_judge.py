"""A served model whose features no graph can say, but one query over a row: DuckDB makes them, a graph forecasts."""

from pathlib import Path

from sluice.core.errors import BadInput
from sluice.exporting.forms import Served, kinds_of, query_features
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.refusals import NotExportable
from sluice.exporting.served_files import DESCRIPTION, GRAPH, ServedModel
from sluice.serving.judging import FormJudge


class QueryJudge(FormJudge):
    """A folder with a served model, loaded and warm.

    Args:
        folder: With `serving.json`, which holds the query, and `model.onnx`.
        threads: That the graph may use in one call.
        served: What the folder holds.

    Raises:
        BadInput: A file is missing or garbled, or they are of different models.
    """

    def __init__(self, folder: Path, threads: int, served: ServedModel) -> None:
        graph = GraphSession(folder / GRAPH, threads, served.digest)
        if served.query is None:
            raise BadInput(f"{folder / DESCRIPTION} holds no query; export the model again")
        try:
            features = query_features(served.query, kinds_of(served), served.takes)
        except NotExportable as error:
            raise BadInput(f"{folder / DESCRIPTION}: {error}; export the model again") from None
        super().__init__(served, Served(features.ask, graph.forecast))
