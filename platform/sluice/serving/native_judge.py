"""A served model that needs the store: the project's code makes its features, or its own code forecasts, or both.

What a request does not change is done once: code and model are loaded, the tables that features rest on are read, and
the expression over them is planned.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sluice.artifacts.bundles import bundle_key, local_copy, open_bundle
from sluice.artifacts.provenance import ancestry
from sluice.core.errors import BadInput
from sluice.exporting.forms import Features, Served, as_given, kinds_of, query_features
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.refusals import NotExportable
from sluice.exporting.served_files import GRAPH, ServedModel, Source
from sluice.serving.judging import FormJudge
from sluice.storage.stores import Store


class NativeJudge(FormJudge):
    """A folder with a served model, loaded and warm; `close` lets go of the tables.

    Args:
        folder: With `serving.json`, and `model.onnx` where that forecasts.
        threads: That a graph may use in one call.
        served: What the folder holds.
        store: Where the models, the project's code and the tables are.

    Raises:
        BadInput: Something of it is gone or was changed.
        EnvironmentFault: The store failed.
    """

    def __init__(self, folder: Path, threads: int, served: ServedModel, store: Store) -> None:
        if served.source is None:
            raise BadInput(f"{folder} does not say where the model's own files are; export the model again")
        with ExitStack() as stack:
            features = self._features(served, served.source, store, stack)
            if served.forecast == "graph":
                forecast: Callable[[Mapping[str, np.ndarray]], Any] = GraphSession(
                    folder / GRAPH, threads, served.digest
                ).forecast
            else:
                forecast = _own_forecast(served, served.source, store, stack)
            self._held = stack.pop_all()
        super().__init__(served, Served(features, forecast, self._held.close))

    @staticmethod
    def _features(served: ServedModel, source: Source, store: Store, stack: ExitStack) -> Features:
        if served.features == "given":
            return as_given
        try:
            if served.query is not None:
                return query_features(served.query, kinds_of(served), served.takes).ask
            from sluice.exporting.code_features import CodeFeatures
            from sluice.features.preparations import preparation_of

            made = preparation_of(ancestry(store, source.models))
            if made is None:
                raise BadInput(f"no step prepare stands behind models/{source.models[:12]}; export the model again")
            features = CodeFeatures(made, served.takes, store)
        except NotExportable as error:
            raise BadInput(f"{served.model}: {error}; export the model again") from None
        stack.callback(features.close)
        return features.make


def _own_forecast(
    served: ServedModel, source: Source, store: Store, stack: ExitStack
) -> Callable[[Mapping[str, np.ndarray]], Any]:
    """The model's own code; its files are those that were registered, by their digest."""
    from sluice.exporting.forms import code_forecast
    from sluice.modeling.model_digests import check_digest
    from sluice.modeling.model_files import load_model, read_task

    bundle = open_bundle(f"{store.uri}/{bundle_key('model', source.models)}", "model")
    files = stack.enter_context(local_copy(bundle)) / source.candidate
    check_digest(files, served.digest, f"{bundle.uri}/{source.candidate}")
    return code_forecast(load_model(files), read_task(files), served.takes)
