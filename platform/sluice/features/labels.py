"""From the column that is to be predicted to a label: the code of a class, or a number.

Which of the two it is follows from the column's type and values where the project does not say it, and the step says in
its log what it found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import ibis
import numpy as np

from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.core.plain_text import one_line
from sluice.engine.duckdb_engine import arrow_batches
from sluice.features.choice import near
from sluice.problems.registry import OpenedProblem, open_problem

MOST_CLASSES = 1_000
"""With more, each class has too few rows to learn it from, and a page could not show them."""
FEW_INTEGERS = 20
"""Whole numbers with at most so many different values are taken for classes where the project does not say more."""
_LONGEST = 1_000  # characters of a class's name, which stands in tables and pages
_SHOWN = 8
_BATCH = 100_000


class Declared(Protocol):
    """What a project says of its label."""

    @property
    def column(self) -> str:
        """Its column."""

    @property
    def kind(self) -> str | None:
        """The problem by its name, or None to find it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order: values of a text column, or names for false and true, or for 0, 1, 2, …."""

    @property
    def positive(self) -> str | int | bool | None:
        """Of two classes, the one that is looked for; None for the last."""


@dataclass(frozen=True)
class LabelKind:
    """What a label column holds.

    Attributes:
        problem: The form of forecasts: `binary`, `multiclass` or `regression`.
        classes: The classes' names by code; with two, the second is the positive one; none for numbers.
        values: The column's values by code.
        rows: The rows of each class, by its name; empty for numbers.
        said: What was found, in a sentence for the log.
        limits: For numbers, the least and the greatest.
    """

    problem: str
    classes: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    said: str = ""
    limits: tuple[float, float] | None = None

    def learned(self, column: ibis.Column) -> ibis.Value:
        """The label as models learn it: int64 codes of classes, or float64 numbers."""
        if not self.classes:
            return column.cast("float64")
        branches = [(column == ibis.literal(value, column.type()), code) for code, value in enumerate(self.values)]
        return ibis.cases(*branches, else_=None).cast("int64")


def is_missing(column: ibis.Column) -> ibis.Value:
    """Whether a label is missing: null, or NaN."""
    return column.isnull() | column.isnan() if column.type().is_floating() else column.isnull()


def label_kind(
    rows: ibis.Table, label: Declared, problem: OpenedProblem | None = None, key: Sequence[str] = ()
) -> LabelKind:
    """Find out what a label column holds, and refuse what cannot be learned.

    Text and truth values are classes. Whole numbers are classes where there are at most FEW_INTEGERS different ones;
    other numbers are a regression. The project's `kind` overrules that for numbers.

    Args:
        rows: Those that have a label.
        label: What the project says of it.
        problem: What `label.kind` names; None for Sluice's own by that name.
        key: The columns that identify a row, for messages.

    Raises:
        BadInput: The column cannot be a label of this kind: its type, a single class, too many classes, a number that
            is infinite, or numbers that are all equal, or one that the problem does not take; or what the project says
            of its classes is not so.
    """
    problem = problem or (open_problem(label.kind) if label.kind else None)
    name, kind = label.column, problem.problem.like if problem else ""
    column = rows[name].type()
    number = column.is_numeric() and not column.is_boolean()
    if not (number or column.is_string() or column.is_boolean()):
        raise BadInput(f"label {name!r} is of type {column}; a label is a number, text or a truth value")
    if kind == "regression" and not number:
        raise BadInput(
            f"label {name!r} is of type {column}, and label.kind {label.kind} takes a number; leave kind out"
        )
    if number and (kind == "regression" or not (kind or label.classes or column.is_integer())):
        if problem and label.classes:
            raise BadInput(f"label.classes: the problem {problem.name} has no classes; leave them out")
        found = _number(rows, label)
        if problem:
            _check_numbers(rows, name, problem, key)
        return found
    most = FEW_INTEGERS if number and not kind and not label.classes else MOST_CLASSES
    values = _values(rows, name, most)
    if number and most == FEW_INTEGERS and len(values) > most:
        return _number(rows, label)
    classes = _found(values, rows, name)
    if problem:
        _check_values(classes, label, problem)
    return _checked(_ordered(classes, label, by_number=number), label, kind)


def _check_numbers(rows: ibis.Table, name: str, problem: OpenedProblem, key: Sequence[str]) -> None:
    """Refuse numbers that a problem does not take, and say which row has the first and how many there are."""
    wrong, first, rule = 0, "", ""
    columns = [rows[name].cast("float64").name(free_name("label", key)), *(rows[each] for each in key)]
    for batch in arrow_batches(rows.select(*columns), _BATCH):
        labels = batch.column(0).to_numpy(zero_copy_only=False)
        places, told = problem.refused(labels)
        if len(places) and not wrong:
            row = ", ".join(f"{each} {str(batch.column(each)[int(places[0])])[:40]}" for each in key)
            first, rule = f"{labels[places[0]]:g} in the row {row}" if row else f"{labels[places[0]]:g}", told
        wrong += len(places)
    if wrong:
        more = f" (and {wrong - 1:,} more rows are wrong)" if wrong > 1 else ""
        words = one_line(f"label {name!r} is {first}, and the problem {problem.name} takes {rule}{more}")
        raise BadInput(f"{words}; mend it in prepare, or leave these rows out")


def _check_values(found: LabelKind, label: Declared, problem: OpenedProblem) -> None:
    """Refuse classes that a problem does not take."""
    values = np.empty(len(found.values), object)
    values[:] = found.values
    places, rule = problem.refused(values)
    if len(places):
        name = found.classes[places[0]]
        words = f"label {label.column!r} is {name!r} in {found.rows[name]:,} rows, and the problem {problem.name} takes"
        raise BadInput(f"{one_line(words)} {rule}; mend it in prepare, or leave these rows out")


def _number(rows: ibis.Table, label: Declared) -> LabelKind:
    name, column = label.column, rows[label.column].cast("float64")
    if label.positive is not None:
        raise BadInput(
            f"label.positive is {label.positive!r}, but label {name!r} holds numbers; say label.kind binary, or leave "
            "positive out"
        )
    found = rows.agg(
        least=column.min(), most=column.max(), infinite=column.isinf().cast("int64").sum(), n=column.count()
    )
    body = found.to_pyarrow().to_pylist()[0]
    if not body["n"]:
        raise BadInput(_no_label(name))
    if body["infinite"]:
        raise BadInput(f"label {name!r} is infinite in {body['infinite']:,} rows; mend these rows or take them out")
    if body["least"] == body["most"]:
        raise BadInput(f"label {name!r} is {body['least']:g} in all {body['n']:,} rows: there is nothing to learn")
    said = f"label {name!r}: a number from {body['least']:g} to {body['most']:g}, "
    said += f"the problem is {label.kind}" if label.kind not in (None, "regression") else "so a regression"
    if rows[name].type().is_integer() and not label.kind:
        said += f" (more than {FEW_INTEGERS} different values; label.kind: multiclass would make them classes)"
    return LabelKind("regression", said=said, limits=(body["least"], body["most"]))


def _values(rows: ibis.Table, name: str, most: int) -> list[tuple[Any, int]]:
    """The column's different values with their rows, in order of the values; no more than `most` + 1 of them."""
    counted = rows.group_by(rows[name].name("value")).agg(n=lambda table: table.count()).order_by("value")
    return [(row["value"], int(row["n"])) for row in counted.limit(most + 1).to_pyarrow().to_pylist()]


