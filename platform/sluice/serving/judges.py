"""From a served folder to what answers: the graph alone, a query before it, or the model's own code."""

from pathlib import Path

from sluice.exporting.served_files import read_served_model
from sluice.serving.judging import FormJudge
from sluice.storage.stores import Store


def open_judge(folder: Path, *, threads: int = 1, store: Store | None = None) -> FormJudge:
    """Load a served model, and try it once.

    Args:
        folder: With `serving.json`, such as `sluice.running.model_export.published` gives it, files checked.
        threads: That a graph may use in one call.
        store: Where the model's own code and tables are, for models that need them; by default the environment's.

    Returns:
        What answers. Only a model whose features or forecast are by code imports pandas and what the model needs.

    Raises:
        BadInput: A file is missing, garbled or of another model, or something behind the model is gone.
        EnvironmentFault: The store failed.
    """
    served = read_served_model(folder)
    if served.forecast == "graph" and served.features in ("graph", "given"):
        from sluice.serving.graph_judge import GraphJudge

        return GraphJudge(folder, threads, served)
    if served.forecast == "graph" and served.features == "query":
        from sluice.serving.query_judge import QueryJudge

        return QueryJudge(folder, threads, served)
    from sluice.serving.native_judge import NativeJudge
    from sluice.storage.locations import default_store

    return NativeJudge(folder, threads, served, store or default_store())
