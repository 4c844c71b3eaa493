"""Parquet files follow from their rows alone, and their digests from their bytes."""

import random
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.digests import sha256_file
from sluice.engine.duckdb_engine import arrow_batches, duckdb_engine
from sluice.engine.parquet import ROW_GROUP_ROWS, write_parquet

ROWS = 3 * ROW_GROUP_ROWS + 1234


def _table() -> Any:
    numbers = pa.array(range(ROWS), pa.int64())
    words = pa.array([None if n % 11 == 0 else f"word {n * n % 5000}" for n in range(ROWS)])
    return pa.table({"n": numbers, "word": words, "even": pa.array([n % 2 == 0 for n in range(ROWS)])})


def test_the_cuts_between_batches_do_not_show(tmp_path: Path) -> None:
    table = _table()
    generator = random.Random(5)
    cuts = sorted({0, ROWS, *(generator.randrange(ROWS) for _ in range(40))})
    odd = [table.slice(a, b - a).combine_chunks().to_batches()[0] for a, b in pairwise(cuts)]
    written = [write_parquet(batches, table.schema, tmp_path / "t.parquet") for batches in (table.to_batches(), odd)]
    assert written[0] == written[1]
    assert written[1].rows == ROWS
    assert written[1].sha256 == sha256_file(tmp_path / "t.parquet")
    assert written[1].size == (tmp_path / "t.parquet").stat().st_size
    meta = pq.read_metadata(tmp_path / "t.parquet")
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [ROW_GROUP_ROWS] * 3 + [1234]
    assert pq.read_table(tmp_path / "t.parquet").equals(table)


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    assert write_parquet([], schema, tmp_path / "t.parquet").rows == 0
    assert pq.read_table(tmp_path / "t.parquet").schema.equals(schema)


@pytest.mark.parametrize("names", [["x"], ["x", "n"]])
def test_the_engine_finds_what_is_no_number(tmp_path: Path, names: list[str]) -> None:
    """With the statistics that Arrow writes by default, DuckDB skips the row group: they leave NaN out."""
    table = pa.table({"x": [float("nan"), 1.0], "n": [1, 2]}).select(names)
    write_parquet(table.to_batches(), table.schema, tmp_path / "t.parquet")
    read = duckdb_engine().read_parquet(str(tmp_path / "t.parquet"))
    assert read.filter(read.x.isnan()).count().to_pyarrow().as_py() == 1


@pytest.mark.parametrize("after", [0, 5])
def test_nothing_stands_there_when_the_rows_break_off(tmp_path: Path, after: int) -> None:
    def batches() -> Any:
        yield from _table().to_batches()[:after]
        raise ValueError("the source is gone")

    with pytest.raises(ValueError, match="the source is gone"):
        write_parquet(batches(), _table().schema, tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import pyarrow as pa
from pathlib import Path
from sluice.engine.parquet import write_parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
table = pa.table({{"n": range(1_000_000)}})
write_parquet(table.to_batches(), table.schema, Path({str(tmp_path / "t.parquet")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "EnvironmentFault" in done.stderr.splitlines()[-1], done.stderr
    assert not list(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_a_stream_from_the_engine_keeps_its_order_and_its_memory_tables() -> None:
    engine = duckdb_engine(threads=2)
    numbers = engine.create_table("numbers", pa.table({"n": range(300_000)}))
    added = ibis.memtable({"n": [1, 2], "name": ["one", "two"]})
    joined = numbers.left_join(added, "n").select("n", "name").order_by(ibis.desc("n"))
    rows = pa.Table.from_batches(arrow_batches(joined, 1000))
    assert rows["n"].to_pylist() == list(range(299_999, -1, -1))
    assert rows["name"].to_pylist()[-3:] == ["two", "one", None]
