"""What the data of a project say to its declaration: keys, label, features, sizes of the split."""

# ruff: noqa: S608 - all names in the SQL are ours: c0, c1, …

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np

from sluice.core.durations import parse_duration
from sluice.project.declaration_errors import near
from sluice.project_tools.column_facts import (
    NUMBERS,
    ColumnFacts,
    associations,
    column_facts,
    combinations,
    value_counts,
)
from sluice.project_tools.contract_tables import Opened, open_table
from sluice.project_tools.data_files import Table, looking
from sluice.project_tools.posed_problems import posed_problem
from sluice.project_tools.project_check import CheckedProject, ProjectFinding, features_of
from sluice.project_tools.proposal import MOST_CLASSES, TELLS_ALL

PARTS = ("training", "validation", "test")
FOLDS, DEFAULT_FOLDS = "folds", 5
FEW_ROWS = 30
FEW_OF_A_CLASS = 10
RARE = 0.01
FEW_INTEGERS = 20  # as the step prepare has it: with more different values, whole numbers are a quantity


def look(asked: CheckedProject) -> tuple[list[ProjectFinding], dict[str, Any]]:
    """Look at the data of a project.

    Returns:
        What was found, and what was counted.

    Raises:
        BadInput: A file cannot be read.
    """
    with looking() as connection:
        opened = open_table(connection, asked.lake, asked.stated, "t0")
        if opened is None:
            words = "its table is a database's, whose rows are not looked at here"
            return [asked.there("warning", words)], {}
        project = asked.project
        facts = column_facts(connection, opened.table, [project.label.column, project.rows.group])
        findings = list(_values(asked, opened, facts))
        counted: dict[str, Any] = {"rows": opened.table.rows}
        if asked.project.prepare:
            words = f"rows are made by {asked.project.prepare}: label, features and split are not looked at here"
            return [*findings, asked.here("warning", ("prepare",), words)], counted
        findings += _identity(asked, connection, opened.table, facts)
        kind = _kind(asked, facts[asked.project.label.column])
        counted |= {"kind": asked.project.label.kind or kind, "features": len(features_of(asked))}
        label = list(_label(asked, connection, opened.table, facts[asked.project.label.column], kind))
        findings += label
        if not any(finding.level == "error" for finding in (*findings, *label)):
            findings += _features(asked, connection, opened.table, facts, kind)
            sizes = split_sizes(asked, connection, opened.table)
            counted["split"] = sizes
            findings += _sizes(asked, connection, opened.table, sizes, kind)
        return findings, counted


def _values(asked: CheckedProject, opened: Opened, facts: dict[str, ColumnFacts]) -> Iterator[ProjectFinding]:
    """What the steps ingest and validate would refuse."""
    for wrong in opened.wrong:
        kind = asked.stated.columns[wrong.column].type
        words = f"{wrong.column!r} has {wrong.example!r}, which is no {kind} ({wrong.rows:,} such rows)"
        yield asked.there("error", f"{words}; correct them, or the type", wrong.column)
    for name, stated in asked.stated.columns.items():
        found = facts[name]
        if found.missing and not stated.nullable and not any(wrong.column == name for wrong in opened.wrong):
            words = f"{name!r} is missing in {found.missing:,} rows; write nullable: true, or fill them in"
            yield asked.there("error", words, name)
        outside = stated.range and found.least is not None and not stated.tolerance
        if outside and stated.range and (found.least < stated.range[0] or found.greatest > stated.range[1]):
            words = f"{name!r} goes from {found.least:g} to {found.greatest:g}, beyond its range {list(stated.range)}"
            yield asked.there("error", f"{words}; widen it, or correct the values", name)


def _identity(
    asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table, facts: dict[str, ColumnFacts]
) -> Iterator[ProjectFinding]:
    rows = asked.project.rows
    for name in asked.key:
        if facts[name].missing:
            yield _at_key(asked, f"the key's {name!r} is missing in {facts[name].missing:,} rows; fill it in")
    different = table.rows if not asked.key else combinations(connection, table, asked.key)
    if different < table.rows:
        columns = [table.sql(name) for name in asked.key]
        names = ", ".join(columns)
        twice = (
            f"SELECT {names}, count(*) n FROM {table.name} GROUP BY ALL HAVING n > 1 ORDER BY n DESC, {names} LIMIT 1"
        )
        *example, times = connection.execute(twice).fetchone() or ("", 0)
        shown = ", ".join(f"{name} {str(value)[:30]}" for name, value in zip(asked.key, example, strict=True))
        words = (
            f"the key {', '.join(asked.key)} is not unique: {table.rows - different:,} rows too many ({shown} stands in"
        )
        yield _at_key(asked, f"{words} {times:,} rows); add a column to the key, or take the copies away")
    if rows.time and facts[rows.time].missing:
        yield asked.here("error", ("rows", "time"), f"{rows.time!r} is missing in {facts[rows.time].missing:,} rows")
    if rows.group and facts[rows.group].distinct == table.rows:
        words = f"{rows.group!r} has another value in every row, so no rows depend on each other; leave it out"
        yield asked.here("warning", ("rows", "group"), words)


