"""Our regressions as a graph, in double precision.

One-hot codes, imputed and scaled numbers, then one product of matrices.
"""

from typing import Any

import numpy as np

from sluice.exporting.graph import Graph, NotExportable


def linear_scores(graph: Graph, pipeline: Any, codes: list[str], numbers: str | None) -> str:  # noqa: ANN401
    """The scores before any link, float64, shape (rows, 1 or classes).

    Args:
        graph: Gets the nodes.
        pipeline: As `sluice.modeling.logistic` fits it for tables: a ColumnTransformer, then a linear estimator.
        codes: Each string column's code as float64, shape (rows,).
        numbers: The numeric columns, shape (rows, numeric columns), NaN for missing; None without any.
    """
    preparation, estimator = pipeline[0], pipeline[-1]
    weights = np.atleast_2d(np.asarray(estimator.coef_, np.float64)).T
    intercept = np.asarray(estimator.intercept_, np.float64).reshape(1, -1)
    terms, start = [], 0
    steps = {name: step for name, step, _ in preparation.transformers_ if name != "remainder"}
    for column, categories in enumerate(steps["codes"].categories_ if codes else []):
        values = np.asarray(categories, np.int64)
        terms.append(_of_codes(graph, codes[column], values, weights[start : start + len(values)]))
        start += len(values)
    if numbers:
        columns, width = _imputed(graph, steps["numbers"], numbers)
        if start + width != len(weights):
            raise NotExportable("the regression has another number of weights than columns")
        terms.append(graph.add("MatMul", columns, graph.constant(weights[start:])))
    if not terms:
        raise NotExportable("the regression takes no column")
    found = graph.constant(intercept)
    for term in terms:
        found = graph.add("Add", term, found)
    return found


def pixel_scores(graph: Graph, pipeline: Any, pixels: str) -> str:  # noqa: ANN401 - scikit-learn has no types
    """The same of a regression on pixels: a StandardScaler, then a linear estimator.

    Args:
        graph: Gets the nodes.
        pipeline: As `sluice.modeling.logistic` fits it for images.
        pixels: float64, shape (rows, values).
    """
    weights = np.atleast_2d(np.asarray(pipeline[-1].coef_, np.float64)).T
    intercept = np.asarray(pipeline[-1].intercept_, np.float64).reshape(1, -1)
    product = graph.add("MatMul", _scaled(graph, pipeline[0], pixels), graph.constant(weights))
    return graph.add("Add", product, graph.constant(intercept))


def _scaled(graph: Graph, scale: Any, columns: str) -> str:  # noqa: ANN401 - as above
    centred = graph.add("Sub", columns, graph.constant(np.asarray(scale.mean_, np.float64)))
    return graph.add("Div", centred, graph.constant(np.asarray(scale.scale_, np.float64)))


def _of_codes(graph: Graph, code: str, values: Any, weights: Any) -> str:  # noqa: ANN401 - arrays
    """What a one-hot column adds: the weights of its code's row; nothing for a code that training never had."""
    table = np.zeros((int(values.max(initial=0)) + 2, weights.shape[1]))
    table[values] = weights
    last = graph.constant(np.int64(len(table) - 1))  # a row of zeros, for codes beyond
    return graph.add("Gather", graph.constant(table), graph.add("Min", code, last), axis=0)


def _imputed(graph: Graph, steps: Any, numbers: str) -> tuple[str, int]:  # noqa: ANN401 - scikit-learn has no types
    """Numbers with medians in their gaps, then marks of the gaps, scaled; and how many columns that makes."""
    impute, scale = steps[0], steps[-1]
    medians = np.asarray(impute.statistics_, np.float64)
    medians = np.where(np.isnan(medians), 0.0, medians)  # keep_empty_features: a column without a value is 0
    missing = graph.add("IsNaN", numbers)
    parts = [graph.add("Where", missing, graph.constant(medians), numbers)]
    width = len(medians)
    if impute.indicator_ is not None and len(impute.indicator_.features_):
        marked = np.asarray(impute.indicator_.features_, np.int64)
        marks = graph.add("Gather", graph.cast(missing, np.float64), graph.constant(marked), axis=1)
        parts.append(marks)
        width += len(marked)
    return _scaled(graph, scale, graph.side_by_side(parts)), width
