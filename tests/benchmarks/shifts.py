"""Which estimator tells what a shift costs, and which alarm finds it: simulated shifts whose truth is known.

Run it: `python -m tests.benchmarks.shifts [TABLE ...] [--repetitions N] [--problem P] [--shift NAME ...]
[--reference-daily ROWS] [--daily ROWS] [--first SEED] [--rows FILE]`; docs/monitoring.md has what it printed.
`estimates`: for each shift, how far estimates are from the metric that the labels show, and how often that lies in the
interval. `found`: how often the first window of a shift is an alarm without labels, by what it costs; `labels`: with
labels. `quarters`: models watched for 13 weeks without any shift but the weekly season, by the whole watch.
`detectors`: how often detectors alarm on exact p-values. `alarms`: what the first window of each shift is called.
`speed`: seconds and peak memory on a large file. With `--rows` results are added to a file of JSON lines, and tables
are of all that it then has: so a long run can be made in parts.
"""

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from sluice.monitoring.expected_metrics import true_metrics
from sluice.monitoring.records import WatchSettings
from sluice.monitoring.row_tables import connection, form_of, open_table
from sluice.monitoring.watching import Watch
from tests.benchmarks import shift_rates
from tests.benchmarks.shift_rates import COSTLY, FIRST, MEASURED, REFERENCE_DAYS, WATCHED, Row, Size
from tests.unit import shift_world as world

ROWS = 10_000


def alarms(size: Size, problem: str, names: Sequence[str]) -> None:
    """What the first window of a shift leads to; labels do not come."""
    metric = WATCHED[problem]
    with tempfile.TemporaryDirectory() as folder, connection() as opened:
        settings = WatchSettings(metric=metric, span="week", rows=ROWS)
        watch = _watch(Path(folder), opened, settings, problem, 5, size.reference_daily)
        calm = watch.state
        print(f"\n{'shift':22} {'costs':>8} {'alarm':>6} {'page':>5} what")
        for name in names:
            found, costs = [], []
            for seed in range(size.repetitions):
                again = _again(watch, calm)
                given, told = world.shifted(name, FIRST, 7, 2000 + seed, daily=size.daily)
                path = _written(Path(folder), world.table(given, problem, 2000 + seed, told, labelled=False))
                record = again.judge(open_table(path, opened), name)
                found.append(record.alarms[0] if record.alarms else None)
                costs.append(true_metrics(world.judged(given, problem, 2000 + seed, told))[metric])
            before = watch.whole.known.values[metric]
            titles = Counter(each.title if each else "nothing" for each in found)
            pages = sum(each is not None and each.severity == "page" for each in found)
            words = ", ".join(f"{title} {count}" for title, count in titles.most_common(3))
            print(
                f"{name:22} {np.mean(costs) - before:+8.4f} {sum(e is not None for e in found):6} "
                f"{pages:5} of {len(found)}: {words}",
                flush=True,
            )


def quarters(size: Size, problem: str) -> Iterator[Row]:
    """Models with references of their own, each watched for 13 weeks in which nothing changes but the season."""
    settings = WatchSettings(metric=WATCHED[problem], span="week", rows=ROWS)
    for seed in range(size.first, size.first + size.repetitions):
        with tempfile.TemporaryDirectory() as folder, connection() as opened:
            watch = _watch(Path(folder), opened, settings, problem, 9000 + seed, size.reference_daily)
            reference = world.rows(0, REFERENCE_DAYS, 9000 + seed, size.reference_daily).features
            found: list[str] = []
            nearest: Counter[str] = Counter()
            naive = 0
            for week in range(13):
                number = 20_000 + 100 * seed + week
                given, _ = world.shifted("none (weekly season)", FIRST + 7 * week, 7, number, daily=size.daily)
                path = _written(Path(folder), world.table(given, problem, number))
                record = watch.judge(open_table(path, opened), str(week))
                found += [f"{each.severity}: {each.title}" for each in record.alarms if each.new]
                for channel, along in record.evidence.items():
                    nearest[channel] = max(nearest[channel], along)  # type: ignore[assignment] - a share of the limit
                naive += min(stats.ks_2samp(given.features[:, n], reference[:, n]).pvalue for n in range(8)) < 0.05 / 8
        yield {"problem": problem, "alarms": found, "naive": int(naive), "nearest": dict(nearest)}


