"""The rows to learn from, and those to judge by while learning. The test rows are never read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from components.common.bundles import Bundle
from components.common.datasets import read_dataset
from components.common.errors import BadInput
from components.common.features import Floats, Integers
from components.common.tasks import Task, task_of

_SAMPLE_ROWS = 10_000


@dataclass(frozen=True)
class Part:
    """Feature columns, and the label's codes, shape (rows,)."""

    rows: pd.DataFrame
    labels: Integers


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
        BadInput: A part or a column is missing, a label is missing or out of range, there is no feature, or the
            training part holds one class only.
    """
    with read_dataset(uri) as (bundle, tables):
        task = task_of(bundle)
        if not task.features:
            raise BadInput(f"{uri}: task {task.name!r} has no feature; prepare the dataset with at least one")
        train, validation = (_read_part(tables, name, task, uri) for name in ("train", "validation"))
    if len(np.unique(train.labels)) < 2:
        only = task.classes[int(train.labels[0])]
        raise BadInput(
            f"{uri}: column {task.label!r} of part 'train' holds only class {only!r}, so nothing can be learned; "
            "use more rows or another split"
        )
    places = np.linspace(0, len(train.labels) - 1, min(len(train.labels), _SAMPLE_ROWS)).astype(np.int64)
    sample = Part(train.rows.iloc[places].reset_index(drop=True), train.labels[places])
    yield bundle, Parts(task, train, validation, sample)


def _read_part(tables: dict[str, Any], name: str, task: Task, uri: str) -> Part:
    if name not in tables:
        raise BadInput(f"{uri} has no part {name!r}, only {', '.join(sorted(tables))}; use a dataset made by split")
    absent = sorted({task.label, *task.features} - set(tables[name].columns))
    if absent:
        raise BadInput(f"{uri}: part {name!r} has no column {absent[0]!r}; run prepare and split again")
    rows = tables[name].select(task.label, *task.features).to_pandas()
    labels = pd.to_numeric(rows.pop(task.label), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~np.isin(labels, np.arange(len(task.classes))))
    if len(wrong):
        raise BadInput(
            f"{uri}: part {name!r}, column {task.label!r}, row {wrong[0]}: {labels[wrong[0]]:g} is no class code "
            f"from 0 to {len(task.classes) - 1}; run prepare again"
        )
    return Part(rows, labels.astype(np.int64))


def log_loss(labels: Integers, proba: Floats) -> float:
    """Mean negative log probability of the true class, in nats; 0 counts as 2.2e-16, as in scikit-learn.

    Args:
        labels: Shape (rows,).
        proba: Shape (rows, classes).
    """
    true = proba[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, np.finfo(np.float64).eps)).mean())
