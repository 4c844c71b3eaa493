"""Baselines: what a model must beat to be worth its keep.

- `random` knows the class shares and nothing of the row. Its forecast for a row is a draw from a Dirichlet distribution
  whose mean is the class shares: right on average, without any order among the rows (AUC 0.5 in expectation). The draw
  is a hash of the row's key with the seed, so the same row always gets the same forecast, and rows whose features are
  alike get forecasts that are not. Rows without the key are told apart by their place in the table.
- `zero-rule` forecasts the class shares for every row; its decision is always the most frequent class.
- `heuristic` is one rule over one feature: the class shares of the training rows with the same value, or in the same
  tenth of a numeric feature's range of ranks (OneR: R. C. Holte, *Very simple classification rules perform well on
  most commonly used datasets*, Machine Learning 11, 1993).

Where the label is a number (`NumberBaseline`):

- `mean` and `median` forecast that of the training labels for every row: the best constants by squared and by absolute
  error.
- `heuristic` is the same rule over one feature, with the mean label instead of class shares.
- `last-value` forecasts the last training label of the row's group (the task's `cluster`) before the row's time, as
  the naive forecast of a time series; the mean where there is none.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.core.errors import BadInput
from sluice.features.encoding import Floats, Integers, number_column, text_column
from sluice.problems.candidate_names import HEURISTIC, LAST_VALUE, MEAN, MEDIAN, RANDOM, ZERO_RULE
from sluice.problems.task import Task

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's step (Steele, Lea & Flood, 2014): one stream of numbers a class


@dataclass(frozen=True)
class Baseline:
    """A baseline of any kind.

    Attributes:
        task: What it predicts.
        kind: `random`, `zero-rule` or `heuristic`.
        shares: The classes' shares in the training rows, shape (classes,); for the heuristic, its forecast where the
            feature is missing or its value was never seen.
        seed: For `random`.
        values: For the heuristic: the feature's values, or the upper bounds of its bins but the last.
        table: For the heuristic: the class shares by value or bin, shape (values or bins, classes).
    """

    task: Task
    kind: str
    shares: Floats
    seed: int = 0
    values: tuple[str | float, ...] = ()
    table: Floats | None = None
    family = "baseline"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities."""
        return self.task.classes

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        return int(self.shares.size + (0 if self.table is None else self.table.size))

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        if self.kind == RANDOM:
            return _dirichlet(_uniforms(rows, self.task.key, self.seed, len(self.shares)), self.shares)
        proba = np.tile(self.shares, (len(rows), 1))
        if self.kind == HEURISTIC and self.table is not None:
            places = self.places(rows)
            proba[places >= 0] = self.table[places[places >= 0]]
        return proba

    def predict(self, rows: pd.DataFrame) -> Floats:  # noqa: ARG002 - as every model
        """A baseline for classes forecasts no number."""
        raise TypeError("a baseline for classes forecasts no number")

    def places(self, rows: pd.DataFrame) -> Integers:
        """The heuristic's row of the table for each row, shape (rows,); -1 where there is none."""
        return heuristic_places(rows, self.task, self.values)

    def options(self) -> dict[str, Any]:
        """What model.json keeps: all that a baseline has learned."""
        body: dict[str, Any] = {"kind": self.kind, "shares": self.shares.tolist()}
        if self.kind == RANDOM:
            body["seed"] = self.seed
        if self.kind == HEURISTIC and self.table is not None:
            body |= {"values": list(self.values), "table": self.table.tolist()}
        return body

    def write_weights(self, folder: Path) -> None:
        """Write nothing: model.json holds everything."""


def heuristic_places(rows: pd.DataFrame, task: Task, values: tuple[str | float, ...]) -> Integers:
    """Which of the heuristic feature's values or bins each row has, shape (rows,); -1 where it is missing or new.

    Raises:
        BadInput: The feature is missing or does not hold numbers where it should.
    """
    name = heuristic_feature(task)
    if name in task.categorical:
        return pd.Index(values, dtype="string").get_indexer(pd.Index(text_column(rows, name))).astype(np.int64)
    numbers = number_column(rows, name)
    return np.where(np.isnan(numbers), -1, np.searchsorted(np.asarray(values, np.float64), numbers))


