"""A world whose rows can shift in known ways, with a model that was trained in it: the test bed of monitoring.

Rows come by day, fewer on weekends, and weekends are different: one number is larger, and one region frequent. A model
learns from the first weeks. A shift then acts on rows that it never saw; what it costs is known, for every row keeps
the probabilities of its label.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from sluice.modeling.threads import fixed_threads
from sluice.monitoring.judged_rows import JudgedRows

Floats = NDArray[np.float64]
NUMBERS = ("load", "age", "wind", "heat", "distance", "visits")
REGIONS = ("north", "south", "east", "west", "islands")
CARRIERS = tuple("ABCDEFGHIJKL")
DAILY = 1000
POOL = 4  # so many times as many rows are made as come: what comes is drawn from them
FIRST_DAY = np.datetime64("2031-01-06")  # a Monday


@dataclass(frozen=True)
class Rows:
    """Rows of the world.

    Attributes:
        numbers: Shape (rows, 6), as the columns NUMBERS.
        region: Codes of REGIONS; one beyond is a region that nobody has seen.
        carrier: Codes of CARRIERS, alike.
        day: Days since FIRST_DAY.
        concept: By how much what the numbers mean has moved: 0 is the world that the model learned.
    """

    numbers: Floats
    region: NDArray[np.int64]
    carrier: NDArray[np.int64]
    day: NDArray[np.int64]
    concept: float = 0.0

    def __len__(self) -> int:
        return len(self.day)

    @property
    def features(self) -> Floats:
        """What the model sees, shape (rows, 8)."""
        return np.column_stack([self.numbers, self.region, self.carrier]).astype(float)

    def take(self, places: NDArray[np.int64]) -> "Rows":
        """Some of them."""
        return replace(
            self,
            numbers=self.numbers[places],
            region=self.region[places],
            carrier=self.carrier[places],
            day=self.day[places],
        )


def rows(first: int, days: int, seed: int, daily: int = DAILY) -> Rows:
    """Rows of some days."""
    generator = np.random.default_rng(seed)
    day = np.arange(first, first + days)
    weekend = day % 7 >= 5
    counts = generator.poisson(np.where(weekend, 0.6, 1.0) * daily)
    day, weekend = np.repeat(day, counts), np.repeat(weekend, counts)
    count = len(day)
    numbers = generator.normal(size=(count, 6))
    numbers[:, 0] += 0.8 * weekend
    numbers[:, 1] = 0.6 * numbers[:, 0] + 0.8 * numbers[:, 1]
    numbers[:, 4] = np.exp(0.6 * numbers[:, 4] + 3)
    numbers[:, 5] = generator.poisson(2 + weekend, count)
    shares = np.where(weekend[:, None], [0.2, 0.2, 0.15, 0.15, 0.3], [0.3, 0.25, 0.2, 0.2, 0.05])
    region = (generator.random(count)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1).clip(0, 4)
    carrier = generator.choice(12, count, p=np.arange(12, 0, -1) / 78)
    return Rows(numbers, region, carrier, day)


def score(given: Rows) -> Floats:
    """What the label follows, shape (rows,)."""
    load, age, wind, heat, distance, visits = given.numbers.T
    steep = np.where(given.region == 4, 0.4, 1.3)  # on the islands nobody can tell much
    carrier = np.sin(given.carrier * 2.3)
    seen = load * (1 - given.concept) - given.concept * load
    value = seen + 0.7 * age * (wind > 0) - 0.5 * wind + 0.02 * distance + 0.15 * visits + 0.4 * carrier - 1.3
    return steep * (value + 0.3 * np.abs(heat))


def truth(given: Rows, problem: str) -> Floats:
    """The probabilities of the label, shape (rows, classes); for a regression mean and spread, shape (rows, 2)."""
    value = score(given)
    if problem == "regression":
        return np.column_stack([10 + 3 * value, 1 + 1.2 * np.exp(0.5 * np.clip(given.numbers[:, 2], -2, 2))])
    if problem == "binary":
        positive = 1 / (1 + np.exp(-value))
        return np.column_stack([1 - positive, positive])
    logits = np.column_stack([-value, 0.5 * given.numbers[:, 3], value])
    raw = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raw / raw.sum(axis=1, keepdims=True)


def labels(given: Rows, problem: str, seed: int) -> Floats:
    """Drawn labels, shape (rows,)."""
    generator, known = np.random.default_rng(seed + 1), truth(given, problem)
    if problem == "regression":
        return known[:, 0] + known[:, 1] * generator.normal(size=len(given))
    return (generator.random(len(given))[:, None] > np.cumsum(known, axis=1)[:, :-1]).sum(axis=1).astype(float)


@cache
def model(problem: str) -> Any:
    """The model, trained on four weeks."""
    learned = rows(-28, 28, 11)
    target = labels(learned, problem, 11)
    kind = HistGradientBoostingRegressor if problem == "regression" else HistGradientBoostingClassifier
    with fixed_threads(1):  # threads that wait for each other cost ten times more on a busy machine
        return kind(max_iter=60, max_leaf_nodes=15, random_state=1).fit(learned.features, target)


def judged(given: Rows, problem: str, seed: int, told: Rows | None = None) -> JudgedRows:
    """The model's word on rows, with their labels.

    Args:
        given: The rows as they are: their labels follow from these.
        problem: `binary`, `multiclass` or `regression`.
        seed: For the labels.
        told: The rows as the model sees them, where something broke on the way.
    """
    seen = (told or given).features
    fitted = model(problem)
    with fixed_threads(1):
        values = fitted.predict(seen) if problem == "regression" else fitted.predict_proba(seen)
    return JudgedRows(problem, values, seen, labels=labels(given, problem, seed))


def _kept(given: Rows, weight: Floats, seed: int) -> Rows:
    """One row in POOL, drawn by its weight; none is drawn twice."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(given), len(given) // POOL, replace=False, p=weight / weight.sum())
    return given.take(np.sort(chosen))


