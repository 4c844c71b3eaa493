"""Availability that the data contradict: what the contract calls known early, yet knows the outcome.

A column filled in afterwards betrays itself by its gaps: where it is missing, the outcome is another. And what becomes
known within some hours cannot tell of more hours than that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
from scipy.stats import fisher_exact

from sluice.contract.reading import Availability, Column, Contract
from sluice.core.durations import duration_text, duration_words
from sluice.core.progress import progress
from sluice.quality.aggregation import aggregated
from sluice.quality.findings import DataFinding, Severity, count_of
from sluice.quality.profiles import Profile

LEVEL = 0.05  # of all tests of a lake together
LEAST_DIFFERENCE = 0.1  # between two shares; less may be real, yet is no sign of a column that was filled in afterwards
_MOST_TESTS = 2000  # of a table: each costs time, and a correction for many more would leave nothing to be seen
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}


@dataclass(frozen=True)
class Tie:
    """How often an outcome is seen where an early column is missing, and where it is not.

    Attributes:
        table: The table.
        column: The early column.
        outcome: The late column, with what is seen of it, in words.
        late: When the late column is known.
        missing: Rows with the outcome, and all rows, where the column is missing.
        present: The same where it is not.
    """

    table: str
    column: str
    outcome: str
    late: Availability
    missing: tuple[int, int]
    present: tuple[int, int]

    @property
    def shares(self) -> tuple[float, float]:
        """The share of the outcome where the column is missing, and where it is not."""
        return self.missing[0] / self.missing[1], self.present[0] / self.present[1]

    @property
    def difference(self) -> float:
        """How far the two shares lie apart."""
        return abs(self.shares[0] - self.shares[1])

    def p_value(self) -> float:
        """Of Fisher's exact test that the two shares are one."""
        counts = [[seen, rows - seen] for seen, rows in (self.missing, self.present)]
        return float(fisher_exact(counts).pvalue)


def contradictions(
    tables: Mapping[str, ibis.Table], contract: Contract, profiles: Mapping[str, Profile]
) -> Iterator[DataFinding]:
    """Columns whose availability the data contradict.

    For each early column with gaps and each later column of its table, Fisher's exact test asks whether gaps and
    outcome are independent: whether the later column is missing, above its mean, or its commonest text.

    Args:
        tables: By name.
        contract: The lake's.
        profiles: What was counted, by table.
    """
    ties = [
        tie for name in contract.tables if name in tables for tie in _ties(name, tables[name], contract, profiles[name])
    ]
    for tie in telling(ties):
        yield _finding(tie, contract, profiles[tie.table], len(ties))


def telling(ties: Sequence[Tie]) -> list[Tie]:
    """The strongest tie of each column that is no chance.

    Bonferroni's correction holds all tests of a lake together to LEVEL, for rows that are independent of each other. A
    difference of shares below LEAST_DIFFERENCE is never reported, which keeps rows that depend on each other quiet.
    """
    strongest: dict[tuple[str, str], Tie] = {}
    for tie in sorted(ties, key=lambda tie: -tie.difference):
        if tie.difference >= LEAST_DIFFERENCE and tie.p_value() * len(ties) <= LEVEL:
            strongest.setdefault((tie.table, tie.column), tie)
    return list(strongest.values())


def too_late(name: str, table: ibis.Table, contract: Contract, counted: Profile) -> Iterator[DataFinding]:
    """Values that tell of more time than the contract leaves until they are known: later times, longer durations.

    Args:
        name: The table's name.
        table: Its rows.
        contract: The lake's.
        counted: What was counted of it.
    """
    stated, clock = contract.tables[name], contract.clock(name)
    for column in counted.columns:
        said, known = stated.columns[column], contract.availability(name, column)
        seconds = known.lag if known else None
        if seconds is None or seconds <= 0:  # what is known with its row may tell of the future: a plan does
            continue
        beyond = _beyond(table, column, said, clock, seconds)
        rows = 0 if beyond is None else int(table.filter(beyond).count().to_pyarrow().as_py())
        if rows:
            share = rows / counted.rows
            severity: Severity = "warning" if share <= said.tolerance else "error"
            message = (
                f"{column} tells of more than {duration_words(seconds)} after {clock or 'its event'} in "
                f"{count_of(rows, share)}, yet the contract says that it is known by then "
                f"(known: {duration_text(seconds)})"
            )
            shown = list(dict.fromkeys([*stated.key, *([clock] if clock else []), column]))
            first = table.filter(beyond).order_by(shown).select(shown).limit(1).to_pyarrow().to_pylist()[0]
            example = ", ".join(f"{key}={value}" for key, value in first.items())
            yield DataFinding(name, column, "known_after", severity, rows, share, said.tolerance, example, message)


