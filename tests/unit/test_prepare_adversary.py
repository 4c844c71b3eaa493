"""The gate against an adversary: whatever it lets through does not move when what is known too late is changed.

Hypothesis writes recipes; each is run by DuckDB on tables whose late values, from some hour on, are other ones. A row
asked about before these could be known must come out the same, feature by feature. `SLUICE_FUZZ=20000` runs it longer.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from sluice.contract.reading import Contract, parse_contract
from sluice.core.errors import BadInput
from sluice.leakage.gate import gate_of
from tests.unit.random_recipes import EVENTS, HOURS, LATE, OTHERS, SEEN, recipes

CONTRACT = parse_contract(
    f"""
name: test
moments: [{{planned: always}}, {{observed: {SEEN}h}}, arrived]
tables:
  events:
    source: {{csv: x}}
    key: [k]
    freshness: {{column: t, max_age_days: 1}}
    known: planned
    columns:
      k: {{type: int64}}
      t: {{type: timestamp}}
      g: {{type: string}}
      x: {{type: int64}}
      late: {{type: float64, nullable: true, availability: arrived, known: {LATE}h}}
  others:
    source: {{csv: x}}
    time: t
    known: planned
    columns:
      t: {{type: timestamp}}
      g: {{type: string}}
      y: {{type: int64}}
      seen: {{type: float64, nullable: true, known: observed}}
""",
    "contract.yaml",
)
ARRIVING = parse_contract(
    f"""
name: test
tables:
  events:
    source: {{csv: x}}
    key: [k]
    time: t
    known: 0s
    columns:
      k: {{type: int64}}
      t: {{type: timestamp}}
      g: {{type: string}}
      x: {{type: int64}}
      late: {{type: float64, nullable: true, known: {LATE}h}}
  others:
    source: {{csv: x}}
    time: t
    known: 0s
    columns:
      t: {{type: timestamp}}
      g: {{type: string}}
      y: {{type: int64}}
      seen: {{type: float64, nullable: true, known: {SEEN}h}}
""",
    "contract.yaml",
)
"""Nothing is known before its row's time: not even that there will be such a row."""
START = datetime(2013, 1, 1, 20)  # a midnight lies within
EXAMPLES = int(os.environ.get("SLUICE_FUZZ", "200"))
CUTS = 4
Change = Callable[[dict[str, pa.Table], datetime, random.Random], dict[str, pa.Table]]


def _tables(seed: int) -> dict[str, pa.Table]:
    chance = random.Random(seed)
    hours = sorted(chance.randrange(HOURS) for _ in range(12))
    events = {"k": list(range(12)), "t": [START + timedelta(hours=hour) for hour in hours]}
    events |= {"g": [chance.choice("abc") for _ in hours], "x": [chance.randrange(4) for _ in hours]}
    others = {"t": [START + timedelta(hours=chance.randrange(-2, HOURS)) for _ in range(9)]}
    others |= {"g": [chance.choice("abc") for _ in range(9)], "y": [chance.randrange(5) for _ in range(9)]}
    numbers = (
        pa.array([_late(chance) for _ in hours], pa.float64()),
        pa.array([_late(chance) for _ in range(9)], pa.float64()),
    )
    return {
        "events": pa.table(events).append_column("late", numbers[0]),
        "others": pa.table(others).append_column("seen", numbers[1]),
    }


def _late(chance: random.Random) -> float | None:
    return None if chance.random() < 0.2 else float(chance.randrange(6))


def _changed(tables: dict[str, pa.Table], cut: datetime, chance: random.Random) -> dict[str, pa.Table]:
    """Other late values wherever they are known only after `cut`."""
    changed = dict(tables)
    for name, column, lag in (("events", "late", LATE), ("others", "seen", SEEN)):
        times, values = tables[name]["t"].to_pylist(), tables[name][column].to_pylist()
        fresh = [
            _late(chance) if time + timedelta(hours=lag) > cut else value
            for time, value in zip(times, values, strict=True)
        ]
        place = tables[name].column_names.index(column)
        changed[name] = tables[name].set_column(place, column, pa.array(fresh, pa.float64()))
    return changed


def _replaced(tables: dict[str, pa.Table], cut: datetime, chance: random.Random) -> dict[str, pa.Table]:
    """Other late values, and for the rows that come after `cut` other rows, more of them or fewer."""
    changed = _changed(tables, cut, chance)
    for name, numbers in (("events", ("x",)), ("others", ("y",))):
        rows = changed[name].to_pylist()
        kept = [row for row in rows if row["t"] <= cut]
        for place in range(chance.randrange(9)):
            hours = (cut - START) // timedelta(hours=1)
            new = {
                "t": cut + timedelta(hours=chance.randrange(1, max(HOURS - hours, 2) + 2)),
                "g": chance.choice("abc"),
            }
            new |= {column: chance.randrange(5) for column in numbers}
            new |= {"late": _late(chance), "k": 100 + place} if name == "events" else {"seen": _late(chance)}
            kept.append(new)
        changed[name] = pa.Table.from_pylist(kept, schema=changed[name].schema)
    return changed


