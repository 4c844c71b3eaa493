"""Our neural networks for tables as a graph, in single precision as they were trained; the last step is in double.

Source: `sluice.modeling.network_layers`, layer by layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sluice.exporting.encoders import codes_of, numbers_of
from sluice.exporting.graph import Graph, NotExportable

Arrays = Mapping[str, np.ndarray]


def network_forecast(graph: Graph, model: Any, columns: Mapping[str, str]) -> str:  # noqa: ANN401 - torch
    """Add a network; see `model_graphs.add_model`."""
    encoder = model.encoder
    if encoder is None:
        raise NotExportable("a network for images has no graph yet")
    state: Arrays = {name: value.detach().cpu().numpy() for name, value in model.network.state_dict().items()}
    texts = {name: columns[name] for name in encoder.vocabularies}
    codes = codes_of(graph, encoder, texts)
    numbers = numbers_of(graph, encoder, {name: columns[name] for name in encoder.numeric})
    parts = _pieces(graph, state, graph.cast(numbers, np.float32)) if numbers else []
    for place, code in enumerate(codes.values()):
        parts.append(graph.add("Gather", graph.constant(state[f"embeddings.{place}.weight"]), code, axis=0))
    scores = graph.cast(_dense(graph, state, graph.side_by_side(parts)), np.float64)
    if model.scale is None:
        return graph.add("Softmax", scores, axis=1)
    scaled = graph.add("Mul", scores, graph.constant(np.float64(model.scale.spread)))
    return graph.add("Add", scaled, graph.constant(np.float64(model.scale.centre)))


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
