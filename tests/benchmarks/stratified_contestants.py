"""The contestants of the benchmark `stratified_sampling.py`: each draws the sample its own way and tells its time."""

import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from sluice.sampling.allocation import allocate

DRAWN = 100_000
COLUMNS = ("id", "stratum", "a", "b", "c", "note")


Times = tuple[float, float]


def clock() -> Times:
    """Seconds on the wall, and of all processors together."""
    return time.perf_counter(), time.process_time()


def since(started: Times) -> Times:
    now = clock()
    return now[0] - started[0], now[1] - started[1]


def quotas(counts: dict[str, int]) -> dict[str, int]:
    names = sorted(counts)
    return dict(zip(names, allocate([counts[name] for name in names], DRAWN, "proportional"), strict=True))


def arrow_scan(source: Path, target: Path) -> Times:
    import pyarrow.dataset as ds

    started = clock()
    for batch in ds.dataset(source).to_batches():
        batch.validate()
    return since(started)


def sluice(source: Path, target: Path, *, text: bool = False) -> Times:
    from sluice.engine.duckdb_engine import duckdb_engine

    return _sluice_on(duckdb_engine(), source, target, text=text)


def sluice_text(source: Path, target: Path) -> Times:
    return sluice(source, target, text=True)


def sluice_on_spark(source: Path, target: Path) -> Times:
    import ibis
    from pyspark.sql import SparkSession

    options = {"spark.ui.enabled": "false", "spark.driver.memory": "8g", "spark.sql.shuffle.partitions": "2"}
    options |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    return _sluice_on(ibis.pyspark.connect(session), source, target)


def _sluice_on(engine: object, source: Path, target: Path, *, text: bool = False) -> Times:
    from sluice.components.sample.run import plan_sample
    from sluice.sampling.drawing import draw

    started = clock()
    table = engine.read_parquet(str(source))  # type: ignore[attr-defined]
    if text:
        table = table.mutate(id=table.id.cast("string"))
    plan = plan_sample(table, ["stratum"], 1.0, DRAWN, "proportional")
    sample = draw(table, ["id"], ["stratum"], plan, seed=1)
    if engine.name == "duckdb":  # type: ignore[attr-defined]
        sample.to_parquet(target, compression="zstd")
    else:
        sample.to_parquet_dir(target)
    return since(started)


def _duckdb_with(source: Path, target: Path, query: str) -> Times:
    connection = duckdb.connect()
    started = clock()
    counts = dict(connection.execute(f"SELECT stratum, count(*) FROM '{source}' GROUP BY 1").fetchall())
    wanted = quotas(counts)
    connection.execute("CREATE TABLE quotas (stratum VARCHAR, quota BIGINT)")
    connection.executemany("INSERT INTO quotas VALUES (?, ?)", list(wanted.items()))
    text = query.format(source=source, columns=", ".join(COLUMNS), most=max(wanted.values()))
    connection.execute(f"COPY ({text} ORDER BY id) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    return since(started)


def duckdb_window(source: Path, target: Path) -> Times:
    query = """SELECT {columns} FROM '{source}' JOIN quotas USING (stratum)
               QUALIFY row_number() OVER (PARTITION BY stratum ORDER BY hash(id)) <= quota"""
    return _duckdb_with(source, target, query)


def duckdb_arg_min(source: Path, target: Path) -> Times:
    query = """WITH taken AS (SELECT stratum, unnest(arg_min(id, hash(id), {most})) AS id FROM '{source}' GROUP BY 1),
                    ranked AS (SELECT id FROM taken JOIN quotas USING (stratum)
                               QUALIFY row_number() OVER (PARTITION BY stratum ORDER BY hash(id)) <= quota)
               SELECT {columns} FROM '{source}' WHERE id IN (SELECT id FROM ranked)"""
    return _duckdb_with(source, target, query)


def duckdb_using_sample(source: Path, target: Path) -> Times:
    query = "SELECT * FROM (SELECT {columns} FROM '{source}' USING SAMPLE reservoir(100000 ROWS) REPEATABLE (1))"
    return _duckdb_with(source, target, query)


def polars_rank(source: Path, target: Path) -> Times:
    import polars as pl

    started = clock()
    rows = pl.scan_parquet(source)
    counts = rows.group_by("stratum").len().collect()
    wanted = quotas(dict(counts.iter_rows()))
    limits = pl.LazyFrame({"stratum": list(wanted), "quota": list(wanted.values())})
    place = pl.col("id").hash(1).rank("ordinal").over("stratum")
    taken = rows.with_columns(place=place).join(limits, on="stratum").filter(pl.col("place") <= pl.col("quota"))
    taken.select(COLUMNS).sort("id").collect().write_parquet(target, compression="zstd")
    return since(started)


def polars_bound(source: Path, target: Path) -> Times:
    """Polars with this project's idea written by hand: rank only the rows whose hash is below a bound."""
    import polars as pl

    started = clock()
    rows = pl.scan_parquet(source)
    counts = dict(rows.group_by("stratum").len().collect().iter_rows())
    wanted = quotas(counts)
    share = max((n + 6 * n**0.5 + 36) / counts[name] for name, n in wanted.items())
    limits = pl.LazyFrame({"stratum": list(wanted), "quota": list(wanted.values())})
    few = rows.with_columns(hash=pl.col("id").hash(1)).filter(pl.col("hash") < int(share * 2**64)).collect()
    place = pl.col("hash").rank("ordinal").over("stratum")
    taken = few.lazy().with_columns(place=place).join(limits, on="stratum").filter(pl.col("place") <= pl.col("quota"))
    taken.select(COLUMNS).sort("id").collect().write_parquet(target, compression="zstd")
    return since(started)


CONTESTANTS: dict[str, tuple[Callable[[Path, Path], Times], bool]] = {
    "**Sluice** (Ibis on DuckDB, portable hash, integer key)": (sluice, True),
    "Sluice, the key as text (MD5)": (sluice_text, True),
    "polars: rank of the hash over the stratum": (polars_rank, True),
    "polars with Sluice's bound written by hand": (polars_bound, True),
    "DuckDB: window and QUALIFY, native hash": (duckdb_window, True),
    "DuckDB: grouped arg_min of ids, then semi-join, native hash": (duckdb_arg_min, True),
    "DuckDB: USING SAMPLE reservoir (not stratified)": (duckdb_using_sample, False),
    "Arrow: scan alone": (arrow_scan, False),
    "Sluice's expression on Spark local[2]": (sluice_on_spark, True),
}
