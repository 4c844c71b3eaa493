"""A model's forecast as a graph, from feature columns: the same as `predict_proba` and `predict` compute."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sluice.exporting.encoders import codes_of, matrix_of, numbers_of
from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.images import unit_pixels
from sluice.exporting.linear import linear_scores, pixel_scores
from sluice.exporting.trees import tree_scores
from sluice.features.pixels import ImageShape
from sluice.problems.task import Task


def add_model(graph: Graph, model: Any, task: Task, columns: Mapping[str, str]) -> str:  # noqa: ANN401 - any family's
    """Add a model.

    Args:
        graph: Gets the nodes.
        model: As `load_model` gives it.
        task: What it predicts.
        columns: The feature columns in the graph by name: numbers as float64, strings as texts, shape (rows,); or
            images as uint8, shape (rows, height, width, channels).

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
    if isinstance(model.inputs, ImageShape):
        scores = _of_pixels(graph, model, columns[str(task.image)])
        return (
            _numbers(graph, scores, model.estimator)
            if task.regression
            else _probabilities(graph, scores, model.estimator.classes_, len(task.classes))
        )
    encoder = model.inputs
    texts = {name: columns[name] for name in encoder.vocabularies}
    codes = codes_of(graph, encoder, texts)
    numbers = numbers_of(graph, encoder, {name: columns[name] for name in encoder.numeric})
    if hasattr(model.estimator, "_predictors"):
        scores = tree_scores(graph, model.estimator, matrix_of(graph, encoder, codes, numbers))
    else:
        scores = linear_scores(graph, model.estimator, list(codes.values()), numbers)
    return (
        _numbers(graph, scores, model.estimator)
        if task.regression
        else _probabilities(graph, scores, model.estimator.classes_, len(task.classes))
    )


def _of_pixels(graph: Graph, model: Any, pixels: str) -> str:  # noqa: ANN401
    """A regression's scores of images, pixel by pixel; see `sluice.modeling.sklearn_models.design_matrix`."""
    values = model.inputs.values
    flat = graph.add("Reshape", unit_pixels(graph, pixels), graph.constant(np.array([-1, values], np.int64)))
    return pixel_scores(graph, model.estimator, graph.cast(flat, np.float64))


def _numbers(graph: Graph, scores: str, estimator: Any) -> str:  # noqa: ANN401 - scikit-learn has no types
    """Scores to numbers: some losses are of the forecast's logarithm."""
    loss = getattr(estimator, "_loss", None) or getattr(estimator[-1], "_base_loss", None)
    link = type(loss.link).__name__ if loss is not None else "IdentityLink"
    if link not in ("IdentityLink", "LogLink"):
        raise NotExportable(f"a regression by scikit-learn's {link} has no graph")
    return scores if link == "IdentityLink" else graph.add("Exp", scores)


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
