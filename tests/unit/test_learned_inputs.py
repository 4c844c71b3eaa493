"""Which raw columns a model's features follow from is read from the step that computed them, and runs as it ran."""

from dataclasses import asdict
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.features.learned_inputs import row_wise_features
from sluice.features.model_inputs import RowWise
from sluice.features.row_features import RowFeatures
from sluice.problems.task import Task
from sluice.storage.locations import default_store

TASK = Task(
    name="t",
    question="?",
    label="late",
    classes=("a", "b"),
    key=("k",),
    numeric=("hour", "arrival_minute", "seats"),
    categorical=("zone",),
)
SQL = 'SELECT "hour", "time" // 100 * 60 + "time" % 100 AS arrival_minute, upper("zone") AS "zone" FROM "my flights"'
COLUMNS = {"hour": "int64", "time": "!int32", "zone": "string"}
BODY = {"table": "my flights", "features": ["arrival_minute", "hour", "zone"], "columns": COLUMNS, "sql": SQL}


def prepared(details: dict[str, object]) -> Bundle:
    """A dataset two steps after the one that computed the features."""
    store, engine = default_store(), ibis.duckdb.connect()
    table = engine.create_table("rows", pa.table({"k": [1], "late": [0]}))
    first = write_dataset(store, {"rows": table}, producer("prepare", {}), details={**TASK.details(), **details})
    again = producer("sample", {})
    second = write_dataset(store, {"rows": table}, again, parents=(first.id,), details=TASK.details())
    return write_dataset(store, {"train": table}, producer("split", {}), parents=(second.id,), details=TASK.details())


def test_it_is_found_behind_sample_and_split(tracked_home: Path) -> None:
    found = row_wise_features(default_store(), prepared({"row_wise": BODY}), TASK)
    assert found is not None
    assert found.columns == {"hour": "BIGINT", "time": "INTEGER", "zone": "VARCHAR"}
    assert found.features == {"hour": ("hour",), "arrival_minute": ("time",), "zone": ("zone",)}


def test_without_a_record_there_is_none(tracked_home: Path) -> None:
    assert row_wise_features(default_store(), prepared({}), TASK) is None


ROW_WISE = RowWise("my flights", {"hour": "BIGINT", "time": "INTEGER", "zone": "TEXT", "at": "TIMESTAMP"}, SQL, {})


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_rows_keep_their_order_and_their_index(rows: int) -> None:
    index = [f"r{number % 7}" for number in range(rows)]
    table = pd.DataFrame({"time": [(n % 24) * 100 + n % 60 for n in range(rows)], "other": "x"}, index=index)
    made = RowFeatures(ROW_WISE).compute(table, ["arrival_minute"])
    assert list(made.index) == index
    assert made["arrival_minute"].tolist() == [(n % 24) * 60 + n % 60 for n in range(rows)]


def test_missing_and_odd_raw_values(tmp_path: Path) -> None:
    features = RowFeatures(ROW_WISE)
    table = pd.DataFrame({"time": pd.array([830, None], dtype="Int64"), "zone": ["ab", None]})
    made = features.compute(table, ["arrival_minute", "zone"])
    assert made["arrival_minute"].tolist()[0] == 510
    assert made.isna().to_numpy().tolist() == [[False, False], [True, True]]
    with pytest.raises(BadInput, match=r"'time' holds .* where numbers are wanted, first in row 0: 'noon'"):
        features.compute(table.assign(time="noon"), ["arrival_minute"])
    with pytest.raises(BadInput, match=r"a raw column holds a value of another type: .*yesterday"):
        features.compute(table.assign(at="yesterday"), ["arrival_minute"])


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM read_csv('/etc/passwd')", "COPY (SELECT 1) TO 'x.csv'", "INSTALL httpfs"]
)
def test_the_engine_opens_no_file_and_loads_nothing(sql: str) -> None:
    closed = RowWise(**{**asdict(ROW_WISE), "sql": sql})
    with pytest.raises(Exception, match=r"(?i)disabled|not allowed|permission"):
        RowFeatures(closed).compute(pd.DataFrame({"time": [1]}), ["arrival_minute"])
