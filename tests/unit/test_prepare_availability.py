"""The gate judges lags after a row's time and moments of the contract's own, over several tables."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest

from sluice.contract.reading import Contract, parse_contract
from sluice.core.errors import BadInput
from sluice.leakage.gate import LeakageGate, gate_of

TEXT = """
name: shop
moments: [offered, {sold: 5d}, paid]
tables:
  sales:
    source: {csv: x}
    time: at
    key: [id]
    columns:
      id: {type: int64}
      at: {type: timestamp}
      who: {type: string, known: 0s}
      area: {type: float64, known: 0s}
      stock: {type: float64, known: always}
      forecast: {type: float64, known: -2d}
      rating: {type: float64, known: 12h}
      fee: {type: float64, known: sold}
      tax: {type: float64, known: paid}
      price: {type: float64}
      plan: {type: string}
  visits:
    source: {csv: x}
    time: day
    known: 0s
    columns:
      day: {type: date}
      who: {type: string}
      pages: {type: float64}
  people:
    source: {csv: x}
    key: [who]
    columns:
      who: {type: string}
      age: {type: int64}
"""
CONTRACT = parse_contract(TEXT, "contract.yaml")
_KINDS = {"string": "string", "int64": "int64", "float64": "float64", "timestamp": "timestamp", "date": "date"}


def _table(name: str) -> ibis.Table:
    columns = CONTRACT.tables[name].columns
    return ibis.table({column: _KINDS[said.type] for column, said in columns.items()}, name=name)


SALES, VISITS, PEOPLE = _table("sales"), _table("visits"), _table("people")
GIVEN = {"sales": SALES, "visits": VISITS, "people": PEOPLE}
DAYS = ibis.interval(days=1)


def gate(table: ibis.Table, contract: Contract = CONTRACT, time: str | None = "at") -> LeakageGate:
    return gate_of(table, GIVEN, contract, time)


def refusal(judge: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        judge()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_what_is_known_with_its_row_passes_and_what_nobody_has_said_is_refused_with_the_line_to_add() -> None:
    judge = gate(SALES)
    assert [judge.feature(name).availability.name for name in ("area", "stock", "forecast", "id")] == [
        *("0s", "always", "-48h", "0s")
    ]
    assert (judge.feature("area").lag_hours, judge.feature("stock").lag_hours) == (0, None)
    said = refusal(lambda: judge.feature("plan"))
    assert "feature 'plan' rests on sales.plan, and nobody has said when that is known" in said
    assert "add to contract.yaml tables.sales.columns.plan: known: 0s" in said
    assert "at its row's time (at)" in said
    judge.identity(["id", "at", "plan"])
    assert gate(SALES.mutate(x=SALES.who + SALES.plan)).feature("who")
    assert "sales.plan" in refusal(lambda: gate(SALES.mutate(x=SALES.who + SALES.plan)).feature("x"))


@pytest.mark.parametrize(
    ("column", "known"),
    [
        (
            "rating",
            "known only 12 hours after its row's time, so it leaks the answer unless its rows are at least 12 h",
        ),
        ("fee", "at the moment 'sold' of the contract, so it leaks the answer unless its rows are at least 5 days old"),
        ("tax", "at the moment 'paid' of the contract, so it leaks the answer; nobody has said how long after"),
    ],
)
def test_what_is_known_later_is_refused_by_its_lag_or_its_moment(column: str, known: str) -> None:
    said = refusal(lambda: gate(SALES.mutate(x=SALES[column] * 2)).feature("x"))
    assert known in said
    if column == "tax":
        assert "add tables.sales.columns.tax: {availability: paid, known: 24h}" in said


def over(value: Any, **window: Any) -> ibis.Table:
    return SALES.mutate(x=value.over(ibis.window(group_by="who", **window)))


def ahead(days: int) -> ibis.Table:
    """The forecasts for some days later."""
    return SALES.select(then=SALES.at - ibis.interval(days=days), x="forecast")


PASSING = {
    "the row before": SALES.mutate(x=SALES.area.lag().over(group_by="who", order_by="at")),
    "three rows back": SALES.mutate(x=SALES.area.lag(3).over(group_by="who", order_by=["at", "id"])),
    "the last three rows": over(SALES.area.mean(), order_by="at", preceding=(3, 1)),
    "all rows so far": SALES.mutate(x=SALES.area.sum().over(ibis.cumulative_window(group_by="who", order_by="at"))),
    "a rank so far": SALES.mutate(x=ibis.row_number().over(group_by="who", order_by="at")),
    "two days": over(SALES.area.mean(), order_by="at", preceding=(ibis.interval(days=2), ibis.interval(days=0))),
    "a reference": SALES.left_join(PEOPLE.select("who", x="age"), "who"),
}
REFUSED = {
    "the row after": SALES.mutate(x=SALES.area.lead().over(group_by="who", order_by="at")),
    "the row after, counted back": SALES.mutate(x=SALES.area.lag(-1).over(group_by="who", order_by="at")),
    "the row before, the other way round": SALES.mutate(x=SALES.area.lag().over(order_by=ibis.desc("at"))),
    "in no order of time": SALES.mutate(x=SALES.area.lag().over(group_by="who", order_by="area")),
    "all rows": over(SALES.area.mean()),
    "rows to come": over(SALES.area.mean(), order_by="at", preceding=1, following=1),
    "how many rows there will be": over(SALES.count()),
    "how many rows there are in all": SALES.mutate(x=SALES.count().as_scalar()),
    "a share of all": SALES.mutate(x=ibis.percent_rank().over(order_by="at")),
    "a row to come, though its value is always known": SALES.mutate(x=SALES.stock.lead().over(order_by="stock")),
    "a forecast of the day after, though nobody knows its row": SALES.left_join(ahead(1), SALES.at == ahead(1).then),
    "the future of another table": SALES.left_join(VISITS.select("who", x="pages"), "who"),
}


@pytest.mark.parametrize("what", PASSING)
def test_history_of_what_is_known_with_its_row_passes(what: str) -> None:
    assert gate(PASSING[what]).feature("x")


@pytest.mark.parametrize("what", REFUSED)
def test_the_future_is_refused(what: str) -> None:
    said = refusal(lambda: gate(REFUSED[what]).feature("x"))
    assert "unless its rows are " in said


def test_rows_that_are_known_ahead_serve_ahead() -> None:
    contract = parse_contract(
        TEXT.replace("at: {type: timestamp}", "at: {type: timestamp, known: -2d}"), "contract.yaml"
    )
    for days, passes in ((1, True), (2, True), (3, False)):
        judge = gate(SALES.left_join(ahead(days), SALES.at == ahead(days).then), contract)
        if passes:
            assert judge.feature("x").lag_hours == -24 * days
        else:
            said = refusal(lambda judge=judge: judge.feature("x"))
            assert "known only 48 hours before its row's time" in said
            assert "rows are at most 48 hours younger than 'at'; a lag of -3 days is proven" in said


def test_a_join_of_two_tables_in_time_passes_by_its_predicates() -> None:
    seen = VISITS.select(visitor="who", day="day", x="pages")
    for earlier, passes in (
        (lambda a, b: [a.who == b.visitor, b.day <= a.at], True),
        (lambda a, b: [a.who == b.visitor, b.day + DAYS == a.at.truncate("D")], True),
        (lambda a, b: [a.who == b.visitor, b.day == a.at.date()], True),
        (lambda a, b: [a.who == b.visitor, b.day - DAYS <= a.at], False),
    ):
        joined = SALES.left_join(seen, earlier(SALES, seen))
        if passes:
            assert gate(joined).feature("x").lag_hours in (0, 24)
        else:
            assert "no younger than 'at'" in refusal(lambda table=joined: gate(table).feature("x"))


def test_which_rows_there_are_may_follow_what_is_known_with_them() -> None:
    past = SALES.area.mean().over(ibis.cumulative_window(order_by="at"))
    for kept in (
        SALES.filter(SALES.area > 3),
        SALES.filter(SALES.area > past).mutate(at="at"),
        SALES.semi_join(PEOPLE, "who"),
        SALES.semi_join(VISITS, [SALES.who == VISITS.who, VISITS.day <= SALES.at]),
        SALES.rename(moment="at").filter(lambda t: t.area > 0).rename(at="moment"),
    ):
        gate(kept).rows("left_out")
    for lost, column in (
        (SALES.filter(SALES.plan == "a"), "sales.plan, and nobody has said"),
        (SALES.filter(SALES.rating > 1), "sales.rating"),
        (SALES.filter(SALES.area > SALES.area.mean().over(group_by="who")), "sales.area"),
        (SALES.semi_join(VISITS, "who"), "visits."),
        (SALES.filter(SALES.area.lead().over(order_by="at") > 0), "sales.area"),
    ):
        said = refusal(lambda table=lost: gate(table).rows("left_out"))
        assert said.startswith(f"which rows there are rests on {column}")


def price_of(days: int) -> ibis.Table:
    """The mean price of the person's sales some days ago and before."""
    frame = (None, ibis.interval(days=days))
    return SALES.mutate(x=SALES.price.mean().over(ibis.range_window(group_by="who", order_by="at", preceding=frame)))


