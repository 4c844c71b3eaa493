"""How often an estimate's interval holds the truth, and how often a costly shift is found at once: rates, on arrays.

No file is written and no column counted here: the estimators and the detectors are called as a watch calls them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from sluice.monitoring import watching
from sluice.monitoring.class_estimates import Estimated, estimate_classes
from sluice.monitoring.density_ratio import density_ratio
from sluice.monitoring.evidence import Detectors, least_p_value, limit_of, normal_p_value
from sluice.monitoring.expected_metrics import ExpectedMetrics, true_metrics
from sluice.monitoring.harder_rows import harder
from sluice.monitoring.judged_rows import Floats, JudgedRows
from sluice.monitoring.loss_estimates import estimate_numbers
from sluice.monitoring.performance import Performance, Wanted, estimated_performance, measured, true_performance
from sluice.monitoring.recalibration import recalibration
from sluice.monitoring.second_opinion import opinion_on
from tests.unit import shift_world as world

REFERENCE_DAYS, FIRST = 56, 70
METRICS = {
    "binary": ("accuracy", "log_loss", "f1", "roc_auc"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("mae", "rmse"),
}
WATCHED = {"binary": "accuracy", "multiclass": "accuracy", "regression": "mae"}
MEASURED = (
    "none (weekly season)",
    "subpopulation",
    "covariate, mild",
    "covariate, strong",
    "hard rows",
    "noisy rows",
    "season (heat)",
    "prior",
    "concept",
)
"""Shifts of rows that are measured as they were: others break what the estimators take for granted."""
COSTLY = ("covariate, strong", "hard rows", "subpopulation", "concept")
COSTS = (0.0, 0.01, 0.02, 0.03, 0.05, 1.0)


@dataclass(frozen=True)
class Size:
    """How much is simulated: repetitions, and rows a day (of working days) of reference and window."""

    repetitions: int
    reference_daily: int
    daily: int
    first: int = 0


def share(hits: int, of: int) -> str:
    """A rate with its 95 % interval (Clopper and Pearson)."""
    if not of:
        return "-"
    ends = stats.binomtest(hits, of).proportion_ci()
    return f"{hits / of:.0%} ({ends.low:.0%} to {ends.high:.0%})"


def rate(events: int, of: float) -> str:
    """Events a unit with their 95 % interval (Garwood 1936)."""
    low = stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    return f"{events / of:.3f} ({low / of:.3f} to {stats.chi2.ppf(0.975, 2 * events + 2) / 2 / of:.3f})"


def references(size: Size, problem: str) -> Iterator[tuple[int, JudgedRows]]:
    """A new reference for each repetition."""
    for seed in range(size.first, size.first + size.repetitions):
        given = world.rows(0, REFERENCE_DAYS, 50 + seed, size.reference_daily)
        yield seed, world.judged(given, problem, 50 + seed)


def window(name: str, problem: str, seed: int, daily: int, time: float = 1.0) -> tuple[JudgedRows, float]:
    """A week of a shift, and the accuracy that its rows are expected to have; NaN for numbers."""
    given, told = world.shifted(name, FIRST, 7, seed, time, daily)
    rows = world.judged(given, problem, seed, told)
    if problem == "regression":
        return rows, float("nan")
    return rows, float(world.truth(given, problem)[np.arange(len(rows)), rows.said].mean())


def calibrated(reference: JudgedRows, current: JudgedRows, weights: Floats) -> dict[str, float]:
    """CBPE with ones, PAPE with a density ratio, as their papers have them: one curve from score to probability."""
    assert reference.labels is not None
    curve = recalibration(reference.values, reference.labels, weights, binary=reference.binary)
    return ExpectedMetrics(current).under(curve(current.values))


Others = dict[str, dict[str, float]]
Row = dict[str, Any]
"""A result, as a line of JSON has it."""


def estimators(
    reference: JudgedRows, current: JudgedRows, weights: Floats, seed: int, *, hard: bool
) -> tuple[dict[str, Estimated], Others]:
    """What Sluice estimates, and what others would."""
    ones = np.ones(len(reference))
    if reference.regression:
        plain = estimate_numbers(reference, current, ones, seed)
        return estimate_numbers(reference, current, weights, seed), {
            "unweighted": {name: each.value for name, each in plain.items()}
        }
    ours = estimate_classes(reference, current, weights, None, seed, opinion_on(reference), hard=hard)
    return ours, {
        "CBPE": calibrated(reference, current, ones),
        "PAPE": calibrated(reference, current, weights),
    }


def estimates(size: Size, problem: str, names: Sequence[str]) -> Iterator[Row]:
    """Errors against the metric that the labels of the window show, and whether the interval holds it."""
    for seed, reference in references(size, problem):
        before = true_metrics(reference)
        for place, name in enumerate(names):
            current, _ = window(name, problem, 100_000 + 100 * seed + place, size.daily)
            ratio = density_ratio(reference.known, current.known, seed)
            true = true_metrics(current)
            hard = not reference.regression and bool(harder(reference, current, seed).words)
            ours, others = estimators(reference, current, ratio.reference, seed, hard=hard)
            for metric in METRICS[problem]:
                each, now = ours[metric], true[metric]
                yield {
                    "problem": problem,
                    "shift": name,
                    "metric": metric,
                    "costs": now - before[metric],
                    "others": {other: told[metric] - now for other, told in others.items()},
                    "gap": each.value - now,
                    "inside": each.low <= now <= each.high,
                    "error": each.error,
                    "failed": hard,
                    "refused": bool(ratio.effective_rows < 200 or ratio.foreign > 0.2),
                }


def print_estimates(rows: Sequence[Row]) -> None:
    """A table a problem."""
    for problem, of in _grouped(rows, "problem"):
        heads = " ".join(f"{name:>18}" for name in (*of[0]["others"], "Sluice"))
        print(f"\n{problem}: mean absolute error (mean error), reference and window as given")
        print(
            f"{'shift':22} {'metric':9} {'costs':>8} {heads} {'Sluice / first':>20} {'in the interval':>22} "
            "refused, told to fail"
        )
        for shift, those in _grouped(of, "shift"):
            for metric, each in _grouped(those, "metric"):
                gaps = [np.array([row["others"][name] for row in each]) for name in each[0]["others"]]
                gaps.append(np.array([row["gap"] for row in each]))
                told = " ".join(f"{abs(gap).mean():8.4f} ({gap.mean():+.4f})" for gap in gaps)
                inside = share(sum(row["inside"] for row in each), len(each))
                costs = np.mean([row["costs"] for row in each])
                refused, failed = (sum(row.get(name, False) for row in each) for name in ("refused", "failed"))
                print(
                    f"{shift:22} {metric:9} {costs:+8.4f} {told} {_ratio(gaps[0], gaps[-1]):>20} {inside:>22} "
                    f"{refused}, {failed}"
                )


def _grouped(rows: Sequence[Row], name: str) -> Iterator[tuple[Any, list[Row]]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    yield from found.items()


def _ratio(other: Floats, ours: Floats) -> str:
    """Our mean error as a share of another's, with the 95 % interval of a bootstrap of pairs."""
    other, ours = abs(other), abs(ours)
    places = np.random.default_rng(0).integers(0, len(ours), (2000, len(ours)))
    drawn = ours[places].mean(axis=1) / other[places].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{ours.mean() / other.mean():.2f} ({low:.2f} to {high:.2f})"


