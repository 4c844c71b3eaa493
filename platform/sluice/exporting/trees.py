"""Histogram-based gradient-boosted trees of scikit-learn as one TreeEnsemble, in double precision.

skl2onnx 1.20 makes an ensemble of single precision, whose thresholds are rounded, and fails with today's protobuf; this
one compares the very numbers that scikit-learn compares and adds up in double precision.

Source: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html; a leaf is reached as
`sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx` reaches it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import numpy_helper

from sluice.exporting.graph import ML, Graph, NotExportable

_LESS_OR_EQUAL, _MEMBER = 0, 6
_BITS = 256
_SUM, _NO_TRANSFORM = 1, 0


@dataclass
class _Ensemble:
    """The attributes of a TreeEnsemble, node by node and leaf by leaf."""

    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    nodes: dict[str, list[int]] = field(default_factory=lambda: {side: [] for side in ("true", "false")})
    leaves: dict[str, list[int]] = field(default_factory=lambda: {side: [] for side in ("true", "false")})
    members: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)


def tree_scores(graph: Graph, estimator: Any, matrix: str) -> str:  # noqa: ANN401 - scikit-learn has no types
    """What the trees add up to, baseline included, float64, shape (rows, 1 or classes).

    Args:
        graph: Gets the nodes.
        estimator: A fitted HistGradientBoostingClassifier or -Regressor whose indices `check_trees` has checked.
        matrix: float64, shape (rows, features), as the estimator takes it.
    """
    made, constant = _Ensemble(), np.array(estimator._baseline_prediction, np.float64).reshape(-1)
    for trees in estimator._predictors:
        for target, tree in enumerate(trees):
            if tree.nodes[0]["is_leaf"]:
                constant[target] += tree.nodes[0]["value"]
            else:
                _add_tree(made, tree, target)
    if not made.roots:
        raise NotExportable("no tree of the model has a split")
    scores = graph.add(
        "TreeEnsemble",
        _prepared(graph, estimator, matrix),
        domain=ML,
        n_targets=len(constant),
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=made.roots,
        nodes_featureids=made.features,
        nodes_splits=numpy_helper.from_array(np.array(made.splits, np.float64)),
        nodes_modes=numpy_helper.from_array(np.array(made.modes, np.uint8)),
        nodes_missing_value_tracks_true=made.missing,
        nodes_truenodeids=made.nodes["true"],
        nodes_falsenodeids=made.nodes["false"],
        nodes_trueleafs=made.leaves["true"],
        nodes_falseleafs=made.leaves["false"],
        leaf_targetids=made.targets,
        leaf_weights=numpy_helper.from_array(np.array(made.weights, np.float64)),
        **({"membership_values": numpy_helper.from_array(np.array(made.members))} if made.members else {}),
    )
    return graph.add("Add", scores, graph.constant(constant.reshape(1, -1)))


def _prepared(graph: Graph, estimator: Any, matrix: str) -> str:  # noqa: ANN401 - as above
    """The matrix behind the estimator's own preparation: categories by their place among those it knows."""
    preparation = estimator._preprocessor
    if preparation is None:
        return matrix
    columns = [(name, step, list(picked)) for name, step, picked in preparation.transformers_ if name != "remainder"]
    parts = []
    width = estimator.n_features_in_
    for name, step, picked in _by_place(columns, width):
        part = graph.add("Gather", matrix, graph.constant(np.array(picked, np.int64)), axis=1)
        parts.append(_ordinals(graph, step, part, len(picked)) if name == "encoder" else part)
    return graph.side_by_side(parts)


def _by_place(columns: list[tuple[str, Any, list[Any]]], width: int) -> Iterator[tuple[str, Any, list[int]]]:
    """The transformers with the places of their columns; masks become places."""
    for name, step, picked in columns:
        if picked and isinstance(picked[0], bool | np.bool_):
            places = np.flatnonzero(picked).tolist()
        else:
            places = np.arange(width)[picked].tolist()
        if places:
            yield name, step, places


def _ordinals(graph: Graph, encoder: Any, codes: str, count: int) -> str:  # noqa: ANN401 - as above
    """Each column's codes by their place among the categories, NaN for any other; shape (rows, columns)."""
    found = []
    whole = graph.cast(codes, np.int64)
    for column in range(count):
        categories = np.asarray(encoder.categories_[column], np.float64)
        table = np.full(_BITS, np.nan)
        for place, category in enumerate(categories):
            if np.isnan(category) or category != np.rint(category) or not 0 <= category < _BITS:
                raise NotExportable("a category of the trees is no code")
            table[int(category)] = place
        one = graph.add("Gather", whole, graph.constant(np.int64(column)), axis=1)
        found.append(graph.column(graph.add("Gather", graph.constant(table), one, axis=0)))
    return graph.side_by_side(found)


def _add_tree(made: _Ensemble, tree: Any, target: int) -> None:  # noqa: ANN401 - as above
    nodes = tree.nodes
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    first = len(made.features)
    place = {int(node): first + number for number, node in enumerate(inner)}
    made.roots.append(first)
    for node in inner:
        entry = nodes[node]
        made.features.append(int(entry["feature_idx"]))
        if entry["is_categorical"]:
            made.members += [*_members(tree.raw_left_cat_bitsets[entry["bitset_idx"]]), np.nan]
            made.modes.append(_MEMBER)
            made.splits.append(0.0)
        else:
            made.modes.append(_LESS_OR_EQUAL)
            made.splits.append(float(entry["num_threshold"]))
        made.missing.append(int(entry["missing_go_to_left"]))  # a category that training never saw is missing here
        for side, child in (("true", int(entry["left"])), ("false", int(entry["right"]))):
            is_leaf = bool(nodes[child]["is_leaf"])
            made.leaves[side].append(int(is_leaf))
            made.nodes[side].append(len(made.weights) if is_leaf else place[child])
            if is_leaf:
                made.targets.append(target)
                made.weights.append(float(nodes[child]["value"]))


def _members(bits: Any) -> list[float]:  # noqa: ANN401 - as above
    """The numbers in one of scikit-learn's sets of 256 bits."""
    return [float(number) for number in range(_BITS) if int(bits[number // 32]) >> (number % 32) & 1]
