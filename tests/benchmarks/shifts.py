"""Which estimator tells what a shift costs, and which alarm finds it: simulated shifts whose truth is known.

Run it: `python -m tests.benchmarks.shifts estimates|alarms|calm|speed [REPETITIONS] [PROBLEM] [SHIFT]`;
docs/monitoring.md has the tables that it printed.
`estimates`: for each shift, how far CBPE and PAPE (or the direct loss estimate without and
with its density ratio) are from the metric that the labels show, and how often that lies in the interval. `alarms`: how
often the first window of a shift is found, and by what. `calm`: windows without any shift but the weekly season, one
after the other: false alarms, beside those of tests of each column at 5 %. `speed`: seconds and peak memory on a large
file.
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from sluice.monitoring.class_estimates import estimate_classes
from sluice.monitoring.density_ratio import density_ratio
from sluice.monitoring.expected_metrics import true_metrics
from sluice.monitoring.loss_estimates import estimate_numbers
from sluice.monitoring.records import WatchSettings
from sluice.monitoring.row_tables import connection, form_of, open_table
from sluice.monitoring.watching import Watch
from tests.unit import shift_world as world

REFERENCE_DAYS, REFERENCE_DAILY, FIRST = 56, 350, 70
ROWS = 10_000
METRICS = {
    "binary": ("accuracy", "log_loss", "roc_auc"),
    "multiclass": ("accuracy", "log_loss"),
    "regression": ("mae", "rmse"),
}
CLEAN = [name for name in world.SHIFTS if name not in ("unit change", "nulls", "new category", "truncation", "noise")]
"""Shifts of rows that are measured as they were: others break what the estimators take for granted."""
WATCHED = {"binary": "accuracy", "multiclass": "accuracy", "regression": "mae"}


def estimates(repetitions: int, problem: str, *names: str) -> None:
    """MAE and coverage of both estimators by shift."""
    estimate = estimate_numbers if problem == "regression" else estimate_classes
    print(f"{'shift':22} {'metric':9} {'costs':>8} {'CBPE':>8} {'in':>5} {'PAPE':>8} {'in':>5} {'support':>8}")
    for name in names or CLEAN:
        gaps: dict[str, list[list[float]]] = {metric: [] for metric in METRICS[problem]}
        support = []
        for seed in range(repetitions):
            reference = world.judged(world.rows(0, REFERENCE_DAYS, 50 + seed, REFERENCE_DAILY), problem, 50 + seed)
            ones, before = np.ones(len(reference)), true_metrics(reference)
            given, told = world.shifted(name, FIRST, 7, 1000 + 10 * seed)
            current = world.judged(given, problem, 1000 + 10 * seed, told)
            ratio = density_ratio(reference.known, current.known, seed)
            support.append(ratio.effective_rows >= 200 and ratio.foreign <= 0.2)
            true = true_metrics(current)
            plain, adapted = estimate(reference, current, ones), estimate(reference, current, ratio.reference)
            for metric, found in gaps.items():
                both = [
                    (abs(e.value - true[metric]), e.low <= true[metric] <= e.high)
                    for e in (plain[metric], adapted[metric])
                ]
                found.append([true[metric] - before[metric], *both[0], *both[1]])
        for metric, found in gaps.items():
            cost, plain_gap, plain_in, gap, inside = np.mean(found, axis=0)
            print(
                f"{name:22} {metric:9} {cost:+8.4f} {plain_gap:8.4f} {plain_in:5.0%} {gap:8.4f} {inside:5.0%} "
                f"{np.mean(support):8.0%}",
                flush=True,
            )


def alarms(repetitions: int, problem: str, *names: str) -> None:
    """What the first window of a shift leads to; labels do not come."""
    metric = WATCHED[problem]
    with tempfile.TemporaryDirectory() as folder, connection() as opened:
        watch, form = _watch(Path(folder), opened, WatchSettings(metric=metric, span="week", rows=ROWS), problem)
        calm = watch.state
        print(f"{'shift':22} {'costs':>8} {'found':>6} {'page':>5} what")
        for name in names or world.SHIFTS:
            found, costs = [], []
            for seed in range(repetitions):
                again = _again(watch, calm)
                given, told = world.shifted(name, FIRST, 7, 2000 + seed)
                path = _written(Path(folder), world.table(given, problem, 2000 + seed, told, labelled=False))
                record = again.judge(open_table(path, opened), name)
                found.append(record.alarms[0] if record.alarms else None)
                costs.append(true_metrics(world.judged(given, problem, 2000 + seed, told))[metric])
            before = watch.whole.known.values[metric]
            titles = Counter(each.title if each else "nothing" for each in found)
            pages = sum(each is not None and each.severity == "page" for each in found)
            words = ", ".join(f"{title} {count}" for title, count in titles.most_common(3))
            print(
                f"{name:22} {np.mean(costs) - before:+8.4f} {sum(e is not None for e in found) / repetitions:6.0%} "
                f"{pages / repetitions:5.0%} {words}",
                flush=True,
            )
    del form


def calm(windows: int, problem: str, span: str = "week") -> None:
    """Windows without a shift: alarms of ours, and of naive tests."""
    days = 7 if span == "week" else 1
    season = "none" if span == "week" else "weekday"
    settings = WatchSettings(metric=WATCHED[problem], span=span, season=season, rows=ROWS)
    found: Counter[str] = Counter()
    naive = corrected = 0
    with tempfile.TemporaryDirectory() as folder, connection() as opened:
        watch, _ = _watch(Path(folder), opened, settings, problem)
        reference = world.rows(0, REFERENCE_DAYS, 5, REFERENCE_DAILY)
        for number in range(windows):
            given = world.rows(FIRST + days * number, days, 3000 + number)
            record = watch.judge(
                open_table(_written(Path(folder), world.table(given, problem, number)), opened), str(number)
            )
            found.update(f"{each.severity}: {each.title}" for each in record.alarms if each.new)
            p_values = [stats.ks_2samp(given.features[:, n], reference.features[:, n]).pvalue for n in range(8)]
            naive += min(p_values) < 0.05
            corrected += min(p_values) < 0.05 / 8
    quarters = windows / (13 if span == "week" else 91.3)
    print(f"{windows} calm windows ({span}, {problem}, labels and estimates, {quarters:.1f} quarters):")
    print(f"  ours: {sum(found.values())} alarms ({sum(found.values()) / quarters:.2f} a quarter) {dict(found)}")
    print(f"  Kolmogorov-Smirnov at 5 % on each of 8 columns: {naive} windows ({naive / quarters:.1f} a quarter)")
    print(f"  the same, Bonferroni within the window: {corrected} windows ({corrected / quarters:.1f} a quarter)")


def speed(millions: int) -> None:
    """Seconds and peak memory of two files of 50 columns."""
    with tempfile.TemporaryDirectory() as folder:
        reference, current = Path(folder, "reference.parquet"), Path(folder, "current.parquet")
        _large(reference, 500_000, 1)
        _large(current, millions * 1_000_000, 2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started, processor = time.monotonic(), time.process_time()
        with connection() as opened:
            table = open_table(reference, opened)
            watch = Watch(table, form_of(table, "outcome"), WatchSettings(metric="log_loss"))
            learned = time.monotonic()
            record = watch.judge(open_table(current, opened), "now")
        done, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{millions} M rows x 50 columns: reference {learned - started:.1f} s, window {done - learned:.1f} s "
        f"(processor {time.process_time() - processor:.1f} s in all), peak {peak:.0f} MiB ({before:.0f} before), "
        f"{len(record.alarms)} alarms"
    )


def _large(path: Path, rows: int, seed: int) -> None:
    generator, writer = np.random.default_rng(seed), None
    for _ in range(max(1, rows // 250_000)):
        count = min(rows, 250_000)
        numbers = {f"x{n}": generator.normal(size=count) for n in range(38)}
        texts = {f"c{n}": pa.array(np.array(list("abcdefghij"))[generator.integers(0, 10, count)]) for n in range(9)}
        positive = 1 / (1 + np.exp(-numbers["x0"] - numbers["x1"] * numbers["x2"]))
        label = np.where(generator.random(count) < positive, "yes", "no")
        said = {"probability_no": 1 - positive, "probability_yes": positive}
        table = pa.table({**numbers, **texts, **said, "outcome": label})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def _watch(
    folder: Path, opened: duckdb.DuckDBPyConnection, settings: WatchSettings, problem: str
) -> tuple[Watch, object]:
    path = folder / "reference.parquet"
    pq.write_table(world.table(world.rows(0, REFERENCE_DAYS, 5, REFERENCE_DAILY), problem, 5), path)
    table = open_table(path, opened)
    form = form_of(table, "outcome", "at")
    return Watch(table, form, settings), form


def _again(watch: Watch, state: object) -> Watch:
    """The same watch, at the beginning."""
    watch._detectors.sums, watch._known = dict(state.sums), set(state.known)
    return watch


def _written(folder: Path, table: pa.Table) -> Path:
    path = folder / "current.parquet"
    pq.write_table(table, path)
    return path


if __name__ == "__main__":
    what, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    kind = sys.argv[3] if len(sys.argv) > 3 else "binary"
    if what == "speed":
        speed(number)
    elif what == "calm":
        calm(number, kind, *sys.argv[4:])
    else:
        {"estimates": estimates, "alarms": alarms}[what](number, kind, *sys.argv[4:])