def heuristic_feature(task: Task) -> str:
    """The feature that the heuristic judges by.

    Raises:
        BadInput: The task names none, or one that is not among its features.
    """
    if task.heuristic is None or task.heuristic not in (*task.numeric, *task.categorical):
        raise BadInput(
            f"task {task.name!r} names {task.heuristic!r} for the heuristic, which is not among its features; "
            "name one in the recipe, or leave 'heuristic' out of candidates"
        )
    return task.heuristic


def read_baseline(folder: Path, task: Task, options: Mapping[str, Any]) -> Baseline:  # noqa: ARG001 - as every family
    """Read what `Baseline` wrote.

    Raises:
        Exception: Anything on a damaged model.json; `models.load_model` turns it into words.
    """
    kind = str(options["kind"])
    if kind not in (RANDOM, ZERO_RULE, HEURISTIC):
        raise ValueError(f"baseline {kind!r} is unknown")
    shares = _shares(options["shares"], len(task.classes))
    if kind != HEURISTIC:
        return Baseline(task, kind, shares, seed=int(options.get("seed", 0)))
    text = heuristic_feature(task) in task.categorical
    values = tuple((str if text else float)(value) for value in options["values"])
    table = np.array([_shares(row, len(task.classes)) for row in options["table"]]).reshape(-1, len(task.classes))
    if len(table) != len(values) + (not text) or len(set(values)) != len(values):
        raise ValueError("the heuristic's table and values do not match")
    if not text and list(values) != sorted(values):
        raise ValueError("the heuristic's bounds do not rise")
    return Baseline(task, kind, shares, values=values, table=table)


def _shares(values: Any, classes: int) -> Floats:  # noqa: ANN401 - JSON
    shares = np.array(values, dtype=np.float64)
    if (
        shares.shape != (classes,)
        or not np.isfinite(shares).all()
        or (shares < 0).any()
        or abs(shares.sum() - 1) > 1e-9
    ):
        raise ValueError("class shares must be as many as the classes, from 0 to 1, with sum 1")
    return shares


def _uniforms(rows: pd.DataFrame, key: tuple[str, ...], seed: int, count: int) -> Floats:
    """Numbers in (0, 1) that depend only on the row's key and the seed, shape (rows, count).

    The seed is mixed with a purpose of its own: the orders by which rows are sampled and split are made of the same key
    and often of the same seed, and have to be unrelated to these numbers.
    """
    hashed = _identity(rows, key) ^ np.frombuffer(_word(f"sluice random baseline {seed}"), np.uint64)
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN  # wraps around, as it should
    streams = [pd.util.hash_array(pd.util.hash_array(hashed) + step) for step in steps]
    return (np.stack(streams, axis=1) >> np.uint64(12)).astype(np.float64) / 2**52 + 2.0**-53


