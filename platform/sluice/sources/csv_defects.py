"""Finding what is wrong with a CSV file, and where: a second, slower look once reading it has failed."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import ibis

from sluice.contract.reading import Column
from sluice.core.errors import EnvironmentFault
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.sources.conversions import EXACT
from sluice.sources.csv_counts import CsvCount
from sluice.sources.csv_rows import BrokenRow, numbered_rows, odd_line, uneven_row
from sluice.sources.csv_scan import scan
from sluice.sources.source_files import SourceFile
from sluice.sources.value_refusals import wrong_value

_STRUCTURE = {
    "UNQUOTED VALUE": "a quoted value is not closed, or text follows it; quote the whole value and double quotes in it",
    "INVALID ENCODING": "not UTF-8; save the file in UTF-8",
    "LINE SIZE OVER MAXIMUM": "a row longer than 2 MB, the most that is read; or a quote is not closed",
}
_REJECTS = 100


def find_defect(file: SourceFile, header: Sequence[str], columns: Mapping[str, Column], count: CsvCount) -> str | None:
    """Say what is wrong with a file and where, or None when every row fits its columns.

    Raises:
        EnvironmentFault: DuckDB has too little memory.
    """
    if defect := odd_line(file, count):
        return defect
    engine = duckdb_engine(threads=1)  # one thread meets rows in their order, so the first defect is the first
    text = dict.fromkeys(columns, "VARCHAR")
    try:
        table = scan(engine, file, header, text, store_rejects=True, rejects_limit=_REJECTS, parallel=False)
        table.agg(**{name: table[name].count() for name in table.columns}).to_pyarrow()
        rejects = engine.table("reject_errors").order_by("line").limit(1).to_pyarrow().to_pylist()
        if rejects:
            return _structure(file, rejects[0], header)
        defect = _value(file, scan(engine, file, header, text, parallel=False), columns)
    except duckdb.OutOfMemoryException:
        raise EnvironmentFault(f"{file.name}: too little memory to read it; raise SLUICE_ENGINE_MEMORY") from None
    except duckdb.Error as error:
        return f"{file.name} is no CSV as RFC 4180 has it: {str(error).splitlines()[0]}; mend or write it anew"
    return defect or uneven_row(file, header)


def _structure(file: SourceFile, reject: Mapping[str, Any], header: Sequence[str]) -> str:
    place, kind = f"{file.name}, line {reject['line']}", reject["error_type"]
    if kind in ("MISSING COLUMNS", "TOO MANY COLUMNS") and (uneven := uneven_row(file, header)):
        return uneven
    return f"{place}: {_STRUCTURE.get(kind) or str(reject['error_message']).splitlines()[0]}"


def _value(file: SourceFile, table: ibis.Table, columns: Mapping[str, Column]) -> str | None:
    """The first value that is not what the contract says."""
    types = [column.type for column in columns.values()]
    values = [given(table[f"v{place}"], kind) for place, kind in enumerate(types)]
    wrong = [value.notnull() & EXACT[kind](value).isnull() for value, kind in zip(values, types, strict=True)]
    numbered = table.mutate(row=ibis.row_number())
    rows = numbered.filter(ibis.or_(*wrong)).limit(1)
    first = rows.mutate(**{f"w{place}": condition for place, condition in enumerate(wrong)}).to_pyarrow().to_pylist()
    for row in first:
        for place, (name, column) in enumerate(columns.items()):
            if row[f"w{place}"]:
                where = f"{file.name}, {_line(file, row['row'])}"
                return wrong_value(where, name, row[f"v{place}"], column.type)
    return None


def given(text: Any, kind: str) -> Any:  # noqa: ANN401 - Ibis's columns
    """The text to convert: what is quoted and empty is a string, yet no value of any other type."""
    return text if kind == "string" else text.nullif("")


def _line(file: SourceFile, row: int) -> str:
    """Where a row (counted from 0) stands. A row may span lines, and blank lines are no rows."""
    try:
        for number, (line, _) in enumerate(filled for filled in numbered_rows(file) if filled[1]):
            if number == row + 1:
                return f"line {line}"
    except BrokenRow:
        pass
    return f"row {row + 1}"