def _at_key(asked: CheckedProject, words: str) -> ProjectFinding:
    if asked.project.rows.key:
        return asked.here("error", ("rows", "key"), words)
    line = asked.lines.of(("tables", asked.project.rows.table, "key"))
    return ProjectFinding("error", asked.shown, line, words)


def _kind(asked: CheckedProject, label: ColumnFacts) -> str:
    """The form of forecasts: as declared, else as the column has it."""
    if form := posed_problem(asked.file).form:
        return form
    codes = label.type == "int64" and (label.distinct <= FEW_INTEGERS or bool(asked.project.label.classes))
    if label.type in NUMBERS and not codes:
        return "regression"
    return "binary" if label.distinct == 2 else "multiclass"


def _label(
    asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table, label: ColumnFacts, kind: str
) -> Iterator[ProjectFinding]:
    column = ("label", "column")
    if label.type in ("timestamp", "date"):
        yield asked.here("error", column, f"{label.name!r} holds times; predict a number, a truth value or a class")
        return
    if label.infinite:
        words = f"{label.name!r} is infinite in {label.infinite:,} rows; correct them, or leave them empty"
        yield asked.here("error", column, words)
    if label.distinct < 2:
        words = f"{label.name!r} has {label.distinct} value in all rows; there is nothing to learn"
        yield asked.here("error", column, words)
        return
    if label.missing:
        share = label.missing / label.rows
        words = f"{label.name!r} is missing in {label.missing:,} rows ({share:.1%}); they are left out"
        yield asked.here("warning", column, words)
    if kind == "regression":
        if label.type not in NUMBERS:
            words = f"{label.name!r} is {label.type}, and a regression predicts numbers; write kind: multiclass"
            yield asked.here("error", ("label", "kind"), words)
            return
        yield from _not_taken(asked, connection, table, label)
        return
    yield from _classes(asked, label, kind, value_counts(connection, table, label.name, MOST_CLASSES + 1))


def _not_taken(
    asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table, label: ColumnFacts
) -> Iterator[ProjectFinding]:
    """Labels that a problem of Sluice's own does not take; anybody else's code is not run here."""
    opened = posed_problem(asked.file).problem
    if opened is None:
        return
    column = table.sql(label.name)
    query = f"SELECT DISTINCT CAST({column} AS DOUBLE) AS v FROM {table.name} ORDER BY v"
    labels = np.ma.filled(np.ma.asarray(connection.execute(query).fetchnumpy()["v"], np.float64), np.nan)
    labels = labels[np.isfinite(labels)]
    wrong, rule = opened.refused(labels)
    if len(wrong):
        words = f"{label.name!r} has {labels[wrong[0]]:g} ({len(wrong):,} such values), and {opened.name} takes {rule}"
        yield asked.here("error", ("label", "kind"), f"{words}; mend them, or write kind: regression")


def _classes(
    asked: CheckedProject, label: ColumnFacts, kind: str, counts: Sequence[tuple[Any, int]]
) -> Iterator[ProjectFinding]:
    declared = ("label", "kind") if asked.project.label.kind else ("label", "column")
    if kind == "binary" and label.distinct != 2:
        words = f"{label.name!r} has {label.distinct:,} values, and kind: binary is for two; write kind: multiclass"
        yield asked.here("error", declared, words)
        return
    if label.distinct > MOST_CLASSES or label.distinct > label.filled / 2:
        way_out = "write kind: regression" if label.type in NUMBERS else "predict another column"
        words = f"{label.name!r} has {label.distinct:,} different values in {label.filled:,} rows, too many for classes"
        yield asked.here("error", declared, f"{words}; {way_out}")
        return
    positive = asked.project.label.positive
    values = [_class(value) for value, _ in counts]
    if positive is not None and _class(positive) not in (*values, *asked.project.label.classes):
        words = f"{_class(positive)[:40]!r} is no value of {label.name!r}{near(_class(positive), values)}"
        yield asked.here("error", ("label", "positive"), f"{words}; it has {', '.join(values[:8])}")
    rare = [(value, n) for value, n in counts if n < FEW_OF_A_CLASS]
    if rare:
        named = ", ".join(f"{str(value)[:30]} {n}" for value, n in rare[:5])
        words = f"{len(rare)} of {label.distinct} classes have fewer than {FEW_OF_A_CLASS} rows ({named}); join some"
        yield asked.here("warning", ("label", "column"), words)
    least = counts[-1][1] / label.filled
    if label.distinct == 2 and least < RARE:
        words = (
            f"{str(counts[-1][0])[:30]} stands in {least:.2%} of rows only ({counts[-1][1]:,}); numbers of it are wide"
        )
        yield asked.here("warning", ("label", "column"), words)
    if asked.project.label.classes and label.type == "string":
        unknown = [value for value in values if value not in asked.project.label.classes]
        if unknown:
            words = f"the data have the class {unknown[0][:40]!r}, which label.classes does not name; add it"
            yield asked.here("error", ("label", "classes"), words)


