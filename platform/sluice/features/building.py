"""Runs a project's prepare function: from the lake's tables to the one that is learned from."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import ibis

from sluice.core.column_names import check_name
from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.features.choice import near
from sluice.project.code_modules import ProjectCode

Prepare = Callable[[Mapping[str, ibis.Table]], ibis.Table]


@dataclass(frozen=True)
class OpenedPrepare:
    """A prepare function that can be called.

    Attributes:
        function: It.
        blamed: Gives a context that turns what it raises into one line.
        package: The package that brings it, with its version; empty for a project's own.
    """

    function: Prepare
    blamed: Callable[[], AbstractContextManager[None]]
    package: str = ""


def open_prepare(name: str, code: ProjectCode | None) -> OpenedPrepare:
    """Load a prepare function.

    Args:
        name: `file.py:name` of a project, or an installed package's name for it.
        code: The project's code; it may bring the package along.

    Raises:
        BadInput: It is not there, cannot be imported, or is no function of the tables.
    """
    if is_reference(name):
        if code is None:
            raise BadInput(
                f"the task's rows are made by {name}, and no parameter names the archive that holds it; start the run "
                "in the project's folder, which takes the code along"
            )
        return OpenedPrepare(code.load(name), partial(code.blamed, name, log=True))
    found = PREPARE_FUNCTIONS.opened(name)
    return OpenedPrepare(found.thing, found.blamed, PREPARE_FUNCTIONS.origin(name))


def build_table(
    function: Prepare,
    reference: str,
    tables: Mapping[str, ibis.Table],
    engine: Any,  # noqa: ANN401 - see engines
    blamed: AbstractContextManager[None] | None = None,
) -> ibis.Table:
    """Call a prepare function, and check that what it gives is a table over those that it was given.

    Args:
        function: A project's, or a package's.
        reference: By which the project names it, for messages.
        tables: The lake's, by name.
        engine: The Ibis backend that holds them.
        blamed: Turns what the function raises into one line (`ProjectCode.blamed`).

    Raises:
        BadInput: It raised, gave no table, or changed the engine's own tables.
    """
    before = _catalog(engine)
    with blamed or nullcontext():
        built = function(_Tables(tables, reference))
    if not isinstance(built, ibis.Table):
        given = "None" if built is None else f"a {type(built).__name__}"
        raise BadInput(f"{reference} gave {given}, not an Ibis table; end it with `return` and the table")
    changed = sorted(before.items() ^ _catalog(engine).items())
    if changed:
        raise BadInput(
            f"{reference} made or changed the engine's table {changed[0][0]!r}, which cannot be traced; "
            "write it as one expression over the tables given"
        )
    check_columns(built, f"the table of {reference}")
    return built


def computed(table: ibis.Table, where: str) -> ibis.Table:
    """The table's rows, kept in the engine.

    Args:
        table: An expression.
        where: What gave it, for the message.

    Raises:
        BadInput: The engine cannot compute what a project's code asks for.
    """
    try:
        return table.cache()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise BadInput(f"{where}: the engine cannot compute its rows: {error}") from None


def check_columns(table: ibis.Table, where: str) -> None:
    """Refuse names that no table can keep, and those that differ in case only: DuckDB takes them for one."""
    first: dict[str, str] = {}
    for column in table.columns:
        check_name(column, where)
        other = first.setdefault(column.casefold(), column)
        if other != column:
            raise BadInput(f"{where} has the column {column!r} beside {other!r}; names must differ by more than case")


class _Tables(dict[str, ibis.Table]):
    """The lake's tables; one that is not there is told by name."""

    def __init__(self, tables: Mapping[str, ibis.Table], reference: str) -> None:
        super().__init__(tables)
        self._reference = reference

    def __missing__(self, name: str) -> ibis.Table:
        raise BadInput(f"{self._reference}: the lake has no table {name!r}{near(str(name), self)}")


def _catalog(engine: Any) -> dict[str, str]:  # noqa: ANN401 - see engines
    """The engine's tables and views, each with what defines it."""
    rows = engine.con.execute(
        "SELECT database_name || '.' || schema_name || '.' || table_name, table_oid || ':' || estimated_size "
        "FROM duckdb_tables() UNION ALL "
        "SELECT database_name || '.' || schema_name || '.' || view_name, view_oid || ':' || sql "
        "FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    return {str(name): str(stated) for name, stated in rows}
