"""Recipes: how the lake's tables become the table that is learned from."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis

from sluice.core.column_names import check_name, repeated
from sluice.core.errors import BadInput
from sluice.features import flights_late

LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Recipe:
    """A way to build a learning table.

    Attributes:
        build: From tables by name to one table that has the label, the key, the time, every feature that may be chosen,
            and `left_out`: the reason why a row is left out, or null.
        needs: The columns that it reads, by table.
        task: Names the registered model.
        question: The question in words.
        label: The column with the class code.
        classes: The classes' names by code; at least two.
        key: Columns that identify a row.
        time: The time of prediction.
        slices: Columns that evaluation looks at by group.
        heuristic: The feature that a person would judge by alone, or None.
        features: The features by default.
        cluster: The column whose equal values mark rows that depend on each other; None for the days of `time`.
    """

    build: Callable[[Mapping[str, ibis.Table]], ibis.Table]
    needs: Mapping[str, tuple[str, ...]]
    task: str
    question: str
    label: str
    classes: tuple[str, ...]
    key: tuple[str, ...]
    time: str
    slices: tuple[str, ...]
    heuristic: str | None
    features: tuple[str, ...]
    cluster: str | None = None


RECIPES = {
    "flights_late": Recipe(
        build=flights_late.build,
        needs=flights_late.NEEDS,
        task="flights-late",
        question="Will this flight arrive more than 15 minutes late, judged at the time it is scheduled?",
        label="late",
        classes=("on time", "late"),
        key=("time_hour", "carrier", "flight"),
        time="time_hour",
        slices=("carrier", "origin", "month"),
        heuristic="hour",
        features=flights_late.FEATURES,
    ),
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        BadInput: There is none.
    """
    if name not in RECIPES:
        raise BadInput(f"parameter recipe={name!r} is unknown; use one of {', '.join(sorted(RECIPES))}")
    return RECIPES[name]


def choose_features(recipe: Recipe, table: ibis.Table, chosen: Sequence[str]) -> tuple[str, ...]:
    """The features asked for, or the recipe's own where none are.

    Raises:
        BadInput: One is unknown, named twice, the label itself, or neither number nor string.
    """
    known = [name for name in table.columns if name not in (recipe.label, LEFT_OUT)]
    for position, name in enumerate(chosen):
        if name == recipe.label:
            raise BadInput(f"parameter features: {name!r} is the label, the very thing to predict; leave it out")
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3) or sorted(known)
            raise BadInput(f"parameter features: {name!r} is no column of the recipe; did you mean {', '.join(near)}?")
        if name in chosen[:position]:
            raise BadInput(f"parameter features names {name!r} twice; name it once")
        kind = table[name].type()
        if not (kind.is_numeric() or kind.is_string() or kind.is_boolean()):
            raise BadInput(
                f"parameter features: {name!r} is {kind}; models take numbers and strings, choose another column"
            )
    return tuple(chosen) or recipe.features


def build(recipe: Recipe, name: str, tables: Mapping[str, ibis.Table], engine: Any) -> ibis.Table:  # noqa: ANN401 - see engines
    """Run a recipe, and check what it says of its own table.

    Args:
        recipe: The recipe.
        name: Its name, for errors.
        tables: What it may read.
        engine: The Ibis backend that holds them.

    Raises:
        BadInput: The recipe changed the engine's tables, has fewer than two classes, or names a column that its table
            lacks.
    """
    before = _catalog(engine)
    table = recipe.build(tables)
    changed = sorted(before.items() ^ _catalog(engine).items())
    if changed:
        raise BadInput(
            f"recipe {name!r} made or changed the engine's table {changed[0][0]!r}, which cannot be traced; "
            "write it as one expression over the tables given"
        )
    if len(recipe.classes) < 2 or len(set(recipe.classes)) < len(recipe.classes):
        raise BadInput(f"recipe {name!r} names the classes {list(recipe.classes)}; name two or more, all different")
    named = {"label": [recipe.label], "key": recipe.key, "time": [recipe.time], "slices": recipe.slices}
    named |= {"features": recipe.features, "left-out reason": [LEFT_OUT]}
    named |= {"cluster": [recipe.cluster] if recipe.cluster else []}
    named |= {"heuristic": [recipe.heuristic] if recipe.heuristic else []}
    _check_columns(name, table)
    for role, columns in named.items():
        if twice := repeated(columns):
            raise BadInput(f"recipe {name!r}: its {role} names {twice!r} twice; name it once")
        for column in columns:
            if column not in table.columns:
                raise BadInput(
                    f"recipe {name!r}: its {role} {column!r} is no column of its table{_near(column, table)}"
                )
    return table


def _check_columns(name: str, table: ibis.Table) -> None:
    """Refuse columns that differ in case only: DuckDB takes them for one."""
    first: dict[str, str] = {}
    for column in table.columns:
        check_name(column, f"recipe {name!r}: its table")
        other = first.setdefault(column.casefold(), column)
        if other != column:
            beside = f"recipe {name!r}: its table has {column!r} beside {other!r}"
            raise BadInput(f"{beside}; names must differ by more than case")


def _near(column: str, table: ibis.Table) -> str:
    near = difflib.get_close_matches(column, table.columns, n=3)
    return f"; did you mean {', '.join(near)}?" if near else f"; it has {', '.join(sorted(table.columns))}"


def _catalog(engine: Any) -> dict[str, str]:  # noqa: ANN401 - see engines
    """The engine's tables and views, each with what defines it."""
    rows = engine.con.execute(
        "SELECT database_name || '.' || schema_name || '.' || table_name, table_oid || ':' || estimated_size "
        "FROM duckdb_tables() UNION ALL "
        "SELECT database_name || '.' || schema_name || '.' || view_name, view_oid || ':' || sql "
        "FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    return {str(name): str(stated) for name, stated in rows}


def check_needs(recipe: Recipe, name: str, tables: Mapping[str, ibis.Table]) -> None:
    """Refuse tables that lack what the recipe reads.

    Raises:
        BadInput: A table or a column is missing.
    """
    for table, columns in recipe.needs.items():
        if table not in tables:
            raise BadInput(f"recipe {name!r} needs the table {table!r}; the dataset has {', '.join(sorted(tables))}")
        missing = [column for column in columns if column not in tables[table].columns]
        if missing:
            raise BadInput(
                f"recipe {name!r} needs {table}.{missing[0]}, which is missing; add it to the contract and ingest"
            )