def test_history_of_the_label_respects_when_it_is_known() -> None:
    said = refusal(lambda: gate(price_of(30)).feature("x"))
    assert "sales.price, and nobody has said when that is known" in said
    judge = gate(price_of(30)).for_label("price", "30d")
    assert judge.feature("x").lag_hours == 720
    judge.label("price")
    said = refusal(lambda: gate(price_of(29)).for_label("price", "30d").feature("x"))
    assert "known only 30 days after its row's time" in said
    assert "a lag of 29 days is proven" in said
    said = refusal(lambda: gate(price_of(30)).for_label("price", None).feature("x"))
    assert "of which the label is made, and nobody has said when that is known" in said
    assert "contract.yaml tables.sales.columns.price: known: 30d" in said
    copied = SALES.mutate(x=SALES.price * 1)
    assert "sales.price" in refusal(lambda: gate(copied).for_label("price", "30d").feature("x"))


def test_a_label_that_the_table_calls_known_is_late_all_the_same() -> None:
    """`known: 0s` for a whole table is a line of convenience: a project says of its label itself when it is known."""
    contract = parse_contract(TEXT.replace("    time: at\n", "    time: at\n    known: 0s\n"), "contract.yaml")
    copied = SALES.mutate(x=SALES.price * 1)
    for known in ("30d", "paid", None):
        judge = gate(copied, contract).for_label("price", known)
        judge.label("price")
        assert "sales.price" in refusal(lambda judge=judge: judge.feature("x"))
    said = refusal(lambda: gate(SALES, contract).for_label("area", "30d").label("area"))
    assert "label 'area' rests only on what is known when the question is asked (at): sales.area" in said


