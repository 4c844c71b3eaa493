"""What a project could be, guessed from its data: each guess with the reason for it.

Guesses are to be read and corrected; nothing here is decided for good. What nobody can see in data, such as when a
value is known, is left to the person, in words.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations as choose
from typing import Any

import duckdb

from sluice.core.errors import BadInput
from sluice.project.declaration_errors import near
from sluice.project_tools.column_facts import (
    NUMBERS,
    TIMES,
    ColumnFacts,
    associations,
    both_missing,
    column_facts,
    combinations,
    earliest_shares,
    value_counts,
)
from sluice.project_tools.data_files import Table

TELLS_ALL = 0.98
"""From here on a single feature explains the label so well that it may be another form of it."""
SMALL_ROWS = 1_000
SMALL_GROUPS = 100
MOST_FOLD_ROWS = 10_000  # with more, several trainings cost more than a test part of few groups
FOLDS = 5
MOST_CODES = 10  # a whole number with more different values is a quantity
MOST_CLASSES = 1_000
MOST_SLICES = 3
_ID = re.compile(
    r"(^|[_\s.-])(id|key|uuid|guid|code|no|nr|num|number|index|row)$|^(id|key|row|index)([_\s.-]|$)|[a-z]I[dD]$", re.I
)
_KIN = re.compile(
    r"(^|[_\s.-])(customer|client|patient|user|person|subject|account|household|device|machine|member|student|employee|"
    r"driver|store|shop|vehicle|vin|serial|sensor|site|plant|animal|owner|session)",
    re.I,
)
_NO_EVENT = re.compile(r"birth|born|dob|built|founded|valid|expir|due|until|\bend", re.I)
_NAMES = re.compile(
    r"(^|[_\s.-])(flight|order|invoice|ticket|case|trip|booking|item|product|sku|carrier|plate|visit|"
    r"seq|step|round|wave|day|week|month|year|period|snapshot)",
    re.I,
)
_POSITIVE = re.compile(
    "yes|y|true|t|1|positive|pos|late|left|churn(ed)?|fraud|default(ed)?|died|dead|sick|bad|fail(ed|ure)?|malignant|spam|"
    "won|sold|survived|accepted|clicked|cancell?ed"
)


@dataclass(frozen=True)
class Guess:
    """One guess.

    Attributes:
        topic: What of, such as `key`.
        choice: What was guessed.
        reason: Why.
    """

    topic: str
    choice: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """A project as guessed.

    Attributes:
        table: The table's data.
        facts: Of its columns.
        label: The column to predict.
        kind: `binary`, `multiclass` or `regression`.
        positive: With two classes, the value that is looked for.
        key: Columns that identify a row; empty where none do.
        time: When the question is asked of a row.
        group: Whose rows depend on each other.
        features: Columns to learn from.
        doubtful: Columns that may be known too late, or say nothing, each with the reason.
        split: By what the rows are divided.
        shares: Of training, validation and test; of folds, none.
        metric: What candidates are chosen by.
        baseline: The feature that a person would judge by alone.
        slices: Columns whose groups reports look at.
        guesses: All of it in words.
    """

    table: Table
    facts: dict[str, ColumnFacts]
    label: str
    kind: str
    positive: Any
    key: tuple[str, ...]
    time: str | None
    group: str | None
    features: tuple[str, ...]
    doubtful: dict[str, str]
    split: str
    shares: tuple[float, ...]
    metric: str
    baseline: str | None
    slices: tuple[str, ...]
    guesses: tuple[Guess, ...]


def propose(connection: duckdb.DuckDBPyConnection, table: Table, label: str) -> Proposal:
    """Look at a table and guess a project that predicts one of its columns.

    Args:
        connection: That the table was opened in.
        table: From `data_files.open_files`.
        label: The column to predict.

    Raises:
        BadInput: There is no such column, or it cannot be predicted: without values, with one, with too many.
    """
    if label not in table.columns:
        raise BadInput(
            f"--predict {label!r} is no column{near(label, table.columns)}; there are {_some(list(table.columns))}"
        )
    facts = column_facts(connection, table)
    guesses: list[Guess] = []
    kind, positive = _label(connection, table, facts[label], guesses)
    time, later = _time(connection, table, facts, label, guesses)
    key = _key(connection, table, facts, label, time, guesses)
    group = _group(facts, label, key, guesses)
    # Of several columns that identify a row together, a text such as a carrier may well be a feature.
    names = key if len(key) == 1 else [name for name in key if _names_rows(facts[name]) or facts[name].type != "string"]
    usable, doubtful = _features(facts, {label, time, *names, group})
    doubtful |= later
    told = associations(connection, table, label, usable, classes=kind != "regression")
    for name in [name for name in usable if told[name] >= TELLS_ALL]:
        doubtful[name] = f"tells {label} almost alone ({told[name]:.0%} of it): is it known before {label} is?"
        usable.remove(name)
    for name, reason in _missing_alike(connection, table, facts, label, usable).items():
        doubtful[name] = reason
        usable.remove(name)
    _say_features(usable, doubtful, guesses)
    rarest = value_counts(connection, table, label, MOST_CLASSES + 1)[-1][1] if kind != "regression" else None
    split, shares = _split(facts[label], time, facts[group] if group else None, kind, rarest, guesses)
    metric = "rmse" if kind == "regression" else "log_loss"
    baseline = max(usable, key=lambda name: told[name]) if usable and max(map(told.__getitem__, usable)) > 0 else None
    guesses.append(Guess("metric", metric, f"the usual one for {kind}"))
    if baseline:
        guesses.append(
            Guess("baseline", baseline, f"alone it explains {told[baseline]:.0%} of {label}, more than any other")
        )
    slices = _slices(connection, table, facts, usable, guesses)
    return Proposal(
        table, facts, label, kind, positive, key, time, group, tuple(usable), doubtful, split, shares, metric, baseline,
        slices, tuple(guesses),
    )  # fmt: skip


def _label(
    connection: duckdb.DuckDBPyConnection, table: Table, label: ColumnFacts, guesses: list[Guess]
) -> tuple[str, Any]:
    if label.infinite:
        raise BadInput(f"--predict {label.name!r} is infinite in {label.infinite:,} rows; correct them")
    if label.type in TIMES:
        raise BadInput(f"--predict {label.name!r} holds times; predict a number, a truth value or a class")
    if label.distinct < 2:
        raise BadInput(f"--predict {label.name!r} has {label.distinct} value in all rows; there is nothing to learn")
    missing = f", {label.missing:,} missing (these rows are left out)" if label.missing else ""
    counts = value_counts(connection, table, label.name)
    if label.distinct == 2:
        positive, why = _positive(label, counts)
        guesses.append(Guess("label", "binary", f"{label.name} has two values: {_counted(counts)}{missing}"))
        guesses.append(Guess("positive", str(positive), why))
        return "binary", positive
    codes = label.type == "int64" and label.distinct <= min(MOST_CODES, max(2, label.filled // 10))
    near_together = codes and label.greatest - label.least < 2 * MOST_CODES
    if label.type in NUMBERS and not near_together:
        words = f"{label.name} is a number, {label.distinct:,} different values from {label.least} to {label.greatest}"
        guesses.append(Guess("label", "regression", words + missing))
        return "regression", None
    if label.distinct > MOST_CLASSES or (label.distinct > 20 and label.distinct > label.filled / 2):
        raise BadInput(
            f"--predict {label.name!r} is text with {label.distinct:,} different values in {label.filled:,} rows: no "
            "classes to tell apart; predict another column"
        )
    kind = "whole numbers" if codes else "texts"
    words = f"{label.name} has {label.distinct} values ({kind}): {_counted(counts)}{missing}"
    guesses.append(Guess("label", "multiclass", words + ("; kind: regression takes them as a number" if codes else "")))
    return "multiclass", None


def _positive(label: ColumnFacts, counts: Sequence[tuple[Any, int]]) -> tuple[Any, str]:
    values = [value for value, _ in counts]
    if label.type == "bool":
        return True, "the truth value"
    if label.type in NUMBERS:
        value = max(values)
        return (int(value) if float(value).is_integer() else value), "the greater of the two"
    telling = [value for value in values if _POSITIVE.fullmatch(str(value).strip().casefold())]
    if len(telling) == 1:
        return telling[0], "by its meaning"
    return values[-1], "the rarer of the two; correct it if the other is looked for"


def _time(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    facts: dict[str, ColumnFacts],
    label: str,
    guesses: list[Guess],
) -> tuple[str | None, dict[str, str]]:
    """The time of a row, and those times that come after it, with the reason why they are no features."""
    times = [f for f in facts.values() if f.type in TIMES and f.name != label]
    fitting = [f.name for f in times if not f.missing and f.distinct > 2 and not _NO_EVENT.search(f.name)]
    later = {f.name: "a time; a feature must be a number or a text: make an interval of it in prepare" for f in times}
    if not fitting:
        why = "no column holds times" if not times else "times are missing in some rows, or are no events"
        guesses.append(Guess("time", "none", f"{why}: rows count as if of one moment"))
        return None, later
    shares = earliest_shares(connection, table, fitting)
    time = max(fitting, key=lambda name: shares[name])
    why = (
        "the only time that every row has" if len(fitting) == 1 else f"the earliest time in {shares[time]:.0%} of rows"
    )
    found = facts[time]
    guesses.append(Guess("time", time, f"{why}, {str(found.least)[:10]} to {str(found.greatest)[:10]}"))
    del later[time]
    return time, later


def _key(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    facts: dict[str, ColumnFacts],
    label: str,
    time: str | None,
    guesses: list[Guess],
) -> tuple[str, ...]:
    whole = [f for f in facts.values() if not f.missing and f.type not in ("float64", "bool") and f.name != label]
    likely = [f for f in whole if f.distinct >= 0.9 * table.rows and (_names_rows(f) or _counts_rows(f))]
    for found in sorted(likely, key=lambda f: not _ID.search(f.name)):
        if combinations(connection, table, [found.name]) == table.rows:
            guesses.append(Guess("key", found.name, f"{table.rows:,} different values in {table.rows:,} rows"))
            return (found.name,)
    parts = [f.name for f in whole if _names_rows(f) or f.name == time or _NAMES.search(f.name)][:6]
    for size in (2, 3):
        for names in choose(parts, size):
            if combinations(connection, table, names) == table.rows:
                guesses.append(Guess("key", ", ".join(names), "together they differ in every row"))
                return names
    guesses.append(Guess("key", "none", "no column identifies a row: a row is known by its place in the file"))
    return ()


def _names_rows(found: ColumnFacts) -> bool:
    """Whether a column's name says that it names something."""
    return bool(_ID.search(found.name) or _KIN.search(found.name)) and found.type in ("int64", "string")