def _beyond(table: ibis.Table, column: str, said: Column, clock: str | None, seconds: float) -> Any:  # noqa: ANN401 - Ibis's expressions
    if said.type == "timestamp" and clock:
        return table[column].epoch_seconds() - table[clock].cast("timestamp").epoch_seconds() > seconds
    if said.type in ("int64", "float64") and said.unit in _SECONDS:
        return table[column] * _SECONDS[said.unit] > seconds
    return None


def _ties(name: str, table: ibis.Table, contract: Contract, counted: Profile) -> list[Tie]:
    """Each column with gaps that is known with its row, against what is seen of those that are known later."""
    known = {column: contract.availability(name, column) for column in counted.columns}
    late = {column: when for column, when in known.items() if when and not when.with_its_row}
    early = [c for c, when in known.items() if when and when.with_its_row and counted.columns[c].nulls]
    if not (early and late):
        return []
    outcomes = _outcomes(table, contract.tables[name].columns, late, counted)
    tested = max(_MOST_TESTS // len(outcomes), 1) if outcomes else len(early)
    if tested < len(early):
        early = sorted(early, key=lambda column: -counted.columns[column].nulls)[:tested]
        progress(
            f"{name}: the {tested} columns with most gaps are held against {len(outcomes)} outcomes; others are not"
        )
    wanted = {
        f"n{place}_{number}_{gap}_{kind}": value
        for place, column in enumerate(early)
        for number, (_, _, outcome) in enumerate(outcomes)
        for gap, rows in (("missing", table[column].isnull()), ("present", table[column].notnull()))
        for kind, value in (("seen", (rows & outcome).sum()), ("all", (rows & outcome.notnull()).sum()))
    }
    found = aggregated(table, wanted)
    ties = []
    for place, column in enumerate(early):
        for number, (words, later, _) in enumerate(outcomes):
            missing, present = (
                (int(found[f"n{place}_{number}_{gap}_seen"] or 0), int(found[f"n{place}_{number}_{gap}_all"] or 0))
                for gap in ("missing", "present")
            )
            if missing[1] and present[1]:
                ties.append(Tie(name, column, words, later, missing, present))
    return ties


def _outcomes(
    table: ibis.Table, columns: Mapping[str, Column], late: Mapping[str, Availability], counted: Profile
) -> list[tuple[str, Availability, Any]]:
    """What may be seen of late columns: in words, when it is known, and as a condition, null where it has no answer."""
    kinds = {column: columns[column].type for column in late}
    usual = _usual(table, kinds)
    outcomes = []
    for column, known in late.items():
        if counted.columns[column].nulls:
            outcomes.append((f"{column} is missing", known, table[column].isnull()))
        value = usual.get(column)
        if value is not None and kinds[column] == "string":
            outcomes.append((f"{column} is {value!r}", known, table[column] == value))
        elif value is not None:
            place = f"{column} is true" if kinds[column] == "bool" else f"{column} is above {value:g}"
            outcomes.append((place, known, _number(table[column], kinds[column]) > value))
    return outcomes


def _usual(table: ibis.Table, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The mean of numbers, the commonest text: what divides a column's values in two."""
    numbers = [column for column, kind in kinds.items() if kind in ("int64", "float64", "bool")]
    means = {f"mean{place}": _number(table[column], kinds[column]).mean() for place, column in enumerate(numbers)}
    found = list(aggregated(table, means).values())
    usual: dict[str, Any] = dict(zip(numbers, found, strict=True))
    for column in (column for column, kind in kinds.items() if kind == "string"):
        counts = table[column].name("value").value_counts(name="rows").filter(lambda t: t.value.notnull())
        first = counts.order_by(ibis.desc("rows"), "value").limit(1).to_pyarrow().to_pylist()
        usual[column] = first[0]["value"] if first else None
    return usual


def _number(value: Any, kind: str) -> Any:  # noqa: ANN401 - Ibis's expressions
    """A number as a double, null where it is not finite."""
    number = value.cast("float64")
    return ibis.ifelse(number.isnan() | number.isinf(), ibis.null("float64"), number) if kind == "float64" else number


def _finding(tie: Tie, contract: Contract, counted: Profile, tests: int) -> DataFinding:
    nulls = counted.columns[tie.column].nulls
    stated = contract.availability(tie.table, tie.column)
    known = stated.name if stated else "nothing"
    missing, present = tie.shares
    message = (
        f"{tie.column} is missing in {count_of(nulls, nulls / counted.rows)}; there {tie.outcome} in {missing:.1%} of "
        f"rows, elsewhere in {present:.1%} (p {_shown(tie.p_value() * tests)}, corrected for {tests} tests): it seems "
        f"to be filled in afterwards, though the contract says known: {known}; say known: {tie.late.name}, "
        "unless its gaps are known before the event"
    )
    return DataFinding(
        tie.table, tie.column, "availability", "warning", nulls, nulls / counted.rows, LEAST_DIFFERENCE, "", message
    )


def _shown(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value >= 1e-12 else "< 1e-12"