def _found(values: Sequence[tuple[Any, int]], rows: ibis.Table, name: str) -> LabelKind:
    """The classes in order of their values."""
    if not values:
        raise BadInput(_no_label(name))
    if len(values) > MOST_CLASSES:
        total = int(rows[name].nunique().to_pyarrow().as_py())
        raise BadInput(
            f"label {name!r} has {total:,} different values, and at most {MOST_CLASSES:,} classes can be told apart; "
            "group them in prepare, or predict another column"
        )
    names = [class_name(value) for value, _ in values]
    for text in names:
        if not text.strip() or len(text) > _LONGEST:
            long = f"… ({len(text):,} characters)" if len(text) > _LONGEST else ""
            raise BadInput(f"label {name!r} has the class {text[:40]!r}{long}, which is no name; mend it in prepare")
    counts = {text: n for text, (_, n) in zip(names, values, strict=True)}
    return LabelKind("", tuple(names), tuple(value for value, _ in values), counts)


def _ordered(found: LabelKind, label: Declared, *, by_number: bool) -> LabelKind:
    """The classes in the order that the project declares, under the names that it declares."""
    if not label.classes:
        return found
    if any(isinstance(value, str) for value in found.values):
        values: dict[str, Any] = {name: name for name in label.classes}
    else:
        codes = range(len(label.classes)) if by_number else (False, True)
        if len(codes) != len(label.classes):
            raise BadInput(f"label.classes names {len(label.classes)} classes of a truth value; name two: false, true")
        values = dict(zip(label.classes, codes, strict=True))
    for value, n in zip(found.values, found.rows.values(), strict=True):
        if value not in values.values():
            hint = near(str(value), values) if isinstance(value, str) else f"; they stand for 0 to {len(values) - 1}"
            raise BadInput(
                f"label {label.column!r} is {class_name(value)!r} in {n:,} rows, which label.classes does not name"
                f"{hint.replace('it has', 'it names')}"
            )
    rows = dict(zip(found.values, found.rows.values(), strict=True))
    for name, value in values.items():
        if value not in rows:
            raise BadInput(
                f"label {label.column!r} has no row of class {name!r} among {sum(rows.values()):,} rows; use data that "
                "hold every class, or take it out of label.classes"
            )
    counts = {name: rows[value] for name, value in values.items()}
    return replace(found, classes=tuple(values), values=tuple(values.values()), rows=counts)