def print_quarters(rows: Sequence[Row]) -> None:
    """False alarms a model and quarter."""
    alarms = Counter(alarm for row in rows for alarm in row["alarms"])
    total, naive = sum(alarms.values()), sum(row["naive"] for row in rows)
    print(f"\n{len(rows)} models, each for a quarter of 13 calm weeks; labels, estimates, outputs, inputs and data:")
    print(f"  {total} false alarms, {shift_rates.rate(total, len(rows))} a model and quarter {dict(alarms)}")
    print(f"  models with one or more: {shift_rates.share(sum(bool(row['alarms']) for row in rows), len(rows))}")
    channels = {name: max(row["nearest"].get(name, 0.0) for row in rows) for name in rows[0]["nearest"]}
    print("  nearest to the limit: " + ", ".join(f"{name} {along:.2f}" for name, along in channels.items()))
    print(f"  Kolmogorov-Smirnov, 5 % over all columns of a window: {naive / len(rows):.1f} alarms a model and quarter")


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
    folder: Path,
    opened: duckdb.DuckDBPyConnection,
    settings: WatchSettings,
    problem: str,
    seed: int,
    daily: int,
) -> Watch:
    path = folder / "reference.parquet"
    pq.write_table(world.table(world.rows(0, REFERENCE_DAYS, seed, daily), problem, seed), path)
    table = open_table(path, opened)
    return Watch(table, form_of(table, "outcome", "at"), settings)


def _again(watch: Watch, state: object) -> Watch:
    """The same watch, at the beginning."""
    watch._detectors.sums, watch._known = dict(state.sums), set(state.known)
    return watch


def _written(folder: Path, table: pa.Table) -> Path:
    path = folder / "current.parquet"
    pq.write_table(table, path)
    return path


def main() -> None:
    """Print the tables that are asked for."""
    said = _arguments()
    size = Size(said.repetitions, said.reference_daily, said.daily, said.first)
    kept = Path(said.rows) if said.rows else None
    for table in said.tables:
        if table == "estimates":
            names = said.shift or MEASURED
            shift_rates.print_estimates(_kept(kept, table, shift_rates.estimates(size, said.problem, names)))
        elif table in ("found", "labels"):
            made = shift_rates.first_windows(size, said.problem, said.shift or COSTLY, labelled=table == "labels")
            shift_rates.print_first_windows(_kept(kept, table, made))
        elif table == "quarters":
            print_quarters(_kept(kept, table, quarters(size, said.problem)))
        elif table == "detectors":
            shift_rates.detectors(50 * said.repetitions)
        elif table == "alarms":
            alarms(size, said.problem, said.shift or list(world.SHIFTS))
        else:
            speed(said.millions)


def _kept(path: Path | None, table: str, rows: Iterator[Row]) -> list[Row]:
    """Results as they come; with a file, all that it has of the table."""
    if path is None:
        return list(rows)
    with path.open("a") as file:
        for row in rows:
            file.write(json.dumps({"table": table, **row}) + "\n")
            file.flush()
    every = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in every if row["table"] == table]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shifts")
    known = ("estimates", "found", "labels", "quarters", "detectors", "alarms", "speed")
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(known)}; by default the first five")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--problem", choices=sorted(WATCHED), default="binary")
    parser.add_argument("--shift", action="append", choices=sorted(world.SHIFTS))
    parser.add_argument("--reference-daily", type=int, default=150, help="rows of a working day, for 56 days")
    parser.add_argument("--daily", type=int, default=400, help="rows of a working day of the window of 7 days")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--rows", help="a file of JSON lines that results are added to")
    parser.add_argument("--millions", type=int, default=1, help="rows of the table `speed`")
    said = parser.parse_args()
    if unknown := set(said.tables) - set(known):
        parser.error(f"there is no table {', '.join(sorted(unknown))}")
    said.tables = said.tables or known[:5]
    return said


if __name__ == "__main__":
    main()