def detectors_of(windows_a_quarter: float = 13.0, false_alarms: float = 0.25) -> tuple[Detectors, float]:
    """Fresh detectors of a weekly watch, and how many standard errors are evidence in one window."""
    limit = limit_of(windows_a_quarter, false_alarms)
    surprise = float(stats.norm.isf(least_p_value(limit / watching.PARTS[watching.BY_LABELS])))
    return Detectors(limit, {}), surprise


def is_found(channel: str, told: Performance, wanted: Wanted) -> bool:
    """Whether one window alone is an alarm, as a watch decides."""
    main = told.metrics.get(wanted.metric)
    if main is None:
        return False
    detectors, _ = detectors_of()
    p_value = normal_p_value(main.worse, main.lasting, main.noise)
    along = detectors.add({channel: p_value}, watching.PARTS)[channel]
    return along >= 1 and main.worse >= 0.5 * wanted.effect


def first_windows(size: Size, problem: str, names: Sequence[str], *, labelled: bool) -> Iterator[Row]:
    """Whether the first window of a shift is an alarm; each shift has come some way, and costs what it then costs."""
    wanted = Wanted(WATCHED[problem], surprise=detectors_of()[1])
    channel = watching.BY_LABELS if labelled else watching.ESTIMATED
    usual = window("none (weekly season)", problem, 777, 4000)[1]
    for seed, reference in references(size, problem):
        known = measured(reference)
        for place, name in enumerate(names):
            number = 200_000 + 100 * seed + place
            time = float(np.random.default_rng(number).uniform(0.2, 1.0))
            current, expected = window(name, problem, number, size.daily, time)
            if labelled:
                told = true_performance(known, current, wanted)
            else:
                told = estimated_performance(reference, known, current, wanted)[0]
            yield {
                "channel": channel,
                "shift": name,
                "rows": len(current),
                "costs": usual - expected,
                "alarm": is_found(channel, told, wanted),
                "told": told.state == "told",
            }


def print_first_windows(rows: Sequence[Row]) -> None:
    """A table for labels and one for estimates."""
    for channel, of in _grouped(rows, "channel"):
        size = np.mean([row["rows"] for row in of])
        print(f"\nfound in the first window, {channel}: windows of {size:,.0f} rows")
        print(f"{'shift':22} {'costs':>12} {'found':>22} {'performance is told':>22}")
        for shift, those in sorted(_grouped(of, "shift")):
            for low, high in pairwise(COSTS):
                each = [row for row in those if low <= row["costs"] < high]
                if each:
                    found = share(sum(row["alarm"] for row in each), len(each))
                    told = share(sum(row["told"] for row in each), len(each))
                    print(f"{shift:22} {low:5.0%} to {high:4.0%} {found:>22} {told:>22}")
        blind = () if channel == watching.BY_LABELS else ("concept",)
        costly = [row for row in of if row["costs"] >= 0.02 and row["shift"] not in blind]
        print(f"{'visible, 2 % or more':35} {share(sum(row['alarm'] for row in costly), len(costly)):>22}")


def detectors(runs: int) -> None:
    """How many windows pass until a false alarm where nothing changes: all channels, dependent as they like."""
    generator, windows = np.random.default_rng(3), 0
    alarms = 0
    for _ in range(runs):
        each, _ = detectors_of()
        for _ in range(52):
            same = generator.random()
            told = {watching.BY_LABELS: same, watching.ESTIMATED: same}  # they depend on each other altogether
            told |= {name: generator.random() for name in (watching.OUTPUTS, watching.INPUTS, watching.DATA)}
            along = each.add(told, watching.PARTS)
            windows += 1
            alarms += sum(part >= 1 for part in along.values())
            for name, part in along.items():
                if part >= 1:
                    each.restart(name)
    print(
        f"\n{windows:,} windows with exact p-values in five channels: {alarms} alarms, "
        f"{rate(alarms, windows / 13)} a quarter; promised at most 0.25"
    )
