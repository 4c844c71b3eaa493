"""Rows that a person hands in, a file or a table in memory, read as a lake's contract says.

A CSV or JSON file goes through the readers of the step ingest. What has types of its own, a Parquet file or a table in
memory, is brought to the contract's types without loss: a value that does not fit is refused by its row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.contract.reading import Column
from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import arrow_batches
from sluice.engine.parquet import ARROW_TYPES, ROW_GROUP_ROWS, WrittenParquet, write_parquet
from sluice.sources.csv_header import read_header
from sluice.sources.csv_tables import read_csv
from sluice.sources.json_tables import keys_of, read_json
from sluice.sources.source_files import SourceFile, check_readable
from sluice.sources.typed_values import WrongValue, to_arrow
from sluice.sources.value_refusals import shown

PARQUET = (".parquet", ".pq")
Rows: TypeAlias = Any
"""A `Path` of a CSV, JSON or Parquet file, or a `pyarrow.Table`; pyarrow has no stubs."""
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class RowFile:
    """Rows that were handed in.

    Attributes:
        name: As messages say it.
        columns: The names of its columns, in its order.
    """

    def __init__(self, rows: Rows, name: str = "") -> None:
        """See what columns there are.

        Args:
            rows: The file or the table.
            name: Of a table in memory, for messages.

        Raises:
            BadInput: It is no file that can be read, is of no known kind, or has a column twice.
        """
        self.name = str(rows) if isinstance(rows, Path) else name or "the table"
        self._rows = rows
        self._file = SourceFile(rows, str(rows)) if isinstance(rows, Path) else None
        self._kind = _kind(rows) if isinstance(rows, Path) else "table"
        if self._file:
            _check_there(self._file)
        self.columns: Sequence[str] = self._columns()
        for place, column in enumerate(self.columns):
            if column in self.columns[:place]:
                raise BadInput(f"{self.name}: column {column!r} stands there twice; rename one of them")

    def separator(self) -> str:
        """What seems to separate a CSV file's columns in place of commas, in words; empty where nothing does."""
        found = [name for sign, name in _SEPARATORS.items() if sign in self.columns[0]] if self.columns else []
        return found[0] if len(self.columns) == 1 and self._kind == "csv" and found else ""

    def read(self, columns: Mapping[str, Column], target: Path) -> WrittenParquet:
        """Write some of the columns as a Parquet file; rows keep their order.

        Args:
            columns: What to read, all of them there, with what the contract says of each.
            target: The Parquet file, with exactly these columns in this order.

        Raises:
            BadInput: A value is not of its column's type; the message names row or line, column and value.
            EnvironmentFault: The disk is full.
        """
        if self._file and self._kind == "csv":
            return read_csv(self._file, columns, target)
        if self._file and self._kind == "json":
            return read_json(self._file, columns, target)
        table = self._parquet(list(columns)) if self._file else self._rows
        schema = pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])
        arrays = [self._typed(table.column(name), name, column.type) for name, column in columns.items()]
        typed = pa.Table.from_arrays(arrays, schema=schema)
        if not len(typed):
            raise BadInput(f"{self.name} has no row; put the data there")
        return write_parquet(typed.to_batches(), schema, target)

    def _columns(self) -> Sequence[str]:
        if self._file is None:
            return list(map(str, self._rows.column_names))
        if self._kind == "csv":
            return read_header(self._file, [])
        if self._kind == "json":
            return keys_of(self._file)
        return list(map(str, self._parquet_file().schema_arrow.names))

    def _parquet(self, names: Sequence[str]) -> Any:  # noqa: ANN401 - pyarrow has no stubs
        try:
            return self._parquet_file().read(columns=list(names))
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{self.name} cannot be read ({_reason(error)}); write it anew") from None

    def _parquet_file(self) -> Any:  # noqa: ANN401 - as above
        try:
            return pq.ParquetFile(self._rows)
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{self.name} is no Parquet file that can be read ({_reason(error)})") from None

    def _typed(self, column: Any, name: str, kind: str) -> Any:  # noqa: ANN401 - as above
        """A column in the contract's type; missing are null and NaN."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        wanted = ARROW_TYPES[kind]
        try:
            if _lossless(column.type, kind):
                return column.cast(wanted).combine_chunks()
            return to_arrow(column.to_pylist(), kind)
        except WrongValue as wrong:
            said = f"{self.name}, row {wrong.row}: column {name!r} has {shown(wrong.value)}, which is no {kind}"
        except (pa.ArrowException, OverflowError, ValueError) as error:
            said = f"{self.name}: column {name!r} of type {column.type} is no {kind} ({_reason(error)})"
        raise BadInput(f"{said}; correct it there")


class DatasetRows(RowFile):
    """The rows of a table of a dataset, which are as its contract has them already."""

    def __init__(self, table: Any, name: str) -> None:  # noqa: ANN401 - an Ibis table
        """See what columns there are.

        Args:
            table: Open as long as the rows are read.
            name: For messages.
        """
        self.name, self._table = name, table
        self.columns: Sequence[str] = list(table.columns)

    def separator(self) -> str:
        """See `RowFile.separator`: nothing separates them."""
        return ""

    def read(self, columns: Mapping[str, Column], target: Path) -> WrittenParquet:
        """See `RowFile.read`.

        Raises:
            BadInput: A column is of another type than the contract behind the model says.
        """
        schema = pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])
        batches = arrow_batches(self._table.select(*columns), ROW_GROUP_ROWS)
        for field, wanted in zip(batches.schema, schema, strict=True):
            if field.type != wanted.type:
                raise BadInput(
                    f"{self.name}: column {field.name!r} is {field.type}, and the contract behind the model says "
                    f"{columns[field.name].type}; score a dataset of the same contract"
                )
        return write_parquet(batches, schema, target)


def _check_there(file: SourceFile) -> None:
    if not file.path.exists():
        raise BadInput(f"{file.name} is not there; check the path")
    if file.path.is_dir():
        raise BadInput(f"{file.name} is a folder; name one file")
    check_readable(file)


def _kind(path: Path) -> str:
    ending = path.suffix.lower()
    if ending in PARQUET:
        return "parquet"
    if ending in (".csv", ".json"):
        return ending[1:]
    raise BadInput(f"{path}: no reader for {ending or 'a name without ending'}; give a .csv, .json or .parquet file")


def _lossless(given: Any, kind: str) -> bool:  # noqa: ANN401 - an Arrow type
    """Whether a cast keeps every value that it takes; pyarrow refuses what a type cannot hold."""
    if kind == "string":
        texts = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
        return bool(texts or pa.types.is_integer(given) or pa.types.is_null(given))
    same = {
        "int64": (pa.types.is_integer,),
        "float64": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        "bool": (pa.types.is_boolean,),
        "timestamp": (pa.types.is_timestamp, pa.types.is_date),
        "date": (pa.types.is_date32,),
    }
    return bool(pa.types.is_null(given) or any(fits(given) for fits in same[kind]))


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
