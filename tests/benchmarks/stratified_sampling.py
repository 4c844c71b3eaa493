"""A stratified sample of 100,000 of 20 million rows, from Parquet file to Parquet file, against its peers.

Run it with `python tests/benchmarks/stratified_sampling.py`. Each contestant runs in a process of its own; the rounds
alternate, so that a noisy machine disturbs all alike. Time counts from the open file to the closed one: Python's start,
imports and the start of Spark's session are left out. Every contestant counts the strata, divides the sample by
largest remainders, takes the rows of the lowest hash in each stratum, and writes them in the order of their ids.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
from stratified_contestants import CONTESTANTS, quotas

SPARK_ROUNDS = 2
MAKE = """
COPY (SELECT i AS id,
             's' || lpad((50 * pow((hash(i) % 1000003) / 1000003.0, 2.5))::INT::VARCHAR, 2, '0') AS stratum,
             (hash(i + 1) % 1000000007) / 1e9 AS a, (hash(i + 2) % 1000000007) / 1e6 AS b,
             (hash(i + 3) % 100000)::DOUBLE AS c, 'row-' || (hash(i + 4) % 1000000) AS note
      FROM range({rows}) t(i)) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)
"""


def check(source: Path, target: Path) -> None:
    """The sample has exactly the rows that its strata owe."""
    place = target / "*.parquet" if target.is_dir() else target
    counts = {
        p: dict(duckdb.sql(f"SELECT stratum, count(*) FROM '{p}' GROUP BY 1").fetchall()) for p in (source, place)
    }
    assert counts[place] == quotas(counts[source])


def measure(name: str, source: Path, folder: Path) -> dict[str, float]:
    target = Path(tempfile.mkdtemp(dir=folder)) / "out.parquet"
    command = [sys.executable, __file__, "--one", name, str(source), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if CONTESTANTS[name][1]:
        check(source, target)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, metavar=("NAME", "SOURCE", "TARGET"))
    options = parser.parse_args()
    if options.one:
        wall, processors = CONTESTANTS[options.one[0]][0](Path(options.one[1]), Path(options.one[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"wall": wall, "processors": processors, "peak": peak}))
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.parquet"
        duckdb.execute(MAKE.format(rows=options.rows, path=source))
        for turn in range(options.rounds):
            for name in CONTESTANTS:
                if turn < SPARK_ROUNDS or "Spark" not in name:
                    results[name].append(measure(name, source, Path(folder)))
    polars = min(run["wall"] for run in results["polars: rank of the hash over the stratum"])
    print("| | min, s | median, s | min to polars' min | processor time, min, s | peak memory, GiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in results.items():
        wall = [run["wall"] for run in runs]
        own = f"{min(run['processors'] for run in runs):.2f} | {max(run['peak'] for run in runs):.1f}"
        shown = own if "Spark" not in name else "in Java | in Java"
        print(f"| {name} | {min(wall):.2f} | {statistics.median(wall):.2f} | {min(wall) / polars:.2f} | {shown} |")


if __name__ == "__main__":
    main()
