"""Feature columns as the numbers that models see, in a graph: the same as `sluice.features.encoding` computes."""

import numpy as np

from sluice.exporting.graph import ML, Graph, NotExportable
from sluice.exporting.graph_values import ABSENT
from sluice.features.columns import LARGEST_NUMBER
from sluice.features.encoding import FIRST, MISSING, MOST_CATEGORIES, OTHER, Encoder


def codes_of(graph: Graph, encoder: Encoder, texts: dict[str, str]) -> dict[str, str]:
    """The code of each string column, int64, shape (rows,).

    Args:
        graph: Gets the nodes.
        encoder: What was learned about the columns.
        texts: The columns' texts in the graph, by name.
    """
    return {name: _codes(graph, values, texts[name], name) for name, values in encoder.vocabularies.items()}


def numbers_of(graph: Graph, encoder: Encoder, numbers: dict[str, str]) -> str | None:
    """The numeric columns, float64, shape (rows, numeric columns), NaN beyond LARGEST_NUMBER; None without any."""
    if not encoder.numeric:
        return None
    return graph.matrix([numbers[name] for name in encoder.numeric], LARGEST_NUMBER)


def matrix_of(graph: Graph, encoder: Encoder, codes: dict[str, str], numbers: str | None) -> str:
    """What an estimator sees, as `Encoder.matrix`: codes, numbers, class shares; float64, shape (rows, features)."""
    parts = [graph.column(graph.cast(_category(graph, encoder, name, codes[name]), np.float64)) for name in codes]
    parts += [numbers] if numbers else []
    for name, table in encoder.shares.items():
        parts.append(graph.add("Gather", graph.constant(np.asarray(table, np.float64)), codes[name], axis=0))
    if not parts:
        raise NotExportable("the model takes no column")
    return graph.side_by_side(parts)


def _codes(graph: Graph, values: tuple[str, ...], text: str, name: str) -> str:
    if ABSENT in values:
        raise NotExportable(f"column {name!r} has a value that stands for a missing one in a graph")
    keys = [ABSENT, *values]
    places = [MISSING, *range(FIRST, FIRST + len(values))]
    return graph.add("LabelEncoder", text, domain=ML, keys_strings=keys, values_int64s=places, default_int64=OTHER)


def _category(graph: Graph, encoder: Encoder, name: str, codes: str) -> str:
    """The codes where trees are told class shares beside them: the rarer values have one code together."""
    if name not in encoder.shares:
        return codes
    common = graph.add("Less", codes, graph.constant(np.int64(MOST_CATEGORIES + FIRST)))
    return graph.add("Where", common, codes, graph.constant(np.int64(OTHER)))