def _identity(rows: pd.DataFrame, key: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """A number for each row's key, or its place where the table lacks the key, shape (rows,)."""
    if not key or not set(key) <= set(rows.columns):
        return np.arange(len(rows), dtype=np.uint64)
    columns = pd.DataFrame({name: _key_values(rows[name]) for name in key})
    return np.asarray(pd.util.hash_pandas_object(columns, index=False), np.uint64)


def _key_values(column: pd.Series) -> npt.NDArray[Any]:
    """A key column such that equal keys are equal values, in whatever width or unit a table holds them."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True).dt.as_unit("us").to_numpy(np.int64)
    if pd.api.types.is_integer_dtype(column) and not column.hasnans:
        return column.to_numpy(np.int64)
    return column.astype("string").to_numpy(object)


def _word(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _dirichlet(uniforms: Floats, shares: Floats) -> Floats:
    """Draws with mean `shares`, by the inverse of the gamma distribution; the smallest concentration is 1.

    Args:
        uniforms: Shape (rows, classes).
        shares: Shape (classes,).
    """
    from scipy.special import gammaincinv

    concentration = shares / shares[shares > 0].min()
    gammas = gammaincinv(np.where(concentration > 0, concentration, 1.0), uniforms) * (concentration > 0)
    return np.asarray(gammas / gammas.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class NumberBaseline:
    """A baseline of any kind for a label that is a number.

    Attributes:
        task: What it predicts.
        kind: `mean`, `median`, `heuristic` or `last-value`.
        centre: The forecast where nothing else is known: the training labels' mean, for `median` their median.
        values: For the heuristic: the feature's values, or the upper bounds of its bins but the last; for `last-value`
            the groups.
        table: The forecast by value, bin or group, shape (values or bins,).
        times: For `last-value`: when each group's last label was, in microseconds since 1970 (UTC), shape (values,).
    """

    task: Task
    kind: str
    centre: float
    values: tuple[str | float, ...] = ()
    table: Floats | None = None
    times: Integers | None = None
    family = "baseline"

    @property
    def classes(self) -> tuple[str, ...]:
        """None: the label is a number."""
        return ()

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        return 1 + (0 if self.table is None else self.table.size)

    def predict(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        found = np.full(len(rows), self.centre)
        if self.table is not None:
            places = self.places(rows)
            found[places >= 0] = self.table[places[places >= 0]]
        return found

    def predict_proba(self, rows: pd.DataFrame) -> Floats:  # noqa: ARG002 - as every model
        """A baseline for numbers knows no classes."""
        raise TypeError("a baseline for numbers knows no classes")

    def places(self, rows: pd.DataFrame) -> Integers:
        """The place in the table for each row, shape (rows,); -1 where there is none."""
        if self.kind == HEURISTIC:
            return heuristic_places(rows, self.task, self.values)
        return self._last_places(rows)

    def _last_places(self, rows: pd.DataFrame) -> Integers:
        """A row's group, where its last label was before the row's time."""
        group, time = self.task.cluster, self.task.time
        if self.times is None or group is None or group not in rows or time not in rows:
            return np.full(len(rows), -1)
        places = pd.Index(self.values, dtype="string").get_indexer(pd.Index(text_column(rows, group)))
        later = microseconds(rows[time]) > np.append(self.times, 0)[places]
        return np.where((places >= 0) & later, places, -1).astype(np.int64)

    def options(self) -> dict[str, Any]:
        """What model.json keeps: all that a baseline has learned."""
        body: dict[str, Any] = {"kind": self.kind, "centre": self.centre}
        if self.table is not None:
            body |= {"values": list(self.values), "table": self.table.tolist()}
        return body | ({"times": self.times.tolist()} if self.times is not None else {})

    def write_weights(self, folder: Path) -> None:
        """Write nothing: model.json holds everything."""


def microseconds(times: pd.Series) -> Integers:
    """Times in microseconds since 1970 (UTC), shape (rows,); the smallest integer where one is missing."""
    return np.asarray(pd.to_datetime(times, utc=True).dt.as_unit("us").astype("int64"), np.int64)


def read_number_baseline(folder: Path, task: Task, options: Mapping[str, Any]) -> NumberBaseline:  # noqa: ARG001
    """Read what `NumberBaseline` wrote.

    Raises:
        Exception: Anything on a damaged model.json; `models.load_model` turns it into words.
    """
    kind, centre = str(options["kind"]), float(options["centre"])
    if kind not in (MEAN, MEDIAN, HEURISTIC, LAST_VALUE):
        raise ValueError(f"baseline {kind!r} is unknown")
    if kind in (MEAN, MEDIAN):
        return NumberBaseline(task, kind, _finite([centre])[0])
    text = kind == LAST_VALUE or heuristic_feature(task) in task.categorical
    values = tuple((str if text else float)(value) for value in options["values"])
    table = _finite(options["table"])
    if len(table) != len(values) + (not text) or len(set(values)) != len(values):
        raise ValueError("the baseline's table and values do not match")
    if not text and list(values) != sorted(values):
        raise ValueError("the heuristic's bounds do not rise")
    times = np.array(options["times"], np.int64) if kind == LAST_VALUE else None
    if times is not None and times.shape != table.shape:
        raise ValueError("the last values and their times do not match")
    return NumberBaseline(task, kind, _finite([centre])[0], values, table, times)


def _finite(values: Any) -> Floats:  # noqa: ANN401 - JSON
    numbers = np.array(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(numbers).all():
        raise ValueError("a baseline's forecasts must be finite numbers")
    return numbers
