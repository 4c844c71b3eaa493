"""What a model takes: for each feature what training saw of it, and from which raw columns it can be computed.

It stands in `inputs.json` among the model's files, so its digest is the model's. A model from before models had one is
read without it: then nothing is known of what training saw.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json

INPUTS = "inputs.json"
VERSION = 1
_DIGITS = 16


@dataclass(frozen=True)
class NumberInput:
    """A feature with numbers, as the training rows had it.

    Attributes:
        name: The column.
        missing: In how many rows there was none.
        least: The smallest number, None where every row lacks one.
        greatest: The greatest one.
        low: The 0.1 % quantile.
        high: The 99.9 % quantile.
        whole: Whether all were whole numbers.
    """

    name: str
    missing: int
    least: float | None
    greatest: float | None
    low: float | None
    high: float | None
    whole: bool


@dataclass(frozen=True)
class CategoryInput:
    """A feature with strings, as the training rows had it.

    Attributes:
        name: The column.
        missing: In how many rows there was none.
        values: The values, most frequent first.
        rare: `rare_digest` of the values too rare to be learned: who reads the file cannot read a person out of it.
        listed: Whether these are all; otherwise there were too many, and a value that is not here says nothing.
    """

    name: str
    missing: int
    values: tuple[str, ...]
    rare: tuple[str, ...]
    listed: bool


@dataclass(frozen=True)
class RowWise:
    """How features are computed from raw columns of the same row, by the very query of training.

    Attributes:
        table: What the query calls the table of raw rows.
        columns: The raw columns' types by name, in DuckDB's words.
        sql: A DuckDB query that projects that table's rows, one to one.
        features: The raw columns that each feature rests on.
        remade: Features that are changed from a raw column of their own name, such as `area` in other units: a column
            of that name is taken for the raw one.
    """

    table: str
    columns: dict[str, str]
    sql: str
    features: dict[str, tuple[str, ...]]
    remade: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInputs:
    """What a model takes.

    Attributes:
        rows: How many training rows this was learned from.
        numbers: The features with numbers.
        categories: The features with strings.
        row_wise: How features follow from raw columns, where some do.
    """

    rows: int
    numbers: tuple[NumberInput, ...]
    categories: tuple[CategoryInput, ...]
    row_wise: RowWise | None = None

    @property
    def entries(self) -> tuple[NumberInput | CategoryInput, ...]:
        """All features but an image."""
        return (*self.numbers, *self.categories)

    @property
    def optional(self) -> frozenset[str]:
        """The features that training rows lacked too, so that a table may come without them."""
        return frozenset(entry.name for entry in self.entries if entry.missing)


def rare_digest(feature: str, value: str) -> str:
    """A rare value as `inputs.json` keeps it: 16 hex digits of SHA-256 over the feature's name and the value."""
    return sha256_bytes(f"{feature}\0{value}".encode("utf-8", "surrogatepass"))[:_DIGITS]


def write_inputs(folder: Path, inputs: ModelInputs) -> None:
    """Write `inputs.json` beside a saved model; the same inputs give the same bytes."""
    body = {"version": VERSION, **asdict(inputs)}
    (folder / INPUTS).write_text(
        json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )


def read_inputs(folder: Path) -> ModelInputs | None:
    """What a model takes; None for a model from before models said so.

    Raises:
        BadInput: The file is there and does not say it.
    """
    path = folder / INPUTS
    try:
        body = read_json(path)
        if body["version"] != VERSION:
            raise BadInput(f"{path} has version {body['version']!r}; this Sluice reads version {VERSION}")
        return ModelInputs(
            rows=int(body["rows"]),
            numbers=tuple(_number(entry) for entry in body["numbers"]),
            categories=tuple(_category(entry) for entry in body["categories"]),
            row_wise=row_wise_from_body(body["row_wise"]) if body["row_wise"] else None,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{path} does not say what the model takes ({error}); restore it from a copy, or train the model again"
        ) from None


def row_wise_from_body(body: Mapping[str, Any]) -> RowWise:
    """The inverse of `asdict`.

    Raises:
        KeyError: Something is not said.
        TypeError: Something is of another type.
    """
    return RowWise(
        table=str(body["table"]),
        columns={str(name): str(kind) for name, kind in dict(body["columns"]).items()},
        sql=str(body["sql"]),
        features={str(name): tuple(map(str, raw)) for name, raw in dict(body["features"]).items()},
        remade=tuple(map(str, body.get("remade", ()))),
    )


def _number(body: Mapping[str, Any]) -> NumberInput:
    ends = {key: None if body[key] is None else float(body[key]) for key in ("least", "greatest", "low", "high")}
    return NumberInput(name=str(body["name"]), missing=int(body["missing"]), whole=bool(body["whole"]), **ends)


def _category(body: Mapping[str, Any]) -> CategoryInput:
    lists = {key: tuple(map(str, body[key])) for key in ("values", "rare")}
    return CategoryInput(name=str(body["name"]), missing=int(body["missing"]), listed=bool(body["listed"]), **lists)
