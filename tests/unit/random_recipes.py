"""Random Ibis expressions over small tables with planted late columns: what a recipe might do, and what it should not.

`events` are asked about at their time `t`; `late` of an event is known LATE hours after its `t`, `seen` of a row of
`others` SEEN hours after its. Everything else is known from the start.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ibis
from hypothesis import strategies as st

LATE, SEEN, HOURS = 2, 1, 10
EVENTS = ibis.table({"k": "int64", "t": "timestamp", "g": "string", "x": "int64", "late": "float64"}, name="events")
OTHERS = ibis.table({"t": "timestamp", "g": "string", "y": "int64", "seen": "float64"}, name="others")
Draw = Callable[[st.SearchStrategy[Any]], Any]
_HOUR = ibis.interval(hours=1)


@dataclass
class Recipe:
    """A table in the making: the columns of each kind that may be used."""

    table: ibis.Table
    numbers: list[str]
    times: list[str]
    texts: list[str]
    serial: list[int] = field(default_factory=lambda: [0])

    def name(self) -> str:
        """A name that no column has."""
        self.serial[0] += 1
        return f"c{self.serial[0]}"

    def with_number(self, value: Any) -> "Recipe":
        """With a new numeric column."""
        name = self.name()
        return Recipe(
            self.table.mutate(**{name: value.cast("float64")}),
            [*self.numbers, name],
            self.times,
            self.texts,
            self.serial,
        )

    def over(self, table: ibis.Table) -> "Recipe":
        """With the same columns and other rows."""
        return Recipe(table, self.numbers, self.times, self.texts, self.serial)


def _pick(draw: Draw, recipe: Recipe, names: list[str]) -> Any:
    return recipe.table[draw(st.sampled_from(names))]


def _interval(draw: Draw, least: int = -3, most: int = 5) -> Any:
    return ibis.interval(hours=draw(st.integers(least, most)))


def _condition(draw: Draw, recipe: Recipe) -> Any:
    kind = draw(st.sampled_from(["number", "number", "null", "text", "time", "both", "isin", "scalar", "window"]))
    number = _pick(draw, recipe, recipe.numbers)
    if kind == "null":
        return number.isnull()
    if kind == "text" and recipe.texts:
        return _pick(draw, recipe, recipe.texts) == draw(st.sampled_from("abc"))
    if kind == "time" and len(recipe.times) > 1:
        return _pick(draw, recipe, recipe.times) + _interval(draw) <= _pick(draw, recipe, recipe.times)
    if kind == "both":
        return _condition(draw, recipe) & (number > draw(st.integers(0, 4)))
    if kind == "isin":
        inner = derived(draw, recipe.serial, 1)
        return number.isin(_pick(draw, inner, inner.numbers).cast("float64"))
    if kind == "scalar":
        return number > _scalar(draw, recipe)
    if kind == "window":
        return _window(draw, recipe) > draw(st.integers(0, 3))
    return number > draw(st.integers(0, 4))


def _scalar(draw: Draw, recipe: Recipe) -> Any:
    inner = derived(draw, recipe.serial, 1)
    return _reduced(draw, _pick(draw, inner, inner.numbers)).as_scalar().cast("float64")


def _reduced(draw: Draw, value: Any, where: Any = None) -> Any:
    name = draw(st.sampled_from(["count", "sum", "mean", "min", "max", "nunique", "std", "median"]))
    return getattr(value, name)(where=where).cast("float64")


def _row_number(draw: Draw, recipe: Recipe) -> Any:
    value, key = _pick(draw, recipe, recipe.numbers), _pick(draw, recipe, [*recipe.numbers, *recipe.times])
    ranked = {"row": ibis.row_number(), "rank": ibis.rank(), "dense": ibis.dense_rank(), "share": ibis.percent_rank()}
    ranked |= {"lag": value.lag(), "lead": value.lead(), "first": value.first(), "last": value.last()}
    function = ranked[draw(st.sampled_from(sorted(ranked)))]
    group = draw(st.sampled_from([*recipe.texts, *recipe.times, None]))
    order = draw(st.sampled_from([key, ibis.desc(key), None]))
    return function.over(ibis.window(group_by=group, order_by=order)).cast("float64")


def _window(draw: Draw, recipe: Recipe) -> Any:
    if draw(st.booleans()):
        return _row_number(draw, recipe)
    there = [*recipe.texts, *recipe.times]
    groups = draw(st.lists(st.sampled_from(there), max_size=2, unique=True)) if there else []
    value = _reduced(draw, _pick(draw, recipe, recipe.numbers))
    kind = draw(st.sampled_from(["all", "rows", "range", "range", "range"]))
    if kind == "all" or not recipe.times:
        return value.over(ibis.window(group_by=groups or None))
    key = _pick(draw, recipe, recipe.times)
    if kind == "rows":
        return value.over(ibis.window(group_by=groups or None, order_by=key, preceding=(3, draw(st.integers(0, 2)))))
    if draw(st.booleans()):
        key = key.truncate(draw(st.sampled_from(["h", "D"])))
    end = draw(st.integers(-1, 5))
    frame: dict[str, Any] = {"preceding": (ibis.interval(hours=end + 3), ibis.interval(hours=end))}
    if end < 0:
        frame = {"following": (ibis.interval(hours=0), ibis.interval(hours=-end))}
    elif draw(st.booleans()):
        frame = {"preceding": (None, ibis.interval(hours=end))}
    return value.over(ibis.range_window(group_by=groups or None, order_by=key, **frame))


def _value(draw: Draw, recipe: Recipe) -> Any:
    first, second = (_pick(draw, recipe, recipe.numbers).cast("float64") for _ in range(2))
    kind = draw(st.sampled_from(["sum", "case", "missing", "cast", "window", "window", "scalar", "isin", "constant"]))
    if kind == "case":
        return ibis.ifelse(_condition(draw, recipe), first, second)
    if kind == "missing":
        return ibis.coalesce(first, second, 7.0)
    if kind == "cast":
        return first.isnull().cast("int64")
    if kind == "window":
        return _window(draw, recipe)
    if kind == "scalar":
        return first + _scalar(draw, recipe)
    if kind == "isin":
        inner = derived(draw, recipe.serial, 1)
        return first.isin(_pick(draw, inner, inner.numbers).cast("float64")).cast("int64")
    return first + second if kind == "sum" else ibis.literal(3.0)


def _filtered(draw: Draw, recipe: Recipe) -> Recipe:
    return recipe.over(recipe.table.filter(_condition(draw, recipe)))


def _mutated(draw: Draw, recipe: Recipe) -> Recipe:
    if recipe.times and draw(st.integers(0, 3)) == 0:
        name, time = recipe.name(), _pick(draw, recipe, recipe.times)
        time = time.truncate(draw(st.sampled_from(["h", "D"]))) if draw(st.booleans()) else time + _interval(draw)
        return Recipe(
            recipe.table.mutate(**{name: time}), recipe.numbers, [*recipe.times, name], recipe.texts, recipe.serial
        )
    return recipe.with_number(_value(draw, recipe))


def _aggregated(draw: Draw, recipe: Recipe) -> Recipe:
    times = draw(st.lists(st.sampled_from(recipe.times), max_size=2, unique=True)) if recipe.times else []
    texts = [name for name in recipe.texts if draw(st.booleans())]
    names, where = [recipe.name() for _ in range(2)], None
    if draw(st.integers(0, 3)) == 0:
        where = _condition(draw, recipe) if draw(st.booleans()) else _pick(draw, recipe, recipe.numbers) > 2
    numbers = {name: _reduced(draw, _pick(draw, recipe, recipe.numbers), where) for name in names}
    order = _pick(draw, recipe, [*recipe.numbers, *recipe.times])
    if draw(st.integers(0, 4)) == 0:
        value = _pick(draw, recipe, recipe.numbers)
        taken = draw(st.sampled_from(["first", "last", "arbitrary", "mode", "argmax", "collect"]))
        numbers[names[0]] = {
            "first": lambda: value.first(order_by=order),
            "last": lambda: value.last(),
            "arbitrary": value.arbitrary,
            "mode": value.mode,
            "argmax": lambda: value.argmax(order),
            "collect": lambda: value.collect(order_by=order).length(),
        }[taken]().cast("float64")
    table = recipe.table.group_by([*times, *texts]) if times or texts else recipe.table
    return Recipe(table.agg(**numbers), list(numbers), times, texts, recipe.serial)


def _sorted(draw: Draw, recipe: Recipe) -> Recipe:
    keys = draw(st.lists(st.sampled_from([*recipe.numbers, *recipe.times, *recipe.texts]), min_size=1, max_size=2))
    return recipe.over(recipe.table.order_by(*dict.fromkeys(keys)))


def _limited(draw: Draw, recipe: Recipe) -> Recipe:
    recipe = _sorted(draw, recipe) if draw(st.integers(0, 5)) else recipe
    return recipe.over(recipe.table.limit(draw(st.integers(1, 6)), offset=draw(st.integers(0, 2))))


def _distinct(draw: Draw, recipe: Recipe) -> Recipe:
    kept = draw(st.lists(st.sampled_from(recipe.numbers), min_size=1, max_size=2, unique=True))
    times = [name for name in recipe.times if draw(st.booleans())]
    return Recipe(recipe.table.select(*kept, *times).distinct(), kept, times, [], recipe.serial)


def _combined(draw: Draw, recipe: Recipe) -> Recipe:
    """A union, intersection or difference with another table."""
    other = derived(draw, recipe.serial, 1)
    number, time = recipe.name(), recipe.name()
    sides = [
        side.table.select(
            **{number: _pick(draw, side, side.numbers).cast("float64")},
            **({time: _pick(draw, side, side.times)} if recipe.times and other.times else {}),
        )
        for side in (recipe, other)
    ]
    how = draw(st.sampled_from(["union", "union", "intersect", "difference"]))
    table = getattr(sides[0], how)(sides[1], distinct=draw(st.booleans()))
    return Recipe(table, [number], [time] if time in table.columns else [], [], recipe.serial)


def _joined(draw: Draw, recipe: Recipe, kinds: tuple[str, ...] = ()) -> Recipe:
    other = derived(draw, recipe.serial, 2)
    how = draw(
        st.sampled_from(kinds or ("inner", "left", "left", "semi", "anti", "any_left", "any_inner", "cross", "asof"))
    )
    renames = {recipe.name(): name for name in other.table.columns}
    back = {old: new for new, old in renames.items()}
    right = other.table.rename(renames)
    mine = Recipe(
        right, *([back[name] for name in names] for names in (other.numbers, other.times, other.texts)), recipe.serial
    )
    predicates = _predicates(draw, recipe, mine)
    if how == "asof" and recipe.times and mine.times:
        return _asof(draw, recipe, mine)
    if how in ("cross", "asof"):
        table = recipe.table.cross_join(right)
    else:
        table = recipe.table.join(right, predicates, how=how)
    if how in ("semi", "anti"):
        return recipe.over(table)
    kept = [recipe.numbers + mine.numbers, recipe.times + mine.times, recipe.texts + mine.texts]
    return Recipe(table, *kept, recipe.serial)


def _predicates(draw: Draw, left: Recipe, right: Recipe) -> list[Any]:
    found = []
    if left.texts and right.texts and draw(st.booleans()):
        found.append(_pick(draw, left, left.texts) == _pick(draw, right, right.texts))
    if left.times and right.times and draw(st.integers(0, 3)):
        mine, theirs = _pick(draw, left, left.times), _pick(draw, right, right.times) + _interval(draw)
        if draw(st.booleans()):
            mine, theirs = mine.truncate("h"), theirs.truncate("h")
        compare = draw(st.sampled_from(["==", "<=", "<", ">"]))
        found.append({"==": mine == theirs, "<=": theirs <= mine, "<": theirs < mine, ">": theirs > mine}[compare])
    if not found or draw(st.integers(0, 3)) == 0:
        mine = _pick(draw, left, left.numbers).cast("float64")
        theirs = _pick(draw, right, right.numbers).cast("float64")
        found.append(mine == theirs if draw(st.booleans()) else mine > theirs)
    return found


def _asof(draw: Draw, left: Recipe, right: Recipe) -> Recipe:
    name = right.name()
    shifted = right.table.mutate(**{name: _pick(draw, right, right.times) + _interval(draw)})
    own = _pick(draw, left, left.times)
    table = left.table.asof_join(shifted, on=own >= shifted[name])
    return Recipe(table, left.numbers + right.numbers, left.times, left.texts, left.serial)


def _without_null(draw: Draw, recipe: Recipe) -> Recipe:
    name = draw(st.sampled_from(recipe.numbers))
    if draw(st.booleans()):
        return recipe.over(recipe.table.drop_null(name))
    return recipe.over(recipe.table.fill_null({name: 0}))


def _odd(draw: Draw, recipe: Recipe) -> Recipe:
    """What must be refused by name, whenever it reaches a feature or the rows."""
    kind = draw(st.sampled_from(["sample", "random", "rowid", "unnest", "view"]))
    if kind == "sample":
        return recipe.over(recipe.table.sample(0.5, seed=1))
    if kind == "random":
        return recipe.with_number(ibis.random())
    if kind == "unnest":
        arrays = recipe.table.mutate(list_=ibis.array([1.0, _pick(draw, recipe, recipe.numbers).cast("float64")]))
        return recipe.over(arrays.unnest("list_").drop("list_"))
    return recipe.over(recipe.table.view()) if kind == "view" else recipe


_STEPS = (
    _filtered,
    _mutated,
    _mutated,
    _aggregated,
    _sorted,
    _limited,
    _distinct,
    _combined,
    _joined,
    _without_null,
    _odd,
)
_KEEPING = (_mutated, _mutated, _mutated, _filtered, _sorted, _without_null)


def derived(draw: Draw, serial: list[int], depth: int) -> Recipe:
    """Any table made of the two, in up to `depth` steps."""
    recipe = _start(draw, draw(st.booleans()), serial)
    for _ in range(draw(st.integers(0, depth))):
        recipe = draw(st.sampled_from(_STEPS))(draw, recipe)
        if not recipe.table.columns:
            break
    return recipe


def _start(draw: Draw, events: bool, serial: list[int]) -> Recipe:
    """The events or the others; two times out of three without what is late."""
    late = draw(st.integers(0, 2)) == 0
    if events:
        return Recipe(EVENTS, ["k", "x", *(["late"] if late else [])], ["t"], ["g"], serial)
    return Recipe(OTHERS, ["y", *(["seen"] if late else [])], ["t"], ["g"], serial)


@st.composite
def recipes(draw: Draw) -> tuple[ibis.Table, list[str]]:
    """A table with the key `k` and the time `t` of the events, and the names of its features."""
    recipe = _start(draw, True, [0])
    for _ in range(draw(st.integers(1, 3))):
        step = draw(st.sampled_from([*_KEEPING, "join", "join", "limit", "semi"]))
        if step == "join":
            recipe = _joined(draw, recipe, ("left", "left", "inner", "any_left", "asof"))
        elif step == "semi":
            recipe = _joined(draw, recipe, ("semi", "anti"))
        else:
            recipe = (_limited if step == "limit" else step)(draw, recipe)
    return recipe.table, [name for name in recipe.numbers if name.startswith("c")]
