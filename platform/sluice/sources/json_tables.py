"""JSON files into Parquet: an array of objects, as reference data come. A file is read whole: it must be small."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.contract.reading import Column
from sluice.core.bounds import FILE_BYTES
from sluice.core.errors import BadInput
from sluice.core.json_documents import parse_json
from sluice.engine.parquet import ARROW_TYPES, WrittenParquet, write_parquet
from sluice.sources.formats import check_text
from sluice.sources.source_files import SourceFile
from sluice.sources.typed_values import WrongValue, to_arrow
from sluice.sources.value_refusals import shown, wrong_value

_BEGINNING = 16


def read_json(file: SourceFile, columns: Mapping[str, Column], target: Path) -> WrittenParquet:
    """Read one JSON file into one Parquet file; rows keep their order.

    Args:
        file: A readable file in UTF-8: an array of flat objects. A key that an object lacks is a missing value.
        columns: What to read, by name; the objects may have other keys beside them.
        target: The Parquet file, with exactly these columns in this order.

    Raises:
        BadInput: The message names the file, the line or the row, and where it can the column and the value.
        EnvironmentFault: The disk is full.
    """
    records = _records(file)
    arrays = [_column(file, records, name, column) for name, column in columns.items()]
    schema = pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()])
    return write_parquet([pa.RecordBatch.from_arrays(arrays, schema=schema)], schema, target)


def keys_of(file: SourceFile) -> list[str]:
    """The keys of a JSON file's objects, each once, in the order in which they come first.

    Raises:
        BadInput: It is no array of objects.
    """
    return list(dict.fromkeys(key for record in _records(file) for key in record))


def _records(file: SourceFile) -> list[dict[str, Any]]:
    FILE_BYTES.check(file.path.stat().st_size, file.name, "JSON is for reference data: give large tables as CSV or SQL")
    try:
        body = parse_json(file.path.read_bytes(), file.name)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.doc.lstrip().startswith("{"):
            raise BadInput(
                f"{file.name}, line {error.lineno}: another value after the first, as in JSON Lines; make the file one "
                "array of objects, [{…}, {…}]"
            ) from None
        raise BadInput(f"{file.name}, line {error.lineno}: not JSON ({error.msg}); mend it there") from None
    except UnicodeDecodeError:
        with file.path.open("rb") as stream:
            check_text(file, stream.read(_BEGINNING))
        raise BadInput(f"{file.name} is not UTF-8; save the file in UTF-8") from None
    except (RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"{file.name} is no JSON that can be read: {reason}; mend it") from None
    if not isinstance(body, list):
        raise BadInput(
            f"{file.name} holds a JSON {type(body).__name__}; it must be an array of objects, one for each row"
        )
    for row, record in enumerate(body, 1):
        if not isinstance(record, dict):
            raise BadInput(
                f"{file.name}, row {row}: {shown(record)} is no object; each row must be one, with columns as keys"
            )
    if not body:
        raise BadInput(f"{file.name} has no row; put the data there, or take the table out of contract.yaml")
    return body


def _column(file: SourceFile, records: Sequence[dict[str, Any]], name: str, column: Column) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    if not any(name in record for record in records):
        found = ", ".join(sorted({key for record in records[:100] for key in record})[:20])
        raise BadInput(
            f"{file.name}: column {name!r} is missing; the objects have: {found}; "
            "add the column, or take it out of contract.yaml"
        )
    try:
        return to_arrow([record.get(name) for record in records], column.type)
    except WrongValue as wrong:
        raise BadInput(wrong_value(f"{file.name}, row {wrong.row + 1}", name, wrong.value, column.type)) from None
