"""The demonstration lake holds the flights of 2013 as the package has them, laid out whole or not at all."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sluice.artifacts.bundles import Bundle
from sluice.components.ingest.run import run
from sluice.components.validate.run import ContractVerdict, validate_tables
from sluice.contract.reading import parse_contract
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from tests.examples import FLIGHTS, module

lakes = module(FLIGHTS, "lake")
lay_out_lake = lakes.lay_out_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(lay_out_lake(tmp_path_factory.mktemp("lakes") / "flights"))


@pytest.fixture(scope="module")
def ingested(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(folder))
        patch.delenv("SLUICE_STORE", raising=False)
        return run(str(lake), summary=folder / "summary.md")


@pytest.fixture(scope="module")
def verdict(ingested: Bundle, tmp_path_factory: pytest.TempPathFactory) -> ContractVerdict:
    folder = tmp_path_factory.mktemp("quality")
    return validate_tables(ingested.uri, "2014-01-01", folder / "quality.html", folder / "findings.json")


def test_it_is_laid_out_as_a_company_would(lake: Path) -> None:
    files = sorted(path.relative_to(lake).as_posix() for path in lake.rglob("*") if path.is_file())
    months = [f"weather/2013-{month:02d}.csv" for month in range(1, 13)]
    assert files == sorted(
        ["contract.yaml", "operations.db", "reference/airlines.json", "reference/airports.json", *months]
    )
    with closing(sqlite3.connect(lake / "operations.db")) as database:
        types = dict(row[1:3] for row in database.execute("PRAGMA table_info(flights)"))
        key = [
            row[1] for row in sorted(database.execute("PRAGMA table_info(flights)"), key=lambda row: row[5]) if row[5]
        ]
        assert database.execute("SELECT DISTINCT typeof(dep_delay) FROM flights ORDER BY 1").fetchall() == [
            ("null",),
            ("real",),
        ]
    assert (types["year"], types["carrier"], types["dep_delay"]) == ("INTEGER", "TEXT", "REAL")
    assert key == ["time_hour", "carrier", "flight"]
    with (lake / "weather/2013-02.csv").open(newline="") as stream:
        assert {(row["year"], row["month"]) for row in csv.DictReader(stream)} == {("2013", "2")}
    airports = {row["faa"]: row for row in json.loads((lake / "reference/airports.json").read_text())}
    assert (airports["JFK"]["alt"], airports["JFK"]["name"]) == (13, "John F Kennedy Intl")
    assert sum(row["tzone"] is None for row in airports.values()) == 3


def test_ingest_reads_every_row_and_gap(ingested: Bundle) -> None:
    rows = {name: table.rows for name, table in ingested.manifest.tables.items()}
    assert rows == {"flights": 336_776, "planes": 3_322, "weather": 26_115, "airports": 1_458, "airlines": 16}
    with read_dataset(ingested.uri) as (_, tables):
        flights, weather, planes = tables["flights"], tables["weather"], tables["planes"]
        assert flights.arr_delay.isnull().sum().to_pyarrow().as_py() == 9_430
        assert flights.select("time_hour", "carrier", "flight").distinct().count().to_pyarrow().as_py() == 336_776
        assert flights.tailnum.isnull().sum().to_pyarrow().as_py() == 2_512
        assert weather.pressure.isnull().sum().to_pyarrow().as_py() == 2_729
        assert weather.wind_speed.max().to_pyarrow().as_py() > 1048
        assert planes.speed.isnull().sum().to_pyarrow().as_py() == 3_299
        assert str(flights.time_hour.min().to_pyarrow().as_py()) == "2013-01-01 10:00:00"
        first = flights.filter(flights.flight == 1545, flights.month == 1, flights.day == 1).to_pyarrow().to_pylist()[0]
    assert (first["tailnum"], first["dep_delay"], first["air_time"], first["hour"]) == ("N14228", 2.0, 227.0, 5)


def test_it_passes_its_own_contract_but_for_what_is_known(verdict: ContractVerdict) -> None:
    verdict.open_gate()
    known = {(finding.table, finding.column, finding.check): finding for finding in verdict.findings}
    assert known["weather", "wind_speed", "range"].rows == 1
    assert "1048" in known["weather", "wind_speed", "range"].example
    assert {finding.severity for finding in verdict.findings} == {"warning"}


def test_what_is_known_only_later_is_declared(lake: Path) -> None:
    contract = parse_contract((lake / "contract.yaml").read_text(), "contract.yaml")
    stated = {
        (table, column): contract.availability(table, column)
        for table, told in contract.tables.items()
        for column in told.columns
    }
    assert None not in stated.values()
    later = {f"{table}.{column}": when.name for (table, column), when in stated.items() if when and not when.always}
    assert {name for name, when in later.items() if when == "departed"} == {
        "flights.dep_time",
        "flights.dep_delay",
        "flights.tailnum",
    }
    assert {name for name, when in later.items() if when == "arrived"} == {
        "flights.arr_time",
        "flights.arr_delay",
        "flights.air_time",
    }
    assert {name.split(".")[0] for name, when in later.items() if when == "observed"} == {"weather"}
    assert all(stated.description for told in contract.tables.values() for stated in told.columns.values())


def test_a_broken_attempt_is_made_good_and_a_whole_lake_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lakes, "_write_weather", fail)
        with pytest.raises(Exception, match="no space left"):
            lay_out_lake(tmp_path / "lake")
    assert not list((tmp_path / "lake").iterdir())
    (tmp_path / "lake/operations.db").write_text("half")
    lay_out_lake(tmp_path / "lake")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*")}
    assert (tmp_path / "lake/operations.db").stat().st_size > 10_000_000
    lay_out_lake(tmp_path / "lake")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*")} == before


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="install the extra `demo`"):
        lay_out_lake(tmp_path / "lake")
