"""The step prepare on a small lake: what it builds, counts, masks and refuses."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.prepare.run import run
from sluice.contract.reading import Contract, contract_body, parse_contract
from sluice.core.errors import BadInput
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.problems.task import Task, task_of
from sluice.project.code_store import publish as publish_code
from sluice.project.packing import closure
from sluice.storage.locations import default_store
from tests.examples import FLIGHTS, task

CONTRACT = parse_contract((Path(FLIGHTS) / "contract.yaml").read_text(), "contract.yaml")
NEEDED = (  # by table, columns that the example's own code reads
    ("flights", "sched_arr_time"),
    ("flights", "arr_delay"),
    ("weather", "pressure"),
    ("planes", "seats"),
    ("airports", "tz"),
)
START = datetime(2013, 3, 1, 12, tzinfo=UTC)  # 07:00 in New York, a Friday
HOURS = 30
Frames = dict[str, pd.DataFrame]


def frames() -> Frames:
    flights = [flight(hour, n) for hour in range(HOURS) for n in range(3)]
    weather = [
        {
            "origin": origin,
            "time_hour": START + timedelta(hours=h - 2),
            "temp": 30.0 + h,
            "pressure": 1000.0 + h,
            "wind_speed": 5.0 + 1000 * (h == 9),
        }
        for h in range(HOURS)
        for origin in ("JFK", "LGA")
    ]
    planes = [{"tailnum": "N1", "year": 2003, "seats": 55, "type": "T", "manufacturer": "M", "model": "X"}]
    airports = [("JFK", -5), ("LGA", -5), ("LAX", -8)]
    return {
        "flights": pd.DataFrame(flights),
        "weather": pd.DataFrame(weather),
        "planes": pd.DataFrame(planes),
        "airports": pd.DataFrame([{"faa": faa, "tz": tz, "lat": 1.0, "lon": 2.0, "alt": 3} for faa, tz in airports]),
    }


def flight(hour: int, number: int) -> dict[str, Any]:
    """The flights of one hour: one on time, one late, one that never arrived."""
    local = START + timedelta(hours=hour - 5)
    body: dict[str, Any] = {
        "year": local.year,
        "month": local.month,
        "day": local.day,
        "hour": local.hour,
        "minute": 30,
    }
    body |= {"time_hour": START + timedelta(hours=hour), "carrier": "UA", "flight": 7 + number, "distance": 2475}
    body |= {"origin": "JFK" if number else "LGA", "dest": "LAX", "tailnum": "N1" if number else None}
    body |= {"sched_arr_time": local.hour * 100 + 45, "dep_time": 1 if number < 2 or hour % 2 else None}
    return body | {"dep_delay": 5.0, "air_time": 100.0, "arr_delay": (15.0, 16.0, None)[number]}


def publish(tables: Frames, contract: Contract = CONTRACT) -> Bundle:
    engine = duckdb_engine(threads=1)
    words = {"timestamp": "timestamp('UTC')"}
    expressions = {}
    for name, frame in tables.items():
        rules = contract.tables[name].columns
        schema = {c: words.get(rule.type, rule.type) for c, rule in rules.items()}
        full = frame.reindex(columns=list(schema)).astype(object)
        expressions[name] = engine.create_table(name, ibis.memtable(full.where(full.notna(), None), schema=schema))
    return write_dataset(
        default_store(), expressions, producer("ingest", {}), details={"contract": contract_body(contract)}
    )


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    return tmp_path


def prepare(source: Bundle, features: tuple[str, ...] = ()) -> Bundle:
    declared = task(FLIGHTS) | ({"features": list(features)} if features else {})
    code = publish_code(default_store(), closure(Path(FLIGHTS), [declared["prepare"]]))
    return run(source.uri, task=declared, code=code, summary=home() / "summary.md")


def rows_of(bundle: Bundle) -> pd.DataFrame:
    with read_dataset(bundle.uri) as (_, tables):
        return tables["rows"].to_pyarrow().to_pandas()


def test_rows_labels_and_features_are_right() -> None:
    bundle = prepare(publish(frames()))
    rows = rows_of(bundle)
    assert len(rows) == 2 * HOURS
    assert rows[["time_hour", "carrier", "flight"]].equals(
        rows[["time_hour", "carrier", "flight"]].sort_values(["time_hour", "flight"])
    )
    assert rows.late.tolist() == [0, 1] * HOURS, "15 minutes are on time, 16 are late"
    assert rows.temp.iloc[2] == 32.0, "a flight at 13:00 has the weather of 12:00, the third hour of the records"
    assert rows.temp.iloc[:2].tolist() == [31.0, 31.0]
    assert rows.day_of_week.tolist() == [4] * 34 + [5] * 26, "a Friday from 7:00, then a Saturday"
    assert set(rows.duration) == {195}, "10:30 to 10:45 three time zones further west"
    assert rows.departures_in_hour.tolist() == [1, 2] * HOURS, "flights that never arrive were scheduled too"
    assert rows.rain_3h.isna().all(), "no rain was recorded, which is not no rain"
    assert rows.pressure_change_3h.iloc[4:-2].tolist() == [3.0] * 54, "a millibar an hour"
    assert rows.pressure_change_3h.isna().sum() == 6, "the records begin two hours before, and end two hours before"
    assert rows.carrier_late_2d.isna().all(), "nothing is two days old"
    assert "dep_delay" not in rows


def test_the_task_and_the_account(own_home: Path) -> None:
    bundle = prepare(publish(frames()))
    made = task_of(bundle)
    assert (made.name, made.label, made.classes, made.time) == (
        "flights-late",
        "late",
        ("on time", "late"),
        "time_hour",
    )
    assert made.categorical == ("carrier", "origin", "dest")
    assert (made.timezone, made.cluster, made.weight) == ("America/New_York", None, None)
    assert made.features == (*made.numeric, *made.categorical)
    assert {"wind_gust", "route_late_2d", "flight_late_2w", "departures_in_hour"} <= set(made.features)
    assert len(made.features) == 25
    details = bundle.manifest.details
    assert details["left_out"] == {"cancelled": HOURS // 2, "diverted": HOURS // 2}
    assert details["masked"] == {"weather.wind_speed": 2}
    assert details["classes"] == {"on time": HOURS, "late": HOURS}
    temp = next(feature for feature in details["features"] if feature["name"] == "temp")
    assert temp["availability"] == "observed"
    assert "weather.temp" in temp["sources"]
    assert rows_of(bundle).wind_speed.isna().sum() == 4, "two masked; in the last hour, nothing was observed before"
    text = (home() / "summary.md").read_text()
    assert "15 cancelled, 15 diverted" in text
    assert "| temp | observed |" in text
    prepare(publish(frames()))
    assert (home() / "summary.md").read_text() == text, "published before or not, the account is the same"


def test_the_same_input_gives_the_same_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ids = []
    for place in ("one", "two"):
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / place))
        ids.append(prepare(publish(frames())).id)
    assert ids[0] == ids[1]


def test_the_id_does_not_follow_the_order_in_which_python_hashes(tmp_path: Path) -> None:
    script = "from tests.unit.test_prepare_step import *; print(prepare(publish(frames())).id)"
    ids = set()
    for seed in ("1", "2"):
        own = {"SLUICE_HOME": str(tmp_path / seed), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        ids.add(done.stdout.split()[-1])
    assert len(ids) == 1


def test_features_can_be_chosen() -> None:
    made: Task = task_of(prepare(publish(frames()), ("dest", "distance")))
    assert (made.numeric, made.categorical, made.heuristic) == (("distance",), ("dest",), None)


@pytest.mark.parametrize(
    ("features", "named"),
    [
        (
            ("distance", "dep_delay"),
            "'dep_delay' rests on flights.dep_delay, which is known only at the moment 'departed'",
        ),
        (("air_time",), "'air_time' rests on flights.air_time, which is known only at the moment 'arrived'"),
        (("arr_delay",), "at the moment 'arrived' of the contract"),
        (("tailnum",), "'tailnum' rests on flights.tailnum, which is known only at the moment 'departed'"),
        (("seats",), "'seats' rests on flights.tailnum"),
        (("left_out",), "'left_out' is the reason why a row is left out"),
        (("late",), "'late' is the label"),
        (("distnce",), "did you mean distance"),
        (("hour", "hour"), "'hour' twice"),
        (("time_hour",), "models take numbers, text and truth values"),
    ],
)
def test_features_that_are_refused(features: tuple[str, ...], named: str) -> None:
    source = publish(frames())
    with pytest.raises(BadInput) as caught:
        prepare(source, features)
    assert named in str(caught.value)
    assert len(list((home() / "store/datasets").iterdir())) == 1, "nothing but the source is published"


@pytest.mark.parametrize(("delay", "absent"), [(0.0, "late"), (60.0, "on time")])
def test_a_label_of_one_class_is_refused(delay: float, absent: str) -> None:
    tables = frames()
    tables["flights"]["arr_delay"] = delay
    with pytest.raises(BadInput, match=f"label 'late' has no row of class '{absent}' among 90 rows"):
        prepare(publish(tables))


@pytest.mark.parametrize("table", ["flights", "weather", "planes", "airports"])
def test_rows_that_repeat_are_refused(table: str) -> None:
    tables = frames()
    tables[table] = pd.concat([tables[table], tables[table].iloc[:5]])
    with pytest.raises(BadInput, match=r"several rows have the key time_hour=2013-03-01 .*carrier=UA"):
        prepare(publish(tables))


@pytest.mark.parametrize(("table", "column"), NEEDED)
def test_a_column_that_the_code_needs_is_named_with_the_line_that_needs_it(table: str, column: str) -> None:
    tables = frames()
    body = contract_body(CONTRACT)
    del body["tables"][table]["columns"][column]
    body["tables"][table] |= {"key": []}
    body["tables"][table].pop("freshness", None)
    for other in body["tables"].values():
        for said in other["columns"].values():
            said.pop("references", None)
    lesser = parse_contract(str(body), "contract")
    with pytest.raises(BadInput, match=rf"prepare.py:rows: prepare.py:\d+: .*{column}"):
        prepare(publish(tables, lesser))


def test_a_key_that_breaks_its_contract_is_refused() -> None:
    tables = frames()
    tables["flights"].loc[3, "flight"] = 0
    with pytest.raises(BadInput, match="key column 'flight' is null in some rows, or breaks its contract"):
        prepare(publish(tables))


def test_a_table_that_is_missing_is_asked_for() -> None:
    tables = frames()
    del tables["planes"]
    with pytest.raises(BadInput, match=r"prepare\.py:rows: the lake has no table 'planes'"):
        prepare(publish(tables))


def test_a_dataset_without_a_contract_is_refused() -> None:
    engine = duckdb_engine()
    bundle = write_dataset(
        default_store(), {"rows": engine.create_table("t", ibis.memtable({"a": [1]}))}, producer("x", {})
    )
    with pytest.raises(BadInput, match="carries no contract; use a dataset made by ingest"):
        prepare(bundle)
