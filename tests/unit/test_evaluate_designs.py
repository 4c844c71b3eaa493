"""Dependent and unequally weighted rows: block lengths, coverage of intervals, and which population they speak of."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import CircularBlockBootstrap, optimal_block_length

from sluice.evaluation.blocks import block_length, optimal_length
from sluice.evaluation.bootstrap import bootstrap, resample_weights, summary
from sluice.evaluation.designs import Design, design_of, independent
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Predictions

DAYS, A_DAY = 56, 20


def series(seed: int, length: int, memory: float) -> np.ndarray:
    """A first-order autoregression of variance 1."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=length)
    for place in range(1, length):
        values[place] = memory * values[place - 1] + np.sqrt(1 - memory**2) * values[place]
    return values


@pytest.mark.parametrize("memory", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("length", [20, 56, 365])
def test_the_block_length_is_that_of_arch(memory: float, length: int) -> None:
    for seed in range(10):
        values = series(seed, length, memory)
        expected = float(optimal_block_length(values)["circular"].iloc[0])
        assert optimal_length(values) == pytest.approx(expected)
        assert block_length(values) == max(1, min(int(np.ceil(expected)), length // 10))


def test_a_series_without_anything_to_tell_asks_for_no_blocks() -> None:
    assert block_length(np.ones(50)) == 1
    assert block_length(np.arange(5.0)) == 1
    assert block_length(np.array([np.nan] * 50)) == 1


def dependent(seed: int, memory: float = 0.0, effect: float = 1.0) -> tuple[Predictions, Design]:
    """Rows of days that share a shock to the log-odds, forecast by a model that does not know it."""
    generator = np.random.default_rng(seed)
    days = np.repeat(np.arange(DAYS), A_DAY)
    shock, known = effect * series(seed + 10**6, DAYS, memory)[days], generator.normal(size=len(days))
    labels = (generator.random(len(days)) < 1 / (1 + np.exp(1.2 - known - shock))).astype(int)
    score = 1 / (1 + np.exp(1.1 - 0.9 * known))
    return Predictions(labels, np.column_stack([1 - score, score])), Design(np.ones(len(days)), days, True, "day")


def coverage(memory: float, *, blocked: bool, draws: int = 150) -> float:
    """How often the log loss's interval holds the log loss of all worlds."""
    worlds = [dependent(seed, memory) for seed in range(2 * draws)]
    truth = np.mean([model.log_losses.mean() for model, _ in worlds])
    held = 0
    for seed, (model, design) in enumerate(worlds[:draws]):
        used = design.with_block([model.log_losses]) if blocked else independent(len(model.labels))
        drawn = np.hstack([w.T @ model.log_losses / w.sum(axis=0) for w in resample_weights(used, 200, seed)])
        estimate = summary(drawn, used.units)
        held += estimate.low <= truth <= estimate.high
    return held / draws


def test_intervals_of_days_hold_the_truth_where_those_of_rows_do_not() -> None:
    """95 % wanted; of 150 draws, 0.95 gives at least 0.90 in 99 of 100 tests."""
    assert coverage(0.0, blocked=True) >= 0.90
    assert coverage(0.0, blocked=False) <= 0.85
    assert coverage(0.5, blocked=True) >= 0.85
    assert coverage(0.5, blocked=False) <= 0.70


def test_the_standard_error_of_blocks_agrees_with_archs() -> None:
    """One row a day, so that arch's bootstrap of a series draws the same things."""
    values = series(3, 300, 0.5)
    design = Design(np.ones(300), np.arange(300), True, "day", block=6)
    drawn = np.hstack([w.T @ values / w.sum(axis=0) for w in resample_weights(design, 4000, 1)])
    theirs = CircularBlockBootstrap(6, values, seed=1).apply(np.mean, 4000).std(ddof=1)
    assert drawn[1:].std(ddof=1) == pytest.approx(theirs, rel=0.06)


def test_few_clusters_widen_the_interval() -> None:
    values = np.concatenate([[0.0], np.random.default_rng(1).normal(size=4000)])
    many, few = summary(values), summary(values, units=6)
    assert many.high - many.low == pytest.approx(2 * 1.96, rel=0.05)
    assert few.high - few.low > 1.3 * (many.high - many.low)


def unequal(seed: int, rows: int = 20_000, drawn: int = 600) -> tuple[Predictions, Predictions, Design]:
    """All rows, and as many of either class, drawn from them; the model judges rows by one number."""
    generator = np.random.default_rng(seed)
    known = generator.normal(size=rows)
    labels = (generator.random(rows) < 1 / (1 + np.exp(2.5 - known))).astype(int)
    score = 1 / (1 + np.exp(2.2 - 0.8 * known))
    kept = np.concatenate([generator.choice(np.flatnonzero(labels == k), drawn // 2, replace=False) for k in (0, 1)])
    weights = np.array([(labels == k).sum() / (drawn // 2) for k in (0, 1)])[labels[kept]]
    every = Predictions(labels, np.column_stack([1 - score, score]))
    return every, Predictions(labels[kept], every.probabilities[kept]), Design(weights, np.arange(drawn))


def test_weighted_numbers_speak_of_the_population() -> None:
    """Over many draws, the weighted metrics of a sample of equal classes are those of all rows; plain ones are not."""
    gaps, plain, held = [], [], 0
    for seed in range(40):
        every, some, design = unequal(seed)
        truth = every.metrics(np.ones((len(every.labels), 1)))
        found = bootstrap({"m": some}, 200, seed, design)
        gaps.append([found.values["m"][k][0] - truth[k][0] for k in ("log_loss", "brier", "roc_auc", "bias")])
        plain.append(some.metrics(np.ones((len(some.labels), 1)))["log_loss"][0] - truth["log_loss"][0])
        estimate = found.estimate("m", "log_loss")
        held += estimate.low <= truth["log_loss"][0] <= estimate.high
    errors = np.std(gaps, axis=0, ddof=1) / np.sqrt(40)
    assert (np.abs(np.mean(gaps, axis=0)) < 4 * errors + 0.002).all()
    assert np.mean(plain) > 0.2
    assert held >= 35


def test_a_design_is_read_off_the_rows() -> None:
    task = Task("a", "q", "l", ("x", "y"), ("k",), time="t", timezone="America/New_York", weight="w")
    times = pd.to_datetime(["2013-01-02 04:00", "2013-01-02 05:00", "2013-01-02 23:00"])
    design = design_of(pd.DataFrame({"t": times, "w": [1.0, 2.0, 4.0]}), task)
    assert (design.clusters.tolist(), design.ordered, design.name, design.weighted) == ([0, 1, 1], True, "day", True)
    assert design.subset(np.array([False, True, True])).count == 1
    grouped = Task("a", "q", "l", ("x", "y"), ("k",), time="t", cluster="g")
    design = design_of(pd.DataFrame({"t": times, "g": ["b", "a", "b"]}), grouped)
    assert (design.clusters.tolist(), design.ordered, design.name) == ([1, 0, 1], False, "g")
    alone = design_of(pd.DataFrame({"x": [1, 2]}), Task("a", "q", "l", ("x", "y"), ("k",)))
    assert (alone.count, alone.weighted) == (2, False)