def test_when_the_label_is_known() -> None:
    made = SALES.mutate(dear=SALES.rating > SALES.fee, past=SALES.fee.lag().over(order_by="at"))
    for label, known, seconds in (
        ("price", "30d", 30 * 86_400),
        ("price", None, None),
        ("fee", None, 5 * 86_400),
        ("dear", None, 5 * 86_400),
        ("dear", "6d", 6 * 86_400),
        ("past", None, 5 * 86_400),
        ("tax", None, None),
        ("tax", "4w", 28 * 86_400),
        ("stock", None, 0),
    ):
        assert gate(made).for_label(label, known).label_lag(label) == seconds, (label, known)
    said = refusal(lambda: gate(made).for_label("dear", "1d").label_lag("dear"))
    assert "label 'dear' is said to be known 24h after 'at', yet the contract has it known 5 days after it" in said
    said = refusal(lambda: gate(made).for_label("dear", "payed"))
    assert said.startswith("label.known: 'payed' does not say when it is known")
    assert "did you mean paid?" in said


def test_rows_without_a_time_have_no_history_but_their_label_is_none_of_their_features() -> None:
    judge = gate(SALES.mutate(x=SALES.price * 1), time=None).for_label("price", None)
    assert judge.feature("plan").lag_hours is None
    judge.label("price")
    assert judge.label_lag("price") is None
    assert "rests on sales.price, which is the label itself" in refusal(lambda: judge.feature("x"))
    assert "rows that have no time have no history" in refusal(lambda: judge.feature("rating"))


def test_the_projects_time_dates_a_table_that_the_contract_does_not_date() -> None:
    """Else the table would be one without a time, and all of it known."""
    contract = parse_contract(TEXT.replace("    time: at\n", ""), "contract.yaml")
    assert contract.clock("sales") is None
    assert "sales.plan, and nobody has said" in refusal(lambda: gate(SALES, contract).feature("plan"))
    assert gate(SALES, contract).feature("area").lag_hours == 0
    assert "no lag is proven" in refusal(lambda: gate(REFUSED["all rows"], contract).feature("x"))
    loose = parse_contract(
        TEXT.replace("    time: at\n", "").replace("at: {type: timestamp}", "at: {type: timestamp, nullable: true}"),
        "contract.yaml",
    )
    said = refusal(lambda: gate(SALES, loose).identity(["id", "at"]))
    assert "take nullable: true away from sales.at in contract.yaml" in said


def test_what_cannot_be_traced_is_named_with_its_columns() -> None:
    @ibis.udf.scalar.python
    def weigh(value: float) -> float:
        return value

    table = SALES.mutate(x=weigh(SALES.area + SALES.stock))
    said = refusal(lambda: gate(table).feature("x"))
    assert said.startswith("feature 'x' passes through a user-defined function (weigh")
    assert "over 'area', 'stock'" in said


def test_the_gate_reads_times_as_the_engine_does() -> None:
    """A day's rows are known from its first moment on, in the engine's zone."""
    start = datetime(2024, 1, 1, 12, tzinfo=UTC)
    sales = {"id": [1, 2], "at": [start, start + timedelta(days=1)], "who": ["a", "a"]}
    visits = {"day": [start.date(), (start + timedelta(days=1)).date()], "who": ["a", "a"], "pages": [1.0, 2.0]}
    left, right = ibis.memtable(sales), ibis.memtable(visits)
    rows = left.left_join(right, [left.who == right.who, right.day <= left.at]).to_pyarrow().to_pylist()
    assert sorted((row["id"], row["pages"]) for row in rows) == [(1, 1.0), (2, 1.0), (2, 2.0)]
