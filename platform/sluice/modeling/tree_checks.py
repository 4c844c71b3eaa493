"""Bounds of fitted trees: scikit-learn's compiled code follows a tree's indices without a look.

A file with a child or a feature that is not there would crash the process, or read memory that is not its own, at the
first prediction; skops names the same danger for scikit-learn's other trees. So the indices are checked on reading.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.core.bounds import MODEL_FEATURES

_MOST_CATEGORIES = 256  # the bits that scikit-learn's trees keep for a categorical feature


def check_trees(estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
    """Refuse trees whose indices lead outside their arrays: scikit-learn follows them without a look.

    Raises:
        ValueError: An index is out of range, or a tree could run in a circle.
    """
    features = estimator.n_features_in_
    MODEL_FEATURES.check(features, "the trees' features", "train the model again")
    prepared = estimator._preprocessor.transform(np.zeros((1, features))) if estimator._preprocessor else None
    if prepared is not None and prepared.shape[1] != features:
        raise ValueError("the trees' preparation gives another number of features")
    mapper = estimator._bin_mapper
    categorical = np.asarray(mapper.is_categorical_, dtype=bool)
    if len(categorical) != features or len(mapper.bin_thresholds_) != features:
        raise ValueError("the trees' bins are not for their features")
    for column in np.flatnonzero(categorical):
        known = np.asarray(mapper.bin_thresholds_[column])
        if known.size and (known.min() < 0 or known.max() >= _MOST_CATEGORIES):
            raise ValueError("a category is out of range")
    for tree in (tree for trees in estimator._predictors for tree in trees):
        _check_nodes(tree, categorical)


def _check_nodes(tree: Any, categorical: npt.NDArray[np.bool_]) -> None:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes, bitsets = tree.nodes, tree.raw_left_cat_bitsets
    if nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or not len(nodes):
        raise ValueError("a tree has no nodes")
    places = np.arange(len(nodes))
    inner = nodes["is_leaf"] == 0
    for side in ("left", "right"):
        child = nodes[side][inner]
        if (child >= len(nodes)).any() or (child <= places[inner]).any():
            raise ValueError("a tree's nodes lead outside it")
    used = nodes["feature_idx"][inner]
    if ((used < 0) | (used >= len(categorical))).any():
        raise ValueError("a tree asks for a feature that is not there")
    sets = inner & (nodes["is_categorical"] != 0)
    if not categorical[nodes["feature_idx"][sets]].all() or (nodes["bitset_idx"][sets] >= len(bitsets)).any():
        raise ValueError("a tree's set of categories is not there")
    if bitsets.dtype != np.uint32 or bitsets.ndim != 2 or bitsets.shape[1] * 32 != _MOST_CATEGORIES:
        raise ValueError("a tree's sets of categories have another size")
