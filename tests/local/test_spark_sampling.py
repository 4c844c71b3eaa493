"""The sampling expression draws exactly the same rows on Spark as on DuckDB, whatever the key is made of."""

import datetime as dt
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.components.sample.run import plan_sample
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.sampling.drawing import Weighting, draw

pytestmark = pytest.mark.spark
ROWS = 3_000
OLDEST_JAVA = 17


def java_version() -> int:
    """The major version of the Java that Spark would start; 0 where there is none."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin/java") if home else shutil.which("java")
    if not program or not Path(program).is_file():
        return 0
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Spark inside this machine: two threads, loopback only, no web page."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is missing: `uv pip install 'sluice[spark]'`")
    if java_version() < OLDEST_JAVA:
        pytest.skip(
            f"Java {OLDEST_JAVA} or newer is missing: install a JRE (e.g. openjdk-17-jre-headless) or set JAVA_HOME"
        )
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # nothing here runs twice
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield ibis.pyspark.connect(session)
    session.stop()


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose keys are of every type, in skewed strata, some of them missing."""
    start, step = dt.datetime(1969, 12, 20, tzinfo=dt.UTC), dt.timedelta(hours=7, microseconds=13)
    times = [start + i * step for i in range(ROWS)]
    table = pa.table(
        {
            "id": pa.array([(i - ROWS // 2) * 6_148_914_691_236_517 for i in range(ROWS)], pa.int64()),
            "small": pa.array(range(ROWS), pa.int32()),
            "name": [f"é-{i * 37 % ROWS}" for i in range(ROWS)],
            "moment": pa.array([t.replace(tzinfo=None) for t in times], pa.timestamp("us")),
            "instant": pa.array(times, pa.timestamp("us", "UTC")),
            "day": [t.date() for t in times],
            "odd": [bool(i % 2) for i in range(ROWS)],
            "stratum": [("big", "big", "big", "mid", None)[i % 5] if i % 500 else "tiny" for i in range(ROWS)],
            "level": pa.array([None if i % 11 == 0 else i % 2 for i in range(ROWS)], pa.int64()),
        }
    )
    path = tmp_path_factory.mktemp("spark") / "rows.parquet"
    pq.write_table(table, path)
    return path


KEYS = [("day", "small"), ("odd", "id"), ("name", "instant")]  # each type but the time without a zone
MORE_KEYS = [("id",), ("name",), ("moment",), ("instant",)]


@pytest.mark.parametrize(
    "key", [*KEYS, *(pytest.param(key, marks=pytest.mark.long) for key in MORE_KEYS)], ids="+".join
)
def test_spark_draws_the_rows_that_duckdb_draws(spark: Any, parquet: Path, key: tuple[str, ...]) -> None:
    drawn = []
    for engine in (duckdb_engine(), spark):
        table = engine.read_parquet(str(parquet))
        plan = plan_sample(table, ["stratum", "level"], 0.1, 0, "proportional")
        sample = draw(table, key, ["stratum", "level"], plan, seed=7, weighting=Weighting("weight"))
        drawn.append((plan, sample.select("id", "stratum", "level", "weight").to_pyarrow().to_pylist()))
    (plan, rows), (spark_plan, spark_rows) = drawn
    assert spark_plan == plan
    assert spark_rows == rows, "same rows in the same order, and the same weights to the bit"
    assert len(rows) == ROWS // 10


def test_spark_ranks_whole_a_stratum_that_came_up_short(spark: Any, parquet: Path) -> None:
    drawn = []
    for engine in (duckdb_engine(), spark):
        table = engine.read_parquet(str(parquet))
        plan = plan_sample(table, ["stratum"], 0.1, 0, "equal")
        drawn.append(draw(table, ["id"], ["stratum"], plan, seed=8, sigmas=-2).id.to_pyarrow().to_pylist())
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == ROWS // 10
