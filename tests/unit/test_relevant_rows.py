"""Features of a few rows need few rows of the tables behind them: the same come out as of all rows."""

from collections.abc import Callable, Mapping

import ibis
import ibis.expr.operations as ops
import numpy as np
import pandas as pd
import pytest

from sluice.engine.duckdb_engine import duckdb_engine
from sluice.exporting.relevant_rows import Demands, demanded, relevant, same
from sluice.features.joins import aggregate_earlier, join_earlier

Tables = Mapping[str, ibis.Table]


def orders(tables: Tables) -> ibis.Table:
    return tables["orders"]


def windows(tables: Tables) -> ibis.Table:
    before = ibis.window(group_by=["who", "place"], order_by=["at", "key"], preceding=(None, 1))
    rows = tables["orders"].filter(tables["orders"].amount > 1)
    many = rows.key.count().over(group_by="who")
    return rows.mutate(spent=rows.amount.sum().over(before), many=many, last=rows.amount.lag().over(before))


def ranges(tables: Tables) -> ibis.Table:
    near = ibis.range_window(
        group_by="place", order_by="at", preceding=ibis.interval(hours=5), following=ibis.interval(minutes=30)
    )
    wide = ibis.range_window(
        group_by="place", order_by="at", preceding=(ibis.interval(hours=48), ibis.interval(hours=3))
    )
    rows = tables["orders"]
    return rows.mutate(near=rows.amount.mean().over(near), wide=rows.amount.max().over(wide))


def twice(tables: Tables) -> ibis.Table:
    rows = tables["orders"]
    rows = rows.mutate(share=rows.amount / rows.amount.sum().over(group_by="who"))
    hour = ibis.range_window(group_by="place", order_by="at", preceding=ibis.interval(hours=1))
    return rows.mutate(near=rows.share.sum().over(hour), all=rows.share.sum().over(order_by="at"))


def earlier(tables: Tables) -> ibis.Table:
    rows = join_earlier(tables["orders"], tables["weather"], ["place"], "at", ["rain"], hours=2)
    share = {"late": ("amount", "mean"), "many": ("key", "count")}
    rows = aggregate_earlier(
        rows, tables["orders"], ["who"], "at", share, lag_hours=3, window_hours=20, moments=tables["orders"]
    )
    rain = {"rained": ("rain", "sum")}
    return aggregate_earlier(rows, tables["weather"], ["place"], "at", rain, lag_hours=1, window_hours=6)


def joined(tables: Tables) -> ibis.Table:
    rows, weather = tables["orders"], tables["weather"]
    means = weather.group_by("place").agg(wet=weather.rain.mean(), hours=weather.rain.count())
    sums = rows.group_by("who").agg(total=rows.amount.sum())
    rows = rows.left_join(means, "place").drop("place_right").join(sums, "who")
    return rows.mutate(share=rows.amount / rows.total)


def scalar(tables: Tables) -> ibis.Table:
    rows = tables["orders"]
    return rows.mutate(above=rows.amount > rows.amount.mean().as_scalar())


ALL = (twice, scalar)
"""These need all rows."""
EXPRESSIONS: tuple[Callable[[Tables], ibis.Table], ...] = (orders, windows, ranges, earlier, joined, *ALL)


def tables(seed: int, *, gaps: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    generator = np.random.default_rng(seed)
    count, start = 900, pd.Timestamp("2024-01-01")
    at = start + pd.to_timedelta(generator.integers(0, 120, count), unit="h")
    made = pd.DataFrame(
        {
            "key": np.arange(count),
            "at": at.where(generator.random(count) < 0.97, pd.NaT) if gaps else at,
            "who": generator.choice([*"abcdefghijkl", None], count),
            "place": generator.integers(0, 4, count),
            "amount": generator.gamma(2, 3, count).round(1),
        }
    )
    hours = [(place, start + pd.Timedelta(hours=hour)) for place in range(4) for hour in range(120)]
    weather = pd.DataFrame(hours, columns=["place", "at"]).assign(rain=generator.gamma(1, 1, len(hours)))
    return made, weather


@pytest.mark.parametrize("gaps", [False, True], ids=["", "gaps"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_fewer_rows_give_the_same_features(expression: Callable[[Tables], ibis.Table], *, gaps: bool) -> None:
    made, weather = tables(seed=3, gaps=gaps)
    engine = duckdb_engine(threads=1)
    asked = engine.create_table("asked", made[::150].reset_index(drop=True))
    past = engine.create_table("past", made)
    known = past.anti_join(asked, "key")
    events, other = known.union(asked, distinct=False), engine.create_table("weather", weather)
    read: list[float] = []

    def leaf(relation: ops.Relation, demands: Demands) -> ops.Relation:
        table = known if relation == events.op() else relation.to_expr()
        fewer = demanded(table, asked, same(demands) if gaps else demands)
        read.append(fewer.count().to_pyarrow().as_py() / table.count().to_pyarrow().as_py())
        return (fewer.union(asked, distinct=False) if relation == events.op() else fewer).op()

    wide = expression({"orders": events, "weather": other})
    found = relevant(wide, events, [other], ["key"], leaf)
    wanted = wide.semi_join(asked, "key").order_by("key").to_pandas()
    pd.testing.assert_frame_equal(found.semi_join(asked, "key").order_by("key").to_pandas(), wanted, rtol=1e-12)
    assert len(wanted) >= 5
    assert expression in ALL or min(read) < 0.6, read


def test_a_key_that_code_makes_leaves_all_rows() -> None:
    made, _ = tables(seed=1, gaps=False)
    events = duckdb_engine(threads=1).create_table("events", made)
    wide = events.mutate(key=events.key + 1)
    assert relevant(wide, events, [], ["key"], lambda relation, _: relation) is wide