def _counts_rows(found: ColumnFacts) -> bool:
    """Whether a whole number counts the rows."""
    return found.type == "int64" and found.greatest - found.least + 1 == found.rows


def _group(facts: dict[str, ColumnFacts], label: str, key: tuple[str, ...], guesses: list[Guess]) -> str | None:
    likely = [
        found
        for name, found in facts.items()
        if name != label and (name,) != key and _names_rows(found) and (_KIN.search(name) or name in key)
        and 10 <= found.distinct <= 0.8 * found.filled and not found.missing
    ]  # fmt: skip
    if not likely:
        guesses.append(
            Guess("group", "none", "no name of a customer, patient or the like repeats: rows count as independent")
        )
        return None
    best = max(likely, key=lambda found: (bool(_KIN.search(found.name)), found.distinct))
    mean = best.filled / best.distinct
    guesses.append(Guess("group", best.name, f"{best.distinct:,} values, each in {mean:.1f} rows: they are of one kin"))
    return best.name


def _features(facts: dict[str, ColumnFacts], taken: Iterable[str | None]) -> tuple[list[str], dict[str, str]]:
    usable: list[str] = []
    doubtful: dict[str, str] = {}
    for name, found in facts.items():
        if name in set(taken) or found.type in TIMES:
            continue
        if found.distinct < 2:
            doubtful[name] = "has one value in all rows" if found.distinct else "has no value"
        elif found.type == "string" and found.distinct > max(100, found.filled / 2):
            doubtful[name] = f"text with {found.distinct:,} different values: a name, or free text"
        elif found.infinite:
            doubtful[name] = f"is infinite in {found.infinite:,} rows; correct them"
        else:
            usable.append(name)
    return usable, doubtful


