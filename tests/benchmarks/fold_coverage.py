"""How often intervals from folds hold the truth: simulated tables of 150 rows, judged by Sluice's own statistics.

Run it: `python -m tests.benchmarks.fold_coverage [REPETITIONS]` (a few minutes for 400).

For each simulated table a recipe is judged in five folds as `evaluate` does it, the choice between two models inside
each fold included. The truths are measured on 20,000 rows that nobody learned from: the loss of the very model that
all rows give (`this model`), and the mean of that over all tables (`the recipe`). `noise wins` is how often the test of
the gate, at 5 %, takes one of two recipes for better that are equally good: they learn from different features which
tell the same. Everything is told with the widening of folds and without it.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from sluice.evaluation.bootstrap import Resamples, bootstrap
from sluice.evaluation.designs import Design
from sluice.evaluation.significance import p_below
from sluice.problems.weighted_metrics import Predictions
from sluice.sampling.folds import Folds

ROWS, GROUP, FEATURES, FOLDS, FRESH = 150, 5, 10, Folds(5, "fold"), 20_000
Floats = NDArray[np.float64]
Learn = Callable[[Floats, Floats], Callable[[Floats], Floats]]


@dataclass(frozen=True)
class Case:
    """A kind of table and of models: which the recipe chooses from, and whether rows come in groups of five."""

    name: str
    models: tuple[Callable[[], object], ...]
    grouped: bool = False


CASES = (
    Case("logistic", (lambda: LogisticRegression(C=0.1), lambda: LogisticRegression(C=10.0))),
    Case("neighbours", (lambda: KNeighborsClassifier(15), lambda: KNeighborsClassifier(30))),
    Case("trees", (lambda: DecisionTreeClassifier(min_samples_leaf=15, random_state=1), LogisticRegression)),
    Case("logistic, groups", (lambda: LogisticRegression(C=0.1), lambda: LogisticRegression(C=10.0)), grouped=True),
)


@dataclass(frozen=True)
class Judged:
    """One table: what was measured, and the truth of the model that all rows gave."""

    measured: Resamples
    true: float


def tables(case: Case, repetitions: int, seed: int, resamples: int = 400, fresh_rows: int = FRESH) -> Iterator[Judged]:
    """Simulate tables and judge the recipe on each, and its twin on the other features."""
    for repetition in range(repetitions):
        generator = np.random.default_rng((seed, repetition))
        rows, labels, groups = _draw(generator, ROWS, case)
        folds = _folds(groups, generator)
        said = [_out_of_fold(case, rows[:, half], labels, folds) for half in _HALVES]
        fresh, truth, _ = _draw(generator, fresh_rows, case)
        last = folds == FOLDS.number
        model = _recipe(case, rows[:, _HALVES[0]], labels, ~last, last)
        loss = float(Predictions(truth, model(fresh[:, _HALVES[0]])).log_losses.mean())
        design = Design(np.ones(ROWS), groups, widening=FOLDS.widening)
        models = dict(zip(("recipe", "twin"), (Predictions(labels, proba) for proba in said), strict=True))
        yield Judged(bootstrap(models, resamples, repetition, design), loss)


_HALVES = (slice(0, FEATURES // 2), slice(FEATURES // 2, FEATURES))


def _draw(
    generator: np.random.Generator, number: int, case: Case
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Two halves of features that tell equally much of the label; rows of a group share much of both."""
    groups = np.arange(number) // GROUP if case.grouped else np.arange(number)
    rows = generator.normal(size=(number, FEATURES))
    shift = np.zeros(number)
    if case.grouped:
        rows = (rows + 2 * generator.normal(size=(groups.max() + 1, FEATURES))[groups]) / np.sqrt(5)
        shift = generator.normal(size=groups.max() + 1)[groups]
    weight = np.array([1.0, 0.5, 0.25, 0.0, 0.0] * 2)
    chance = 1 / (1 + np.exp(-(rows @ weight + shift)))
    return rows, (generator.random(number) < chance).astype(np.int64), groups


def _folds(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    order = generator.permutation(groups.max() + 1)
    return np.asarray(order % FOLDS.number + 1)[groups]


def _recipe(
    case: Case, rows: Floats, labels: NDArray[np.int64], learned: NDArray[np.bool_], stopping: NDArray[np.bool_]
) -> Callable[[Floats], Floats]:
    """The model with the least loss on the rows to choose by."""
    models = [make().fit(rows[learned], labels[learned]) for make in case.models]  # type: ignore[attr-defined]
    losses = [Predictions(labels[stopping], model.predict_proba(rows[stopping])).log_losses.mean() for model in models]
    return models[int(np.argmin(losses))].predict_proba  # type: ignore[no-any-return]


def _out_of_fold(case: Case, rows: Floats, labels: NDArray[np.int64], folds: NDArray[np.int64]) -> Floats:
    found = np.empty((len(labels), 2))
    for fold in range(1, FOLDS.number + 1):
        held, stopping = folds == fold, folds == FOLDS.stopping(fold)
        found[held] = _recipe(case, rows, labels, ~(held | stopping), stopping)(rows[held])
    return found


@dataclass(frozen=True)
class Found:
    """Shares of tables whose interval holds the truth, the mean width, and how often noise wins."""

    this_model: float
    recipe: float
    width: float
    noise_wins: float


def shares(judged: list[Judged], widening: float) -> Found:
    """What comes of intervals with a widening; 1 for none."""
    truth = float(np.mean([each.true for each in judged]))
    wide = [replace(each.measured, widening=widening) for each in judged]
    intervals = [each.estimate("recipe", "log_loss") for each in wide]
    low, high = (np.array([getattr(each, end) for each in intervals]) for end in ("low", "high"))
    own = np.array([each.true for each in judged])
    gaps = [each.difference("recipe", "twin", "log_loss") for each in wide]
    return Found(
        this_model=float(((low <= own) & (own <= high)).mean()),
        recipe=float(((low <= truth) & (truth <= high)).mean()),
        width=float((high - low).mean()),
        noise_wins=float(np.mean([p_below(gap, each.units) <= 0.05 for gap, each in zip(gaps, wide, strict=True)])),
    )


def main(repetitions: int) -> None:
    """Print a table in Markdown."""
    print(f"{repetitions} tables of {ROWS} rows, {FOLDS.number} folds, 95 % intervals of the log loss\n")
    print("| models | widening | holds this model's loss | holds the recipe's | mean width | noise wins at 5 % |")
    print("|---|---:|---:|---:|---:|---:|")
    for case in CASES:
        judged = list(tables(case, repetitions, 2013))
        for widening in (1.0, FOLDS.widening):
            f = shares(judged, widening)
            print(
                f"| {case.name} | {widening:.2f} | {f.this_model:.1%} | {f.recipe:.1%} | {f.width:.3f} | "
                f"{f.noise_wins:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
