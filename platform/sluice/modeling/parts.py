"""The rows to learn from, and those to judge by while learning. The test rows are never read.

Where rows were sampled with unequal probabilities, each carries a weight, one over its inclusion probability. Every
family learns, stops and chooses its round with these weights, so that a model speaks of the population and not of the
sample. Within a part they are scaled to mean 1: a penalty, a prior and a learning rate then keep their meaning.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.artifacts.bundles import Bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.engine.row_counts import reconcile
from sluice.features.encoding import Floats, Integers
from sluice.problems.registry import OpenedProblem, wrong_label
from sluice.problems.row_groups import effective_rows, row_weights
from sluice.problems.task import Task, task_of
from sluice.sampling.folds import folds_of

_SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Part:
    """Some rows.

    Attributes:
        rows: The feature columns, and the key's where the table has them; for a regression also the group and the time
            of each row. The weights are never among them.
        labels: The label's codes (int64), or the numbers to forecast (float64), shape (rows,).
        weights: What each row counts, shape (rows,), with mean 1; None where every row counts the same.
    """

    rows: pd.DataFrame
    labels: npt.NDArray[Any]
    weights: Floats | None = None

    @property
    def effective_rows(self) -> float:
        """How many rows of equal weight would tell as much."""
        return effective_rows(np.ones(len(self.labels)) if self.weights is None else self.weights)


@dataclass(frozen=True)
class Parts:
    """What a candidate gets to see.

    Attributes:
        task: What is to be learned.
        train: To learn from.
        validation: To stop by and to choose the best round by.
        sample: Training rows, evenly spaced, at most 10,000: the learning curve's training side.
    """

    task: Task
    train: Part
    validation: Part
    sample: Part


@contextmanager
def read_parts(uri: str) -> Iterator[tuple[Bundle, Parts]]:
    """Read the parts train and validation of a split dataset.

    Raises:
        BadInput: A part or a column is missing, a label is missing or out of range, a weight is no number above 0, the
            weight is a feature, there is no feature, or the training part holds one class or number only.
    """
    with read_dataset(uri) as (bundle, tables):
        task = task_of(bundle)
        _check_features(task, uri)
        parts = _parts(tables, task, uri)
        for name, part in (("train", parts.train), ("validation", parts.validation)):
            reconcile(f"part {name!r} of {uri}", bundle.manifest.tables[name].rows, {name: len(part.labels)})
    yield bundle, parts


def check_labels(parts: Parts, problem: OpenedProblem, uri: str) -> None:
    """Refuse labels that a problem does not take, whoever made the rows; classes were looked at by their values.

    Raises:
        BadInput: Naming the part and the row.
    """
    for name, part in (("train", parts.train), ("validation", parts.validation)) if parts.task.regression else ():
        problem.check_labels(part.labels, f"{uri}: part {name!r}, column {parts.task.label!r}")


def read_fold_parts(uri: str) -> Iterator[Parts]:
    """What a candidate gets to see while each fold of a dataset is held back, fold by fold; nothing without folds.

    Raises:
        BadInput: As for `read_parts`.
    """
    with read_dataset(uri) as (bundle, tables):
        task, folds = task_of(bundle), folds_of(bundle)
        if folds is None:
            return
        for fold in range(1, folds.number + 1):
            rows, stopping = tables["test"], folds.stopping(fold)
            numbers = rows[folds.column]
            held = {
                "train": rows.filter(~numbers.isin([fold, stopping])),
                "validation": rows.filter(numbers == stopping),
            }
            yield _parts(held, task, f"{uri}, fold {fold} held back")


def _parts(tables: dict[str, Any], task: Task, uri: str) -> Parts:
    train, validation = (_read_part(tables, name, task, uri) for name in ("train", "validation"))
    if len(np.unique(train.labels)) < 2:
        first = train.labels[0]
        only = f"the number {first:g}" if task.regression else f"class {task.classes[int(first)]!r}"
        raise BadInput(
            f"{uri}: column {task.label!r} of part 'train' holds only {only}, so nothing can be learned; "
            "use more rows or another split"
        )
    places = np.linspace(0, len(train.labels) - 1, min(len(train.labels), _SAMPLE_ROWS)).astype(np.int64)
    weights = None if train.weights is None else _scaled(train.weights[places])
    sample = Part(train.rows.iloc[places].reset_index(drop=True), train.labels[places], weights)
    return Parts(task, train, validation, sample)


def _check_features(task: Task, uri: str) -> None:
    if not task.features:
        raise BadInput(f"{uri}: task {task.name!r} has no feature; prepare the dataset with at least one")
    if task.weight in task.features:
        raise BadInput(
            f"{uri}: task {task.name!r} has its weight {task.weight!r} among its features; no model may learn from how "
            "the sample was drawn: run prepare without it"
        )


def _read_part(tables: dict[str, Any], name: str, task: Task, uri: str) -> Part:
    if name not in tables:
        raise BadInput(f"{uri} has no part {name!r}, only {', '.join(sorted(tables))}; use a dataset made by split")
    columns = set(tables[name].columns)
    weight = (task.weight,) if task.weight else ()
    absent = sorted({task.label, *task.features, *weight} - columns)
    if absent:
        raise BadInput(f"{uri}: part {name!r} has no column {absent[0]!r}; run prepare, sample and split again")
    beside = (*task.key, *((task.cluster, task.time) if task.regression else ()))  # what baselines go by
    kept = [column for column in beside if column in columns]
    rows = tables[name].select(*dict.fromkeys((task.label, *task.features, *kept, *weight))).to_pandas()
    weights = _read_weights(rows, task, f"{uri}: part {name!r}")
    rows = rows.drop(columns=list(weight))
    labels = pd.to_numeric(rows.pop(task.label), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if fault := wrong_label(labels, task):
        raise BadInput(f"{uri}: part {name!r}, column {task.label!r}, {fault}")
    return Part(rows, labels if task.regression else labels.astype(np.int64), weights)


def _read_weights(rows: pd.DataFrame, task: Task, where: str) -> Floats | None:
    if task.weight is None:
        return None
    try:
        return _scaled(row_weights(rows, task))
    except BadInput as error:
        raise BadInput(f"{where}, {error}") from None


def _scaled(weights: Floats) -> Floats:
    """The same weights with mean 1."""
    return np.asarray(weights / weights.mean())


def log_loss(labels: Integers, proba: Floats, weights: Floats | None = None) -> float:
    """Mean negative log probability of the true class, in nats; 0 counts as 2.2e-16, as in scikit-learn.

    Args:
        labels: Shape (rows,).
        proba: Shape (rows, classes).
        weights: What each row counts, shape (rows,); None where every row counts the same.
    """
    losses = row_losses(labels, proba)
    return float(losses.mean() if weights is None else np.average(losses, weights=weights))


def row_losses(labels: Integers, proba: Floats) -> Floats:
    """Each row's negative log probability of the true class, shape (rows,). Arguments as for `log_loss`."""
    true = proba[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(true, np.finfo(np.float64).eps)))


def quantiles(values: Floats, shares: Floats, weights: Floats | None, method: str = "linear") -> Floats:
    """The values below which the given shares of the rows lie, or of what the rows stand for.

    Args:
        values: Without NaN, shape (rows,).
        shares: Ascending, from 0 to 1.
        weights: Shape (rows,), or None where every row counts the same.
        method: numpy's, without weights; with weights numpy knows the inverse of the distribution function alone.
    """
    if weights is None:
        return np.asarray(np.quantile(values, shares, method=method))  # type: ignore[call-overload]
    return np.asarray(np.quantile(values, shares, weights=weights, method="inverted_cdf"))