def _checked(found: LabelKind, label: Declared, kind: str) -> LabelKind:
    name, names = label.column, list(found.classes)
    if len(names) == 1:
        raise BadInput(
            f"label {name!r} is {names[0]!r} in all {found.rows[names[0]]:,} rows: there is nothing to tell apart; use "
            "data that hold other classes too"
        )
    if kind == "binary" and len(names) > 2:
        raise BadInput(
            f"label.kind is {label.kind}, but label {name!r} has {len(names)} classes: {_listed(names)}; leave kind "
            "out, or group them in prepare"
        )
    order = _positive_last(found, label)
    names = [names[place] for place in order]
    problem = "binary" if len(names) == 2 else "multiclass"
    said = f"label {name!r}: {len(names)} classes, so {problem}: {_listed(names)}"
    if problem == "binary":
        said += f"; {names[1]} is looked for"
        said += "" if label.positive is not None else " (set label.positive for the other)"
    return LabelKind(
        problem,
        tuple(names),
        tuple(found.values[place] for place in order),
        {text: found.rows[text] for text in names},
        one_line(said),
    )


def _positive_last(found: LabelKind, label: Declared) -> list[int]:
    """The order of two classes, the positive one last; more stay as they are."""
    names, places = list(found.classes), list(range(len(found.classes)))
    if label.positive is None:
        return places
    if len(names) > 2:
        raise BadInput(
            f"label.positive is {label.positive!r}, but label {label.column!r} has {len(names)} classes; leave it out"
        )
    wanted = class_name(label.positive)
    places_of = [place for place in places if wanted in (names[place], class_name(found.values[place]))]
    if not places_of:
        raise BadInput(
            f"label.positive is {label.positive!r}, which is no class of label {label.column!r}; it has "
            f"{_listed(names)}"
        )
    return [place for place in places if place != places_of[0]] + places_of[:1]


def class_name(value: Any) -> str:  # noqa: ANN401 - a cell
    """A class's name: its text, `true` or `false`, or the number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _no_label(name: str) -> str:
    return f"label {name!r} is missing in every row that is not left out; there is nothing to learn from"


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