def _run(engine: duckdb.DuckDBPyConnection, query: str, tables: dict[str, pa.Table]) -> list[tuple[Any, ...]]:
    for name, rows in tables.items():
        engine.register("_rows", rows)
        engine.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM _rows")
    return engine.execute(query).fetchall()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def _passing(table: ibis.Table, features: list[str], contract: Contract = CONTRACT) -> list[str]:
    """The features that the gate lets through; none where it refuses the rows."""
    gate = gate_of(table, {"events": EVENTS, "others": OTHERS}, contract, "t")
    passed = []
    try:
        gate.rows("left_out")
        gate.identity(["k", "t"])
    except BadInput:
        return []
    for name in features:
        try:
            gate.feature(name)
        except BadInput:
            continue
        passed.append(name)
    return passed


def leaks(table: ibis.Table, features: list[str], seed: int, change: Change = _changed) -> dict[str, int]:
    """How many rows of each feature moved over several changes of what is late; `rows` for the rows themselves.

    A result in which a key repeats is refused by prepare, so it counts for nothing.
    """
    engine, tables, chance = duckdb.connect(config={"threads": 1}), _tables(seed), random.Random(seed)
    query = ibis.to_sql(table.select("k", "t", *features), dialect="duckdb")
    found: Counter[str] = Counter()
    try:
        before = _run(engine, query, tables)
        for _ in range(CUTS):
            cut = START + timedelta(hours=chance.randrange(-1, HOURS))
            after = _run(engine, query, change(tables, cut, chance))
            found += _moved(before, after, features, cut)
    except duckdb.Error:
        assume(False)
    return dict(found)


def _moved(before: list[Any], after: list[Any], features: list[str], cut: datetime) -> Counter[str]:
    found: Counter[str] = Counter()
    one, other = ({row[0]: row for row in rows} for rows in (before, after))
    if len(one) < len(before) or len(other) < len(after):
        return found
    asked = {key for key, row in (one | other).items() if row[1] is not None and row[1] <= cut}
    found["rows"] = sum((key in one) != (key in other) for key in asked)
    for place, name in enumerate(features, start=2):
        found[name] = sum(
            key in one and key in other and not _same(one[key][place], other[key][place]) for key in asked
        )
    return +found


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(recipe=recipes(), seed=st.integers(0, 10**6))
def test_what_the_gate_lets_through_does_not_move(recipe: tuple[ibis.Table, list[str]], seed: int) -> None:
    table, features = recipe
    passed = _passing(table, features)
    event(f"passed {bool(passed)}")
    if passed:
        assert leaks(table, passed, seed) == {}, ibis.to_sql(table, dialect="duckdb")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(recipe=recipes(), seed=st.integers(0, 10**6))
def test_what_the_gate_lets_through_does_not_know_of_rows_to_come(
    recipe: tuple[ibis.Table, list[str]], seed: int
) -> None:
    table, features = recipe
    passed = _passing(table, features, ARRIVING)
    event(f"passed {bool(passed)}")
    if passed:
        assert leaks(table, passed, seed, _replaced) == {}, ibis.to_sql(table, dialect="duckdb")


PLANTED = {
    "the value itself": EVENTS.mutate(c=EVENTS.late),
    "its order": EVENTS.mutate(c=ibis.rank().over(order_by=EVENTS.late)),
    "an hour too young": EVENTS.mutate(
        c=EVENTS.late.sum().over(
            ibis.range_window(order_by=EVENTS.t, preceding=(ibis.interval(hours=9), ibis.interval(hours=LATE - 1)))
        )
    ),
}
HONEST = EVENTS.mutate(
    c=EVENTS.late.sum().over(
        ibis.range_window(order_by=EVENTS.t, preceding=(ibis.interval(hours=9), ibis.interval(hours=LATE)))
    )
)


@pytest.mark.parametrize("what", PLANTED)
def test_the_adversary_sees_a_leak_and_the_gate_refuses_it(what: str) -> None:
    assert sum(leaks(PLANTED[what], ["c"], seed).get("c", 0) for seed in range(5)) > 0
    assert _passing(PLANTED[what], ["c"]) == []


TO_COME = {
    "how many there will be": EVENTS.mutate(c=EVENTS.count().over(group_by="g").cast("float64")),
    "the next": EVENTS.mutate(c=EVENTS.x.lead().over(order_by=["t", "k"]).cast("float64")),
    "all of the others": EVENTS.mutate(c=OTHERS.count().as_scalar().cast("float64")),
}
SO_FAR = EVENTS.mutate(c=EVENTS.x.lag().over(group_by="g", order_by=["t", "k"]).cast("float64"))


@pytest.mark.parametrize("what", TO_COME)
def test_the_adversary_sees_rows_to_come_and_the_gate_refuses_them(what: str) -> None:
    assert sum(leaks(TO_COME[what], ["c"], seed, _replaced).get("c", 0) for seed in range(5)) > 0
    assert _passing(TO_COME[what], ["c"], ARRIVING) == []
    assert _passing(TO_COME[what], ["c"]) == ["c"], "of planned rows it is known"


def test_the_row_before_is_honest() -> None:
    assert all(leaks(SO_FAR, ["c"], seed, _replaced) == {} for seed in range(10))
    assert _passing(SO_FAR, ["c"], ARRIVING) == ["c"]


def test_the_adversary_finds_nothing_in_honest_history_and_the_gate_lets_it_through() -> None:
    assert all(leaks(HONEST, ["c"], seed) == {} for seed in range(20))
    assert _passing(HONEST, ["c"]) == ["c"]
