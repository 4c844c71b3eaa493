"""The relational engine behind Ibis: DuckDB inside the step's process.

A step writes its work as Ibis expressions over tables; only this file knows which engine runs them. The expressions of
sampling are tested on Spark too (`tests/local/test_spark_sampling.py`); no step runs there.
"""

import secrets
from pathlib import Path
from typing import Any

import duckdb
import ibis

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.cluster import EngineVariables

MEMORY_LIMIT = EngineVariables.memory.name


def duckdb_engine(scratch: Path | None = None, *, memory: str | None = None, threads: int | None = None) -> Any:  # noqa: ANN401 - Ibis's backends have no common public type
    """A DuckDB in memory that spills to `scratch`, never reaches for a network, and keeps the order of rows.

    Keeping the order makes the bytes that it writes a function of the bytes that it read, which content addresses need.

    Args:
        scratch: Folder for spilled blocks.
        memory: A size such as `512MB`; by default the variable SLUICE_ENGINE_MEMORY, else DuckDB's own choice.
        threads: By default one a core.

    Raises:
        BadInput: The memory limit is no size, or too small to start with.
    """
    options: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    limit = memory or settings().engine.memory
    if limit:
        options["memory_limit"] = limit
    if threads:
        options["threads"] = threads
    if scratch:
        options["temp_directory"] = str(scratch)
    try:
        engine = ibis.duckdb.connect(**options)
    except duckdb.Error as error:
        if not limit:
            raise
        raise BadInput(f"{MEMORY_LIMIT}={limit!r}: {_reason(error)}; give a size such as 512MB, or unset it") from None
    engine.raw_sql("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    return engine


def _reason(error: duckdb.Error) -> str:
    return str(error).split("\n", 1)[0].partition("Error: ")[2]


def arrow_batches(table: ibis.Table, rows: int) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    """Run a DuckDB table expression and stream its rows, in its order, while memory stays bounded.

    Ibis 12's own `to_pyarrow_batches` calls a method that DuckDB 2.0 no longer has.

    Args:
        table: The expression.
        rows: About how many rows a batch has.

    Returns:
        A `pyarrow.RecordBatchReader`. A failure while it is read is a `pyarrow.ArrowException`.
    """
    engine = table.get_backend()
    name = f"stream_{secrets.token_hex(8)}"
    engine.create_view(name, table)  # it stays until the engine goes: DuckDB drops nothing that a stream reads
    return engine.con.table(name).to_arrow_reader(rows)