def _missing_alike(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    facts: dict[str, ColumnFacts],
    label: str,
    usable: Sequence[str],
) -> dict[str, str]:
    """Columns that are missing where the label is missing, and hardly elsewhere: they may be made with it."""
    holed = [name for name in usable if facts[name].missing]
    missing = facts[label].missing
    if missing < MOST_CODES or not holed:
        return {}
    both = both_missing(connection, table, label, holed)
    return {
        name: f"is missing where {label} is ({n:,} of {missing:,} rows): is it known before {label} is?"
        for name, n in both.items()
        if n >= max(0.5 * missing, 0.9 * facts[name].missing)
    }


def _say_features(usable: Sequence[str], doubtful: dict[str, str], guesses: list[Guess]) -> None:
    if not usable:
        raise BadInput("no column is left to learn from; give a file with more columns")
    guesses.append(Guess("features", _some(usable), f"{len(usable)} columns of numbers, texts or truth values"))
    guesses += [Guess("left out", name, reason) for name, reason in doubtful.items()]


def _split(
    label: ColumnFacts,
    time: str | None,
    group: ColumnFacts | None,
    kind: str,
    rarest: int | None,
    guesses: list[Guess],
) -> tuple[str, tuple[float, ...]]:
    if not time and (few := _few(label, group)) and (rarest is None or rarest >= FOLDS):
        whole = f", each {group.name} in one fold" if group else ""
        why = f"{few}: each row is judged by models fitted without it{whole}, instead of a few rows kept for a test"
        guesses.append(Guess("split", f"{FOLDS} folds", why))
        return "folds", ()
    if time:
        by, why = "time", f"learns from the past of {time}, judges on its future"
    elif group:
        by, why = "group", f"no {group.name} on both sides"
    elif kind == "regression":
        by, why = "random", "there is neither time nor group"
    else:
        by, why = "stratified", "there is neither time nor group: equal shares of each class"
    small = label.filled < SMALL_ROWS
    shares = (0.6, 0.2, 0.2) if small else (0.7, 0.15, 0.15)
    more = f"; more to validate and test, for there are only {label.filled:,} rows" if small else ""
    guesses.append(Guess("split", f"{by} {list(shares)}", why + more))
    return by, shares


