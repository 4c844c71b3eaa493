"""From a served folder to what answers: the graph alone, a query before it, or the model's own code."""

from importlib.util import find_spec
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.exporting.served_files import ServedModel, read_served_model
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
    _check_libraries(served)
    from sluice.serving.native_judge import NativeJudge
    from sluice.storage.locations import default_store

    return NativeJudge(folder, threads, served, store or default_store())


def _check_libraries(served: ServedModel) -> None:
    """See that a model's own code finds its libraries: the image of the model server has those of graphs alone.

    Raises:
        BadInput: One is missing.
    """
    missing = [name for name in ("ibis", "pandas", "pyarrow", "sklearn") if find_spec(name) is None]
    if missing:
        what = "features are made" if served.features == "code" else "forecasts are made"
        raise BadInput(
            f"{served.model}: its {what} by code, and {', '.join(missing)} is not installed here: serve it in the "
            "steps' image (modelServers: image: tabular, or torch for networks), or install `sluice[all]`"
        )
