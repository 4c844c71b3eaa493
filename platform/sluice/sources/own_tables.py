"""Tables from a source that a project or an installed package brings, held to the contract and written to Parquet."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.contract.reading import Column, TableContract
from sluice.core.chosen import Chosen, chosen
from sluice.core.errors import BadInput
from sluice.core.extensions import Code, Opened, near
from sluice.engine.parquet import ARROW_TYPES, WrittenParquet, write_parquet
from sluice.extending.sources import SOURCES, SourceTable, TableSource
from sluice.sources.typed_values import WrongValue, to_arrow
from sluice.sources.value_refusals import wrong_value

BY, FILES = "by", "files"
_WAY_OUT = "give pyarrow.RecordBatch or pyarrow.Table, one after another"


def open_sources(
    tables: Mapping[str, TableContract], sources: Mapping[str, Any], code: Code | None
) -> dict[str, Opened[TableSource]]:
    """The sources of those tables that name one, by table, loaded and held to their protocol.

    Args:
        tables: The contract's.
        sources: What the project says each name means: a name of a package's, or `file.py:name`, with settings or not.
        code: The project's code.

    Raises:
        BadInput: A name means nothing, or no table has it, or what it means cannot be loaded.
    """
    named = {table: stated.source[BY] for table, stated in tables.items() if BY in stated.source}
    for name in sources:
        if name not in named.values():
            raise BadInput(f"the project's sources name {name!r}, which no table of the contract is read by")
    return {table: _open(table, tables[table], sources, code) for table in named}


def _open(table: str, stated: TableContract, sources: Mapping[str, Any], code: Code | None) -> Opened[TableSource]:
    name = stated.source[BY]
    if name not in sources and name not in SOURCES.names():
        known = [*sources, *SOURCES.names()]
        raise BadInput(
            f"contract.yaml: table {table!r} is read by {name!r}, and neither the project nor an installed package has "
            f"such a source{near(name, known) if known else ''}; write in the project sources: {{{name}: FILE.py:NAME}}"
        )
    meant = chosen("sources", sources[name]) if name in sources else Chosen(name)
    texts = {key: value for key, value in stated.source.items() if key not in (BY, FILES)}
    return SOURCES.opened(meant.name, code, {**meant.settings, **texts})


def read_own(
    source: Opened[TableSource], name: str, stated: TableContract, file: Path | None, target: Path
) -> WrittenParquet:
    """Read a table, or one of its files, into one Parquet file with exactly the contract's columns.

    Args:
        source: What gives the rows.
        name: The table's name.
        stated: What the contract says of it.
        file: The file, or None.
        target: The Parquet file.

    Raises:
        BadInput: The source failed, or gave something else than such rows; the message names row, column and value.
        EnvironmentFault: The disk is full.
    """
    schema = pa.schema([(column, ARROW_TYPES[each.type]) for column, each in stated.columns.items()])
    with source.blamed():
        given = source.thing(SourceTable(name, schema, stated.key, file))
        batches = [given] if isinstance(given, pa.RecordBatch | pa.Table) else given
        if isinstance(batches, str | bytes | Mapping) or not isinstance(batches, Iterable):
            raise source.gave(given, _WAY_OUT)
        return write_parquet(_held(source, batches, stated.columns, schema), schema, target)


def _held(
    source: Opened[TableSource],
    batches: Iterable[Any],
    columns: Mapping[str, Column],
    schema: Any,  # noqa: ANN401 - pyarrow has no stubs
) -> Iterator[Any]:
    """The batches with the contract's columns and types."""
    before = 0
    for given in batches:
        if not isinstance(given, pa.RecordBatch | pa.Table):
            raise source.gave(given, _WAY_OUT)
        for batch in given.to_batches() if isinstance(given, pa.Table) else (given,):
            arrays = [_array(source, batch, name, column, before) for name, column in columns.items()]
            before += batch.num_rows
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(source: Opened[TableSource], batch: Any, name: str, column: Column, before: int) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        has = "has no" if not places else "has twice the"
        raise BadInput(f"{source.what}: its batch {has} column {name!r}; it has {', '.join(batch.schema.names)}")
    array = batch.column(places[0])
    try:
        array.validate(full=True)  # text that is no UTF-8, and offsets that lead out of the buffers
        if array.type == ARROW_TYPES[column.type]:
            return array
        return to_arrow(array.to_pylist(), column.type)
    except WrongValue as wrong:
        where = f"{source.what}, row {before + wrong.row + 1}"
        raise BadInput(wrong_value(where, name, wrong.value, column.type)) from None
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"{source.what}: column {name!r} of its batch is damaged: {reason}") from None
