"""A CSV file of 2 GB becomes a checksummed dataset: Sluice's ingest against DuckDB's COPY.

Run it with `python tests/benchmarks/csv_ingest.py [FOLDER]`, where FOLDER has 4 GB to spare; what it makes there is
deleted at the end. The contestants take turns, each run in a process of its own, whose peak memory is measured.
Imports are not counted; reading the contract, hashing, publishing and the manifest are.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS, ROWS = 5, 20_000_000
# Numbers with few and many values, text plain and quoted, times, gaps: 102 bytes a row.
MAKE = """
COPY (SELECT i AS id, (hash(i) % 1000000)::BIGINT AS customer,
    ['books', 'garden', 'kitchen', 'music', 'sports, outdoor', 'toys'][(hash(i + 1) % 6 + 1)::INT] AS category,
    'item-' || lpad((hash(i + 2) % 50000)::VARCHAR, 6, '0') AS sku, (hash(i + 3) % 100000) / 100.0 AS price,
    (hash(i + 4) % 10)::BIGINT AS quantity, TIMESTAMP '2024-01-01' + to_seconds((i * 2)::BIGINT) AS sold_at,
    CASE WHEN hash(i + 5) % 20 = 0 THEN NULL ELSE (hash(i + 6) % 1000000000) / 1e7 - 50 END AS latitude,
    md5((hash(i + 7) % 1000000)::VARCHAR)[:16] AS session, hash(i + 8) % 2 = 0 AS returned
    FROM range({rows}) t(i)) TO '{path}' (FORMAT csv, HEADER, NULLSTR 'NA')
"""
TYPES = {
    "id": "int64",
    "customer": "int64",
    "category": "string",
    "sku": "string",
    "price": "float64",
    "quantity": "int64",
    "sold_at": "timestamp",
    "latitude": "float64",
    "session": "string",
    "returned": "bool",
}
SQL_TYPES = {"int64": "BIGINT", "string": "VARCHAR", "float64": "DOUBLE", "timestamp": "TIMESTAMP", "bool": "BOOLEAN"}


def make_lake(lake: Path, rows: int) -> None:
    import duckdb

    lake.mkdir()
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute(MAKE.format(rows=rows, path=lake / "sales.csv"))
    columns = {name: {"type": kind, "nullable": True} for name, kind in TYPES.items()}
    contract = {"name": "sales", "tables": {"sales": {"source": {"csv": "sales.csv"}, "columns": columns}}}
    (lake / "contract.yaml").write_text(json.dumps(contract))  # JSON is YAML


def duckdb_copy(lake: Path, out: Path) -> Callable[[], Path]:
    import duckdb

    columns = ", ".join(f"'{name}': '{SQL_TYPES[kind]}'" for name, kind in TYPES.items())
    options = f"header=true, auto_detect=false, delim=',', quote='\"', nullstr='NA', columns={{{columns}}}"
    read = f"read_csv('{lake / 'sales.csv'}', {options})"

    def run() -> Path:
        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"COPY (SELECT * FROM {read}) TO '{out / 'copy.parquet'}' (FORMAT parquet)")
        return out / "copy.parquet"

    return run


def duckdb_copy_and_hashes(lake: Path, out: Path) -> Callable[[], Path]:
    copy = duckdb_copy(lake, out)

    def run() -> Path:
        path = copy()
        for file in (lake / "sales.csv", path):
            with file.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
        return path

    return run


def sluice_ingest(lake: Path, out: Path) -> Callable[[], Path]:
    os.environ["SLUICE_HOME"] = str(out)
    from sluice.components.ingest.run import run as ingest
    from sluice.engine.duckdb_engine import duckdb_engine

    duckdb_engine()  # it imports Ibis's backend
    return lambda: Path(ingest(str(lake), summary=out / "summary.md").uri) / "sales" / "part-00000.parquet"


CONTESTANTS = {
    "DuckDB COPY": duckdb_copy,
    "DuckDB COPY, then SHA-256 of both files": duckdb_copy_and_hashes,
    "Sluice ingest": sluice_ingest,
}


def one_run(name: str, lake: Path, content: bool) -> None:
    """In a process of its own: print seconds, processor seconds, MiB at the peak, bytes, and a digest of the rows."""
    with tempfile.TemporaryDirectory(dir=lake.parent) as out:
        run = CONTESTANTS[name](lake, Path(out))
        started, used = time.perf_counter(), time.process_time()
        path = run()
        seconds, processor = time.perf_counter() - started, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([seconds, processor, peak, path.stat().st_size, content_of(path) if content else None]))


def content_of(path: Path) -> list[object]:
    import duckdb

    row = f"hash({', '.join(TYPES)})"
    query = f"SELECT count(*), bit_xor({row})::VARCHAR, sum({row} % 1000 * (id % 1000))::VARCHAR FROM '{path}'"
    return list(duckdb.sql(query).fetchall()[0])


def measure(lake: Path, rounds: int) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {name: [] for name in CONTESTANTS}
    contents = set()
    for number in range(rounds):
        for name in CONTESTANTS:
            os.sync()
            command = [sys.executable, __file__, str(lake.parent), "--one", name, *(["--content"] * (number == 0))]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
            *figures, content = json.loads(done.stdout.splitlines()[-1])
            found[name].append(figures)
            contents.add(str(content))
    assert len(contents - {"None"}) == 1, "the contestants wrote different rows"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(tempfile.gettempdir()))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--content", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_run(arguments.one, arguments.folder / "lake", arguments.content)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        lake = Path(folder) / "lake"
        make_lake(lake, arguments.rows)
        size = (lake / "sales.csv").stat().st_size
        found = measure(lake, arguments.rounds)
    base = min(run[0] for run in found["DuckDB COPY"])
    title = f"{arguments.rows:,} rows, {size / 1e9:.2f} GB, {arguments.rounds} rounds"
    print(f"| {title} | min, s | median, s | speed by min | processor, min, s | peak, MiB | Parquet, MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, runs in found.items():
        seconds, processor, peaks, sizes = zip(*runs, strict=True)
        speeds = f"{min(seconds):.2f} | {statistics.median(seconds):.2f} | {base / min(seconds):.2f}"
        print(f"| {name} | {speeds} | {min(processor):.1f} | {max(peaks):.0f} | {sizes[0] / 1e6:.0f} |")


if __name__ == "__main__":
    main()
