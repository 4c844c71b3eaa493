"""DuckDB's CSV reader, set to read RFC 4180 and to guess nothing."""

import glob
from collections.abc import Mapping, Sequence
from typing import Any

import ibis

from sluice.sources.source_files import SourceFile

# An unquoted NA or nothing is a missing value; what is quoted is text.
DIALECT: dict[str, Any] = {
    "header": True,
    "delim": ",",
    "quote": '"',
    "escape": '"',
    "nullstr": ["NA", ""],
    "allow_quoted_nulls": False,
    "strict_mode": True,
    "compression": "none",
    "auto_detect": False,  # else it looks at the first rows to guess a dialect, for minutes where columns are many
}


def scan(
    engine: Any,  # noqa: ANN401 - see engines
    file: SourceFile,
    header: Sequence[str],
    read_as: Mapping[str, str],
    **options: Any,  # noqa: ANN401 - DuckDB's
) -> ibis.Table:
    """The file as a table of the wanted columns, in the order wanted.

    Args:
        engine: From `sluice.engine.duckdb_engine.duckdb_engine`.
        file: A CSV file.
        header: Its columns' names, in its order.
        read_as: DuckDB's type for each wanted column.
        options: More options of DuckDB's `read_csv`. With `parallel` (its default) a thread guesses where in the file
            rows begin, and may guess wrongly inside a quoted value.
    """
    # DuckDB ignores case in names, and a header may hold anything: only places are sure.
    types = {f"c{place}": read_as.get(name, "VARCHAR") for place, name in enumerate(header)}
    table = engine.read_csv(glob.escape(str(file.path)), columns=types, **DIALECT, **options)
    return table.select(**{f"v{place}": table[f"c{header.index(name)}"] for place, name in enumerate(read_as)})
