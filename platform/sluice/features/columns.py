"""A frame's columns as models read them, the same in training and in serving, whatever holds the values.

A frame may come from Parquet, CSV, JSON, polars or a person's hands, so the same value arrives as an integer, a float
(because another row is missing), a nullable or Arrow-backed type, a category, a decimal or an object. Each value is
read by itself: what the other rows of a batch hold changes nothing.
"""

from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.core.errors import BadInput

Floats = npt.NDArray[np.float64]

LARGEST_NUMBER = 1e30
"""Anything beyond counts as missing: single precision could not hold its products."""
_SHOWN = 40


def number_column(rows: pd.DataFrame, name: str) -> Floats:
    """A column as float64, shape (rows,); NaN where it is missing or beyond LARGEST_NUMBER.

    Raises:
        BadInput: It is missing or does not hold numbers.
    """
    values = exact_numbers(rows, name)
    return np.where(np.abs(values) <= LARGEST_NUMBER, values, np.nan)


def exact_numbers(rows: pd.DataFrame, name: str) -> Floats:
    """A column as float64 like `number_column`, with the numbers beyond LARGEST_NUMBER as they are."""
    column = feature_column(rows, name)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        return column.to_numpy(dtype=np.float64)
    try:
        if not pd.api.types.is_numeric_dtype(column.dtype):
            column = pd.to_numeric(column.astype(object))
        if pd.api.types.is_complex_dtype(column.dtype):
            raise TypeError("complex numbers have no order")
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, ArithmeticError):
        raise BadInput(
            f"feature column {name!r} holds {column.dtype} values where numbers are wanted{_first_wrong(column)}"
        ) from None


def text_column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column as strings, one text for one value (see `category_text`); a missing value stays missing.

    Raises:
        BadInput: It is missing.
    """
    column = feature_column(rows, name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = pd.array([category_text(value) for value in column.cat.categories], dtype="string")
        return pd.Series(texts.take(column.cat.codes.to_numpy(), allow_fill=True), index=column.index, name=name)
    if pd.api.types.is_integer_dtype(column.dtype) or _holds_strings(column):
        return column.astype("string")
    return pd.Series([category_text(value) for value in column], index=column.index, name=name, dtype="string")


def category_text(value: Any) -> Any:  # noqa: ANN401 - whatever a frame's cell may hold
    """One text for one value: 1, 1.0, Decimal("1.00") and "1" are all `1`; NA, None and NaN are missing.

    Strings stay as they are, so `01` is not `1`, and neither is the string `1.0`; booleans are `True` and `False`.
    """
    if isinstance(value, str):
        return str(value)
    if _is_missing(value):
        return pd.NA
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Decimal | Real):
        number = float(value)
        return str(round(value)) if np.isfinite(number) and value == round(value) else repr(number)
    return str(value)


def feature_column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column as it is.

    Raises:
        BadInput: It is missing, or there are several of that name.
    """
    if name not in rows.columns:
        raise BadInput(f"feature column {name!r} is missing; the table has {', '.join(map(str, rows.columns))}")
    if not rows.columns.is_unique and (times := list(rows.columns).count(name)) > 1:
        raise BadInput(f"feature column {name!r} is there {times} times; keep one of them")
    return rows[name]


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _holds_strings(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.StringDtype):
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "string"


def _first_wrong(column: pd.Series) -> str:
    """Where the first value that is no number stands, in words; empty where it cannot be told."""
    for row, value in enumerate(column):
        try:
            pd.to_numeric(pd.Series([value], dtype=object)).to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError, ArithmeticError):
            return f", first in row {row}: {str(value)[:_SHOWN]!r}"
    return ""