def _told(given: Rows, **changed: object) -> tuple[Rows, Rows]:
    return given, replace(given, **changed)


def _number(given: Rows, place: int, change: Callable[[Floats], Floats]) -> tuple[Rows, Rows]:
    numbers = given.numbers.copy()
    numbers[:, place] = change(numbers[:, place])
    return _told(given, numbers=numbers)


def _moved(given: Rows, place: int, by: float) -> tuple[Rows, Rows]:
    moved = _number(given, place, lambda values: values + by)[1]
    return moved, moved


def _same(given: Rows) -> tuple[Rows, Rows]:
    return given, given


def _prior(given: Rows, seed: int) -> tuple[Rows, Rows]:
    """Positive rows three times as frequent: their labels decide which rows come, and p(x | y) stays."""
    kept = _kept(given, np.where(labels(given, "binary", seed) == 1, 3.0, 1.0), seed)
    return kept, kept


def table(given: Rows, problem: str, seed: int, told: Rows | None = None, *, labelled: bool = True) -> pa.Table:
    """Rows as a file has them: a key, a moment, raw columns, the forecast as `sluice predict` names it, and a label."""
    seen, found = told or given, judged(given, problem, seed, told)
    moments = FIRST_DAY + given.day + np.random.default_rng(seed).integers(0, 86400, len(given)).astype("m8[s]")
    columns: dict[str, object] = {"order_id": [f"{seed}-{n}" for n in range(len(given))], "at": moments}
    columns |= {name: pa.array(seen.numbers[:, n], from_pandas=True) for n, name in enumerate(NUMBERS)}
    columns["region"] = np.array([*REGIONS, "moon"])[seen.region]
    columns["carrier"] = np.array([*CARRIERS, "Z9"])[seen.carrier]
    if problem == "regression":
        columns["prediction"] = found.values
        label = found.labels
    else:
        names = np.array(["no", "yes"] if problem == "binary" else ["low", "middle", "high"])
        columns["prediction"] = names[found.said]
        columns |= {f"probability_{name}": found.values[:, n] for n, name in enumerate(names)}
        label = names[found.labels.astype(int)]
    if labelled:
        columns["outcome"] = label
    return pa.table(columns)


_DRAWING = ("covariate", "hard", "prior", "subpopulation", "gradual", "noisy")


def shifted(name: str, first: int, days: int, seed: int, time: float = 1.0, daily: int = DAILY) -> tuple[Rows, Rows]:
    """Rows of some days under a shift: as they are, and as they are told."""
    pool = rows(first, days, seed, POOL * daily)
    given = pool if name.startswith(_DRAWING) else _kept(pool, np.ones(len(pool)), seed)
    return SHIFTS[name](given, seed, time)


SHIFTS: dict[str, Callable[[Rows, int, float], tuple[Rows, Rows]]] = {
    "none (weekly season)": lambda given, seed, time: _same(given),
    "covariate, mild": lambda given, seed, time: _same(_kept(given, np.exp(0.35 * given.numbers[:, 0]), seed)),
    "covariate, strong": lambda given, seed, time: _same(
        _kept(given, np.exp(time * (-1.2 * given.numbers[:, 2] - 0.8 * np.abs(given.numbers[:, 0]))), seed)
    ),
    "hard rows": lambda given, seed, time: _same(
        _kept(given, np.exp(-2.5 * time * np.abs(score(given))), seed)  # near the border, where nobody could tell
    ),
    "noisy rows": lambda given, seed, time: _same(  # those whose number varies most, in a regression
        _kept(given, np.exp(1.2 * given.numbers[:, 2]), seed)
    ),
    "prior": lambda given, seed, time: _prior(given, seed),
    "concept": lambda given, seed, time: _same(replace(given, concept=0.5 * time)),
    "subpopulation": lambda given, seed, time: _same(_kept(given, np.where(given.region == 4, 12.0**time, 1.0), seed)),
    "season (heat)": lambda given, seed, time: _moved(given, 3, 0.6),
    "unit change": lambda given, seed, time: _number(given, 4, lambda values: values * 1.609),
    "nulls": lambda given, seed, time: _number(
        given, 0, lambda values: np.where(np.random.default_rng(seed).random(len(values)) < 0.5, np.nan, values)
    ),
    "new category": lambda given, seed, time: _told(
        given, carrier=np.where(np.random.default_rng(seed).random(len(given)) < 0.3, 12, given.carrier)
    ),
    "truncation": lambda given, seed, time: _number(given, 0, lambda values: np.minimum(values, 0.0)),
    "noise": lambda given, seed, time: _number(
        given, 0, lambda values: values + np.random.default_rng(seed).normal(scale=1.5, size=len(values))
    ),
    "duplicates": lambda given, seed, time: _same(
        given.take(np.sort(np.random.default_rng(seed).integers(0, max(1, len(given) // 2), len(given))))
    ),
    "gradual covariate": lambda given, seed, time: _same(
        _kept(given, np.exp(-2.5 * time * np.abs(score(given))), seed)
    ),
}
"""By name: from rows, a seed and how far a shift has come (0 to 1; some come at once), to rows as they are and told."""