def _few(label: ColumnFacts, group: ColumnFacts | None) -> str:
    """Why a test part would tell little, or nothing."""
    if label.filled < SMALL_ROWS:
        return f"only {label.filled:,} rows"
    if group and group.distinct < SMALL_GROUPS and label.filled < MOST_FOLD_ROWS:
        return f"only {group.distinct:,} values of {group.name}"
    return ""


def _slices(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    facts: dict[str, ColumnFacts],
    usable: Sequence[str],
    guesses: list[Guess],
) -> tuple[str, ...]:
    found = []
    for name in usable:
        if facts[name].type in ("string", "bool") and 2 <= facts[name].distinct <= 12:
            least = min(n for _, n in value_counts(connection, table, name))
            if least >= max(30, 0.01 * table.rows):
                found.append(name)
    chosen = tuple(found[:MOST_SLICES])
    if chosen:
        guesses.append(Guess("slices", ", ".join(chosen), "few values, each in many rows: reports look at each"))
    return chosen


def _counted(counts: Sequence[tuple[Any, int]]) -> str:
    shown = ", ".join(f"{_short(value)} {n:,}" for value, n in counts[:5])
    return shown + (", …" if len(counts) > 5 else "")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{text[:30]}…"


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(_short(name) for name in names[:most]) + more
