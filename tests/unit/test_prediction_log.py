"""The prediction log: every row in the store once, in the contract's types, masked where it says so, losses counted."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import BadInput
from sluice.predictions import places
from sluice.predictions.parquet_bytes import ParquetColumn, parquet_bytes
from sluice.predictions.reader import LoggedRows, read_predictions, which
from sluice.predictions.request_ids import moment_of, new_request_id
from sluice.serving.exchange import Exchange
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.storage.stores import open_store
from tests.unit.served_rule import Rule, exchange, served

NOW = time.time() // 3600 * 3600 + 3599  # the last second of this hour
ROW = {
    "amount": 3.5,
    "count": 7,
    "plan": "größer 😀",
    "new": True,
    "asked": "2026-03-01T14:00:00.123456+02:00",
    "day": "1969-12-31",
    "email": "ada@example.com",
    "note": "secret",
    "order": 12,
}


def read(tmp_path: Path, begin: float = NOW - 3600, end: float = NOW + 7200) -> LoggedRows:
    moments = (datetime.fromtimestamp(each, UTC) for each in (begin, end))
    return read_predictions(open_store(str(tmp_path / "store")), "orders", *moments)


def rows_of(logged: LoggedRows, **only: tuple[str, ...]) -> list[dict[str, object]]:
    return [row for batch in logged.batches(**only) for row in batch.to_pylist()]


def log(tmp_path: Path, exchanges: list[Exchange], **settings: object) -> PredictionLog:
    """A log that saw these, and was stopped."""
    made = PredictionLog(LogSettings(spool=tmp_path / "spool", **settings), open_store(str(tmp_path / "store")))
    made.start()
    for each in exchanges:
        made.observed(each)
    assert made.stop()
    return made


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 70_000])
def test_other_readers_read_the_files_alike(tmp_path: Path, rows: int) -> None:
    """pyarrow, DuckDB and polars; 70,000 texts that differ need more than a dictionary."""
    random = np.random.default_rng(rows)
    there = random.random(rows) > 0.3
    texts = [f"r{number:x}é" for number in range(rows)]
    columns = [
        ParquetColumn("text", "string", texts, there),
        ParquetColumn("few", "string", [f"c{number % 300}" for number in range(rows)]),
        ParquetColumn("no text", "string", [""] * rows, np.zeros(rows, np.bool_)),
        ParquetColumn("number", "float64", random.random(rows), there),
        ParquetColumn("whole", "int64", random.integers(-(2**62), 2**62, rows)),
        ParquetColumn("truth", "bool", random.random(rows) > 0.5, there),
        ParquetColumn("moment", "timestamp", random.integers(-(2**50), 2**50, rows)),
        ParquetColumn("day", "date", random.integers(-900, 20_000, rows), there),
    ]
    path = tmp_path / "made.parquet"
    path.write_bytes(parquet_bytes(columns, {"note": "é"}))
    table = pq.read_table(path)
    kinds = ["string", "string", "string", "double", "int64", "bool", "timestamp[us]", "date32[day]"]
    assert [str(field.type) for field in table.schema] == kinds
    assert pq.read_schema(path).metadata[b"note"].decode() == "é"
    for column in columns:
        made = table.column(column.name)
        if column.type in ("timestamp", "date"):
            made = made.cast("int64" if column.type == "timestamp" else "int32")
        mask = None if column.present is None else ~column.present
        assert made.combine_chunks().equals(pa.array(column.values, made.type, mask=mask)), column.name
    plain = table.replace_schema_metadata(None)
    assert duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table().cast(plain.schema).equals(plain)
    assert polars.read_parquet(path).to_arrow().cast(plain.schema).equals(plain)


def test_a_row_is_logged_as_the_contract_has_it(tmp_path: Path) -> None:
    rule = Rule()
    asked = exchange([ROW, {"order": 13, "email": "ada@example.com"}], NOW, rule)
    log(tmp_path, [asked])
    logged = read(tmp_path)
    first, second = rows_of(logged)
    raw = {name: value for name, value in first.items() if not name.startswith("sluice_")}
    email = raw.pop("email")
    assert raw == {
        "amount": 3.5,
        "count": 7,
        "plan": "größer 😀",
        "new": True,
        "asked": datetime(2026, 3, 1, 12, 0, 0, 123456),
        "day": datetime(1969, 12, 31).date(),
        "order": 12,
    }
    assert [second[name] for name in ("amount", "count", "plan", "new", "asked", "day")] == [None] * 6
    assert second["email"] == email
    assert len(str(email)) == 32
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet"))
    assert b"note" not in json.dumps(logged.types).encode()
    assert b"secret" not in stored
    assert [first[f"sluice_{name}"] for name in ("request", "row", "version", "digest", "role", "called")] == [
        asked.request,
        0,
        "1",
        "d" * 64,
        "champion",
        "yes",
    ]
    assert [first["sluice_probability_0"], first["sluice_probability_1"]] == asked.answer.values[0].tolist()
    assert (second["sluice_row"], second["sluice_sequence"]) == (1, 1)
    assert (logged.lost, logged.writing, logged.classes) == (0, (), ("no", "yes"))
    assert not list((tmp_path / "spool").iterdir())


def test_versions_with_other_classes_and_roles_are_read_together(tmp_path: Path) -> None:
    three, number = Rule(served("e" * 64, ("yes", "no"))), Rule(served("f" * 64, ()))
    log(
        tmp_path,
        [
            exchange([ROW], NOW, Rule()),
            exchange([ROW], NOW + 1, three, "challenger", "2"),  # in another hour; the same classes the other way round
            exchange([ROW], NOW + 2, number, "shadow", "3"),
        ],
    )
    logged = read(tmp_path)
    found = {row["sluice_role"]: row for row in rows_of(logged)}
    places_of = {name: f"sluice_probability_{place}" for place, name in enumerate(logged.classes)}
    share = 1 - 1 / 4.5
    assert found["champion"][places_of["yes"]] == pytest.approx(share)
    assert found["challenger"][places_of["no"]] == pytest.approx(share)
    assert found["challenger"]["sluice_called"] == "no"
    assert found["shadow"]["sluice_forecast"] == 3.5
    assert found["shadow"][places_of["yes"]] is None
    assert (
        len({key.rpartition("/")[0] for key in open_store(str(tmp_path / "store")).keys("predictions/orders/date")})
        == 2
    )
    assert [row["sluice_version"] for row in rows_of(logged, roles=("shadow",))] == ["3"]
    with logged.table(["sluice_version", "amount"]) as table:
        assert sorted(table.execute()["sluice_version"]) == ["1", "2", "3"]
    with pytest.raises(BadInput, match="has no column 'wrong'; it has sluice_request"):
        list(logged.batches(["wrong"]))


def test_only_rows_between_the_moments_and_none_twice(tmp_path: Path) -> None:
    rule = Rule()
    log(tmp_path, [exchange([{"order": n}], NOW - 5 + n, rule) for n in range(10)])
    store = open_store(str(tmp_path / "store"))
    files = places.log_files(store, "orders", datetime(2026, 1, 1, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC))
    assert [(file.start, file.after, file.rows) for file in files] == [(0, 6, 6), (6, 10, 4)]
    # The rows of the first file once more, under a name that covers fewer of them: as if brought by two processes.
    data = pq.read_table(tmp_path / "store" / files[0].key).slice(0, 4)
    again = tmp_path / "again.parquet"
    pq.write_table(data, again)
    store.put_file(files[0].key.replace("000000000006-6", "000000000004-4"), again)
    assert [row["order"] for row in rows_of(read(tmp_path))] == list(range(10))
    assert [row["order"] for row in rows_of(read(tmp_path, NOW - 4, NOW + 1))] == [1, 2, 3, 4, 5]


def test_what_memory_or_disk_cannot_hold_is_counted_and_never_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = Rule()
    exchanges = [exchange([ROW] * 10, NOW, rule) for _ in range(300)]
    slow = PredictionLog(
        LogSettings(spool=tmp_path / "spool", queue_bytes=60_000, flush_seconds=60), open_store(str(tmp_path / "store"))
    )
    begun = time.monotonic()
    for each in exchanges:  # it was not started, so nothing leaves the memory
        slow.observed(each)
    assert time.monotonic() - begun < 2
    kept = slow.state().observed - slow.state().dropped
    assert 0 < kept < 300
    slow.start()
    assert slow.stop()
    assert (len(rows_of(read(tmp_path))), read(tmp_path).lost) == (kept, 3000 - kept)

    small = tmp_path / "small"
    log(small, exchanges, spool_bytes=250_000, file_bytes=10_000_000)
    logged = read(small)
    there = len(rows_of(logged))
    assert 0 < there < 3000
    assert there + logged.lost == 3000
    assert "holds 250,000 bytes of rows, as much as it may" in capsys.readouterr().out


def test_a_share_of_requests_is_logged_with_their_shadows(tmp_path: Path) -> None:
    rule = Rule()
    asked = [exchange([ROW], NOW, rule) for _ in range(400)]
    shadows = [
        Exchange(each.request, NOW, exchange([ROW], NOW, rule, "shadow", "2").loaded, each.columns, each.answer)
        for each in asked
    ]
    log(tmp_path, [*asked, *shadows], sampling=0.25)
    logged = read(tmp_path)
    by_role: dict[object, set[object]] = {"champion": set(), "shadow": set()}
    for row in rows_of(logged):
        by_role[row["sluice_role"]].add(row["sluice_request"])
    assert by_role["champion"] == by_role["shadow"]
    assert 50 < len(by_role["champion"]) < 150
    assert (logged.lost, logged.sampling) == (0, 0.25)
    with pytest.raises(BadInput, match="sampling is 0; give a share above 0"):
        LogSettings(sampling=0)


def test_which_version_answered(tmp_path: Path) -> None:
    rule = Rule()
    asked = exchange([ROW, ROW], time.time(), rule)
    shadow = Exchange(
        asked.request, time.time(), exchange([ROW], NOW, rule, "shadow", "2").loaded, asked.columns, asked.answer
    )
    log(tmp_path, [exchange([ROW], time.time(), rule), shadow, asked])
    store = open_store(str(tmp_path / "store"))
    answered, beside = which(store, asked.request)
    assert (answered.model, answered.version, answered.role, answered.rows, answered.said) == (
        "orders",
        "1",
        "champion",
        2,
        "yes",
    )
    assert (beside.version, beside.role) == ("2", "shadow")
    assert which(store, new_request_id(), "orders") == []
    assert which(store, asked.request, "others") == []
    with pytest.raises(BadInput, match="tells its time; give since and until"):
        which(store, "mine-1")
    hour = timedelta(hours=1)
    assert which(store, "mine-1", "", datetime.now(UTC) - hour, datetime.now(UTC) + hour) == []


def test_an_id_of_a_request_tells_its_time() -> None:
    begun = datetime.now(UTC)
    ids = [new_request_id() for _ in range(1000)]
    moments = [moment_of(each) for each in ids]
    assert len(set(ids)) == 1000
    assert all(moment and abs(moment - begun) < timedelta(seconds=5) for moment in moments)
    assert [moment_of(each) for each in ("", "x", "0" * 32, ids[0].upper())] == [None] * 4


def test_a_file_that_is_none_of_the_log_is_named(tmp_path: Path) -> None:
    log(tmp_path, [exchange([ROW], NOW, Rule())])
    (path,) = (tmp_path / "store").rglob("*.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    with pytest.raises(BadInput, match=r"\.parquet is no Parquet file that can be read"):
        read(tmp_path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(BadInput, match="is no file of predictions that this Sluice reads"):
        read(tmp_path)
    path.write_bytes(data)
    path.rename(path.with_name(path.name.replace("-1.parquet", "-2.parquet")))
    with pytest.raises(BadInput, match="holds other rows than its name says"):
        read(tmp_path)


def test_a_file_that_is_gone_is_counted(tmp_path: Path) -> None:
    rule = Rule()
    log(tmp_path, [exchange([{"order": n}], NOW - 3600 + 1800 * n, rule) for n in range(5)])
    files = sorted((tmp_path / "store").rglob("*.parquet"))
    assert len(files) == 3
    files[1].unlink()
    logged = read(tmp_path, NOW - 7200, NOW + 86_400)
    (loss,) = logged.losses
    assert (loss.reason, loss.rows, len(rows_of(logged))) == ("a file of the log is gone", 2, 3)
    files[2].unlink()
    logged = read(tmp_path, NOW - 7200, NOW + 86_400)
    assert (logged.lost, len(rows_of(logged))) == (4, 1)


def test_the_masks_need_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LOG_SALT", "a key of sixteen or more")
    log(tmp_path, [exchange([ROW], NOW, Rule())])
    (kept,) = rows_of(read(tmp_path))
    assert kept["email"] is not None
    assert not (tmp_path / "store" / "salts").exists()
    monkeypatch.setenv("SLUICE_LOG_SALT", "short")
    with pytest.raises(BadInput, match="SLUICE_LOG_SALT has 5 characters; give at least 16, or unset it"):
        PredictionLog(store=open_store(str(tmp_path / "store")))
