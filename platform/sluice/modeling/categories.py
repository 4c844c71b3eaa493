"""Columns with more values than trees take as categories: class shares by value, so that no value is lost.

Where the label is a number, read "mean label" for "class share" throughout.

Each value gets a number, its training rows' class share, drawn towards the share of all rows the fewer they are (D.
Micci-Barreca, *A Preprocessing Scheme for High-Cardinality Categorical Attributes*, SIGKDD Explorations 3, 2001). A
training row's own label must not be in its number, else trees would read the label from it: training rows get the
shares of the other folds (scikit-learn's TargetEncoder), all other rows those of all training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from sluice.features.encoding import FIRST, MOST_CATEGORIES, OTHER, Encoder, Floats, Integers, learn_encoder
from sluice.modeling.parts import Parts

_FOLDS = 5


def tree_inputs(parts: Parts, seed: int) -> tuple[Encoder, Floats]:
    """The encoder for trees, and the matrix of the training rows.

    The shares are counted without the rows' weights: a weight that follows from the label alone leaves the order of the
    values as it is, and their order is all that trees see.

    Args:
        parts: The training rows are learned from.
        seed: Decides the folds.
    """
    encoder = learn_encoder(parts.train.rows, parts.task)
    codes = encoder.codes(parts.train.rows)
    shares, out_of_fold = {}, []
    for place, (name, values) in enumerate(encoder.vocabularies.items()):
        if len(values) > MOST_CATEGORIES:
            kind = "continuous" if parts.task.regression else "auto"
            column = _class_shares(codes[:, place], parts.train.labels, len(values) + FIRST, seed, kind)
            shares[name] = tuple(map(tuple, column.by_code.tolist()))
            out_of_fold.append(column.out_of_fold)
    encoder = replace(encoder, shares=shares)
    numbers = encoder.numbers(parts.train.rows)
    return encoder, np.hstack([encoder.categories(codes).astype(np.float64), numbers, *out_of_fold])


@dataclass(frozen=True)
class _Shares:
    """Class shares by code, shape (codes, numbers), and for the training rows, shape (rows, numbers)."""

    by_code: Floats
    out_of_fold: Floats


def _class_shares(codes: Integers, labels: npt.NDArray[Any], count: int, seed: int, kind: str) -> _Shares:
    encoder = TargetEncoder(target_type=kind, cv=KFold(_FOLDS, shuffle=True, random_state=seed))
    out_of_fold = encoder.fit_transform(codes[:, np.newaxis], labels)
    by_code = np.tile(np.atleast_1d(encoder.target_mean_), (count, 1))
    by_code[encoder.categories_[0]] = np.stack(encoder.encodings_, axis=1)
    return _Shares(by_code, np.asarray(out_of_fold))


def pooled_values(parts: Parts) -> dict[str, dict[str, int]]:
    """For each string column: its values in training, those with a code of their own, and the rows of the others."""
    encoder = learn_encoder(parts.train.rows, parts.task)
    codes = encoder.codes(parts.train.rows)
    return {
        name: {
            "values": int(parts.train.rows[name].astype("string").nunique()),
            "known": len(values),
            "pooled_rows": int((codes[:, place] == OTHER).sum()),
        }
        for place, (name, values) in enumerate(encoder.vocabularies.items())
    }


def pooled_words(pooled: Mapping[str, Mapping[str, Any]]) -> str:
    """Which columns have values that are not told apart; empty where there are none."""
    said = [
        f"{name} {entry['values'] - entry['known']:,} of {entry['values']:,} ({entry['pooled_rows']:,} rows)"
        for name, entry in pooled.items()
        if entry["values"] > entry["known"]
    ]
    many = [name for name, entry in pooled.items() if entry["known"] > MOST_CATEGORIES]
    words = f"Values seen fewer than 5 times in training are not told apart: {', '.join(said)}." if said else ""
    if many:
        words += (
            f" Trees know the {MOST_CATEGORIES} most frequent values of {', '.join(many)} as categories, and all of "
            "them by their class shares in the training rows (out of fold)."
        )
    return words.strip()