def _class(value: object) -> str:
    """A class's name, as the step prepare makes it of a value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _features(
    asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table, facts: dict[str, ColumnFacts], kind: str
) -> Iterator[ProjectFinding]:
    features = features_of(asked)
    for name in features:
        found = facts[name]
        if found.infinite:
            words = f"{name!r} is infinite in {found.infinite:,} rows; correct them, or leave them empty"
            yield asked.there("error", words, name)
        elif found.distinct < 2:
            yield asked.there("warning", f"{name!r} has {found.distinct} value in all rows; it tells nothing", name)
    told = associations(connection, table, asked.project.label.column, features, classes=kind != "regression")
    for name, share in told.items():
        if share >= TELLS_ALL:
            label = asked.project.label.column
            words = f"{name!r} alone tells {share:.0%} of {label!r}: is it known before {label!r} is? Else leave it out"
            yield asked.there("warning", words, name)
    baseline = asked.project.train.baseline
    if baseline and baseline not in features:
        yield asked.here("error", ("train", "baseline"), f"{baseline!r} is not among the features; name one of them")


def split_sizes(asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table) -> list[int]:
    """About how many rows training, validation and test will have.

    Rows without a label are left out. In a split by time, a part ends so long before the next one as the gap says.
    """
    project = asked.project
    label, fraction = table.sql(project.label.column), project.sample.fraction
    is_float = table.columns[project.label.column] == "float64"
    filled = f"{label} IS NOT NULL" + (f" AND NOT isnan({label})" if is_float else "")
    (rows,) = connection.execute(f"SELECT count(*) FROM {table.name} WHERE {filled}").fetchone() or (0,)
    if project.sample.rows:
        fraction = min(1.0, project.sample.rows / max(rows, 1))
    if project.split_by == FOLDS:
        number, kept = project.split.folds or DEFAULT_FOLDS, round(rows * fraction)
        return [kept - kept // number, kept // number, kept]
    if project.split_by != "time" or not project.rows.time:
        return [round(rows * fraction * share) for share in project.split.shares]
    clock = f"CAST({table.sql(project.rows.time)} AS TIMESTAMP)"
    first, second, _ = project.split.shares
    seconds = parse_duration(project.split_gap) if project.split_gap else 0
    gap = f"INTERVAL ({seconds}) SECONDS"
    query = (
        f"WITH r AS (SELECT {clock} AS t FROM {table.name} WHERE {filled}), "
        f"q AS (SELECT quantile_disc(t, {first}) AS v, quantile_disc(t, {first + second}) AS w FROM r) "
        f"SELECT count(*) FILTER (t < v - {gap}), count(*) FILTER (t >= v AND t < w - {gap}), count(*) FILTER (t >= w) "
        "FROM r, q"
    )
    found = connection.execute(query).fetchone() or (0, 0, 0)
    return [round(int(n) * fraction) for n in found]


def _sizes(
    asked: CheckedProject, connection: duckdb.DuckDBPyConnection, table: Table, sizes: Sequence[int], kind: str
) -> Iterator[ProjectFinding]:
    project = asked.project
    place = ("split",)
    for part, rows in zip(PARTS, sizes, strict=True):
        if rows == 0:
            gap = f", of which the gap of {project.split_gap} takes all" if project.split_gap else ""
            words = f"no row is left for {part}{gap}; change the shares or the gap, or give more data"
            yield asked.here("error", place, words)
        elif rows < FEW_ROWS and (project.split_by != FOLDS or part == "test"):
            few = f"only about {rows} rows for {part}; intervals will be wide"
            can = not project.split.by and not project.rows.time
            yield asked.here("warning", place, f"{few}; split: {{by: folds}} judges on all rows" if can else few)
    parts = project.split.folds or DEFAULT_FOLDS if project.split_by == FOLDS else len(PARTS)
    named = f"{parts} folds" if project.split_by == FOLDS else "three parts"
    if project.split_by in ("group", FOLDS) and project.rows.group:
        counts = value_counts(connection, table, project.rows.group, 1)
        groups = combinations(connection, table, [project.rows.group])
        if groups < parts:
            words = f"{project.rows.group!r} has {groups} values, and {named} need one each; split otherwise"
            yield asked.here("error", ("rows", "group"), words)
        elif counts and counts[0][1] > 0.5 * table.rows:
            words = (
                f"{str(counts[0][0])[:30]} of {project.rows.group!r} has {counts[0][1] / table.rows:.0%} of the rows"
            )
            yield asked.here("warning", ("rows", "group"), f"{words}: the shares cannot be kept")
    if kind != "regression":
        label = project.label.column
        value, least = value_counts(connection, table, label, MOST_CLASSES + 1)[-1]
        if project.split_by in ("stratified", FOLDS) and least < parts:
            words = f"the class {str(value)[:30]!r} of {label!r} has {least} rows, and {named} need one each"
            yield asked.here("error", ("label", "column"), f"{words}; join it with another, or leave its rows out")
