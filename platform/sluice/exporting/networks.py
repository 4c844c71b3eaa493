"""Our neural networks as a graph, in single precision as they were trained; the last step is in double.

Source: `sluice.modeling.network_layers`, layer by layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sluice.exporting.encoders import codes_of, numbers_of
from sluice.exporting.graph import Graph
from sluice.exporting.images import unit_pixels
from sluice.features.encoding import Encoder
from sluice.modeling.networks import IDENTITY, LARGEST_LOG

Arrays = Mapping[str, np.ndarray]


def network_forecast(graph: Graph, model: Any, columns: Mapping[str, str]) -> str:  # noqa: ANN401 - torch
    """Add a network; see `model_graphs.add_model`."""
    state: Arrays = {name: value.detach().cpu().numpy() for name, value in model.network.state_dict().items()}
    layer = (
        _convolutions(graph, state, columns[model.task.image])
        if model.encoder is None
        else _table(graph, state, model.encoder, columns)
    )
    scores = graph.cast(_dense(graph, state, layer), np.float64)
    if model.scale is None:
        return graph.add("Softmax", scores, axis=1)
    told = graph.add("Mul", scores, graph.constant(np.float64(model.scale.spread)))
    told = graph.add("Add", told, graph.constant(np.float64(model.scale.centre)))
    return told if model.scale.link == IDENTITY else _exponential(graph, told)


def _exponential(graph: Graph, logarithm: str) -> str:
    """What `LabelScale.numbers` makes of a logarithm."""
    bounds = [graph.constant(np.float64(bound)) for bound in (-LARGEST_LOG, LARGEST_LOG)]
    return graph.add("Exp", graph.add("Clip", logarithm, *bounds))


def _convolutions(graph: Graph, state: Arrays, pixels: str) -> str:
    """Pixels through three-by-three convolutions with halvings between them; see `network_layers.ImageNetwork`."""
    layer = graph.add("Transpose", unit_pixels(graph, pixels), perm=[0, 3, 1, 2])
    places = sorted({int(name.split(".")[1]) for name in state if name.startswith("convolutions.")})
    for place in places:
        if place != places[0]:
            layer = graph.add("MaxPool", layer, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        weight, bias = (graph.constant(state[f"convolutions.{place}.{part}"]) for part in ("weight", "bias"))
        layer = graph.add("Relu", graph.add("Conv", layer, weight, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    return graph.add("Flatten", layer, axis=1)


def _table(graph: Graph, state: Arrays, encoder: Encoder, columns: Mapping[str, str]) -> str:
    """What the first hidden layer takes of a table's row."""
    texts = {name: columns[name] for name in encoder.vocabularies}
    codes = codes_of(graph, encoder, texts)
    numbers = numbers_of(graph, encoder, {name: columns[name] for name in encoder.numeric})
    parts = _pieces(graph, state, graph.cast(numbers, np.float32)) if numbers else []
    for place, code in enumerate(codes.values()):
        parts.append(graph.add("Gather", graph.constant(state[f"embeddings.{place}.weight"]), code, axis=0))
    return graph.side_by_side(parts)


def _pieces(graph: Graph, state: Arrays, numbers: str) -> list[str]:
    """Numbers as positions between quantiles, then marks of the missing ones."""
    low, slope = state["numbers.low"], state["numbers.slope"]
    missing = graph.add("IsNaN", numbers)
    there = graph.add("Sub", graph.constant(np.float32(1)), graph.cast(missing, np.float32))
    known = graph.add("Where", missing, graph.constant(np.float32(0)), numbers)
    axis = graph.constant(np.array([2], np.int64))
    above = graph.add("Sub", graph.add("Unsqueeze", known, axis), graph.constant(low))
    inside = graph.add(
        "Clip",
        graph.add("Mul", above, graph.constant(slope)),
        graph.constant(np.float32(0)),
        graph.constant(np.float32(1)),
    )
    kept = graph.add("Mul", inside, graph.add("Unsqueeze", there, axis))
    flat = graph.add("Reshape", kept, graph.constant(np.array([-1, low.size], np.int64)))
    return [flat, graph.cast(missing, np.float32)] if low.size else []


def _dense(graph: Graph, state: Arrays, found: str) -> str:
    places = sorted({int(name.split(".")[1]) for name in state if name.startswith("layers.")})
    for place in places:
        weight, bias = state[f"layers.{place}.weight"], state[f"layers.{place}.bias"]
        found = graph.add("Gemm", found, graph.constant(weight), graph.constant(bias), transB=1)
        found = graph.add("Relu", found) if place != places[-1] else found
    return found
