"""A model's forecast as a graph, from feature columns: the same as `predict_proba` and `predict` compute."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sluice.exporting.encoders import codes_of, matrix_of, numbers_of
from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.linear import linear_scores
from sluice.exporting.trees import tree_scores
from sluice.features.encoding import Encoder
from sluice.problems.task import Task


def add_model(graph: Graph, model: Any, task: Task, columns: Mapping[str, str]) -> str:  # noqa: ANN401 - any family's
    """Add a model.

    Args:
        graph: Gets the nodes.
        model: As `load_model` gives it.
        task: What it predicts.
        columns: The feature columns in the graph by name: numbers as float64, strings as texts, shape (rows,).

    Returns:
        Probabilities, float64, shape (rows, classes); for a number shape (rows, 1).

    Raises:
        NotExportable: The model's family, or something about this model, has no graph.
    """
    family = getattr(model, "family", "")
    if family == "sklearn":
        return _sklearn(graph, model, task, columns)
    if family == "network":
        from sluice.exporting.networks import network_forecast

        return network_forecast(graph, model, columns)
    raise NotExportable(f"a model of the family {family or type(model).__name__!r} has no graph; its own code is run")


def _sklearn(graph: Graph, model: Any, task: Task, columns: Mapping[str, str]) -> str:  # noqa: ANN401
    if not isinstance(model.inputs, Encoder):
        raise NotExportable("a model of images by scikit-learn has no graph")
    encoder = model.inputs
    texts = {name: columns[name] for name in encoder.vocabularies}
    codes = codes_of(graph, encoder, texts)
    numbers = numbers_of(graph, encoder, {name: columns[name] for name in encoder.numeric})
    if hasattr(model.estimator, "_predictors"):
        scores = tree_scores(graph, model.estimator, matrix_of(graph, encoder, codes, numbers))
    else:
        scores = linear_scores(graph, model.estimator, list(codes.values()), numbers)
    return scores if task.regression else _probabilities(graph, scores, model.estimator.classes_, len(task.classes))


def _probabilities(graph: Graph, scores: str, known: Any, classes: int) -> str:  # noqa: ANN401 - an array
    """Scores to probabilities of all classes, 0 for a class that the training rows did not have."""
    known = np.asarray(known, np.int64)
    if len(known) == 2:
        positive = graph.add("Sigmoid", scores)
        found = graph.side_by_side([graph.add("Sub", graph.constant(np.float64(1)), positive), positive])
    else:
        found = graph.add("Softmax", scores, axis=1)
    if np.array_equal(known, np.arange(classes)):
        return found
    spread = np.zeros((len(known), classes))
    spread[np.arange(len(known)), known] = 1.0
    return graph.add("MatMul", found, graph.constant(spread))
