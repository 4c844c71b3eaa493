"""Copies of training rows among the test rows: a model remembers their answers, and is praised for it.

Equal features alone are no sign of copies. A table of a few categories repeats by nature, and its rows are new all the
same. What marks copies is that rows which agree in all features but one agree in that one too, whichever it is: rows
that meet by chance differ there as often as any two rows. The finest column is left aside in this test, for without it
rows may agree by chance, and so are very common rows, such as those without any entry.

A near copy is one whose numbers fall into the same of very fine bins. Rows of few dimensions come that close by chance
when there are many; but then fewer do in bins of a quarter, while copies stay together.
"""

from dataclasses import asdict, dataclass
from typing import Any

import ibis
import numpy as np

from sluice.problems.task import Task

BINS = 512  # of a number between its quartiles
LEAST_SHARE = 0.01  # of test rows, below which copies change no verdict
LEAST_PAIRS = 10
AGREEMENT = 0.8  # beyond chance, in each left-out column
COMMON = 0.01  # a row that makes up this share of all is a common one, no copy
STAYING = 0.5  # of near copies, in bins of a quarter


@dataclass(frozen=True)
class Copies:
    """What was found of test rows that stand in training, by all their features.

    Attributes:
        exact: Share of test rows with all features equal to those of a training row, very common rows left out.
        near: The same with numbers compared in fine bins; as `exact` where that is enough to tell copies.
        copied: Whether they are copies, exact or near, rather than rows that are alike by nature.
    """

    exact: float
    near: float
    copied: bool

    def body(self) -> dict[str, Any]:
        """As a manifest's details keep it."""
        return asdict(self)


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def xor(one: int, other: int) -> int:  # type: ignore[empty-body]
    """DuckDB's own, without Ibis's way over bit strings."""


def find_copies(assigned: ibis.Table, task: Task, part: str) -> Copies:
    """Look for test rows that are copies of training rows.

    Args:
        assigned: Rows on DuckDB.
        task: Names their features.
        part: The column with each row's part.
    """
    if not task.features:
        return Copies(0.0, 0.0, copied=False)
    exactly = _hashed(assigned, task, part, {}, BINS)
    exact = _share(exactly)
    if exact >= LEAST_SHARE and _agree(exactly, task):
        return Copies(exact, exact, copied=True)
    scales = _scales(assigned, task)
    nearly = _hashed(assigned, task, part, scales, BINS)
    near = _share(nearly)
    copied = (
        near >= LEAST_SHARE
        and _share(_hashed(assigned, task, part, scales, 4 * BINS)) >= STAYING * near
        and _agree(nearly, task)
    )
    return Copies(exact, near, copied)


def _scales(assigned: ibis.Table, task: Task) -> dict[str, float]:
    """A width for each numeric feature: between its quartiles, else its whole range; none for a single value."""
    if not task.numeric:
        return {}
    numbers = {name: assigned[name].cast("float64") for name in task.numeric}
    wanted = {f"q{i}": x.quantile([0.25, 0.75]) for i, x in enumerate(numbers.values())}
    wanted |= {f"r{i}": x.max() - x.min() for i, x in enumerate(numbers.values())}
    found = assigned.agg(**wanted).to_pyarrow().to_pylist()[0]
    widths = {}
    for i, name in enumerate(numbers):
        low, high = found[f"q{i}"] or (0.0, 0.0)
        width = high - low or found[f"r{i}"]
        if width and np.isfinite(width):
            widths[name] = float(width)
    return widths


def _hashed(assigned: ibis.Table, task: Task, part: str, scales: dict[str, float], bins: int) -> ibis.Table:
    """Columns `part`, `h0`, `h1`, … (a hash of each feature) and `whole` (of all), held by the engine.

    Features that have a scale are compared by their bin.
    """
    columns: dict[str, ibis.Value] = {"part": assigned[part]}
    for i, name in enumerate(task.features):
        value = assigned[name]
        if name in scales:
            value = (value.cast("float64") * (bins / scales[name])).floor()
        # DuckDB joins a struct's hashes by exclusive-or, as `xor` does: hashed once more, the place stays in them.
        columns[f"h{i}"] = ibis.struct({"place": i, "value": value}).hash().hash()
    hashes = assigned.select(**columns)
    whole = hashes.h0
    for i in range(1, len(task.features)):
        whole = xor(whole, hashes[f"h{i}"])
    return hashes.mutate(whole=whole).cache()


def _share(level: ibis.Table) -> float:
    """Share of test rows that have all features of some training row, common rows left out."""
    test = (level.part == "test").sum()
    train = (level.part == "train").sum()
    counted = level.group_by("whole").agg(n=level.count(), test=test, train=train)
    rows, tests = (int(n) for n in level.agg(n=level.count(), test=test).to_pyarrow().to_pylist()[0].values())
    kept = counted.filter((counted.train > 0) & (counted.n <= _common(rows)))
    return float(kept.test.sum().to_pyarrow().as_py() or 0) / max(tests, 1)


def _common(rows: int) -> int:
    return max(20, int(COMMON * rows))


def _agree(level: ibis.Table, task: Task) -> bool:
    """Whether rows that agree in all features but one agree in that one too, far more than any two rows do."""
    rows = int(level.count().to_pyarrow().as_py())
    if len(task.features) == 1:
        return task.image is not None  # two images do not meet by chance; for one number or word, nothing can tell
    chances = [_chance(level, f"h{i}", rows) for i in range(len(task.features))]
    finest = int(np.argmin(chances))
    others = [i for i, chance in enumerate(chances) if i != finest and chance < 1]
    return bool(others) and all(_beyond_chance(level, f"h{i}", chances[i], rows) for i in others)


def _chance(level: ibis.Table, name: str, rows: int) -> float:
    """How often two rows agree in a column."""
    counted = level.group_by(name).agg(n=level.count())
    pairs = counted.agg(pairs=(counted.n.cast("float64") * (counted.n - 1)).sum()).to_pyarrow().to_pylist()[0]["pairs"]
    return float(pairs or 0) / max(rows * (rows - 1), 1)


def _beyond_chance(level: ibis.Table, name: str, chance: float, rows: int) -> bool:
    others = level.mutate(others=xor(level.whole, level[name]))
    cells = others.group_by("others", "whole").agg(n=others.count())
    groups = cells.group_by("others").agg(rows=cells.n.sum(), pairs=(cells.n * (cells.n - 1)).sum())
    kept = groups.filter((groups.rows > 1) & (groups.rows <= _common(rows)))
    # A group counts by its rows, not by its pairs: a single large one must not decide.
    told = kept.agg(agreeing=(kept.pairs / (kept.rows - 1)).sum(), rows=kept.rows.sum()).to_pyarrow().to_pylist()[0]
    if not told["rows"] or told["rows"] < 2 * LEAST_PAIRS:
        return False
    return bool((told["agreeing"] / told["rows"] - chance) / (1 - chance) >= AGREEMENT)
