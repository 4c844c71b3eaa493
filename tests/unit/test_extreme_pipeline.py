"""Extreme but legal values and columns without any value pass through all steps, from the lake to the evaluation."""

import csv
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pytest

from sluice.core.errors import BadInput
from sluice.project.declaration import Rows
from tests.unit.hostile_lake import TABLE, Roles, contract_text, declared_for, keep_all, run_steps

ROLE = Roles("row", "at", "late", ("weather", "other"), "group", "rule")
TYPES = {
    "row": "int64",
    "at": "timestamp",
    "late": "int64",
    "weather": "string",
    "other": "string",
    "group": "string",
    "rule": "string",
    "number": "float64",
    "whole": "int64",
    "flag": "bool",
}
ROWS, CYCLE = 480, ("storm", "rain", "sun", "fog")
RATES = (0.9, 0.6, 0.3, 0.05)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
Change = Callable[[int], Any]


def lay_out(folder: Path, changes: Mapping[str, Change], timezone: str) -> Path:
    """Write a lake of one table, with some columns' values given by the row's number; None is a missing value."""
    random_ = random.Random(1)
    folder.mkdir(parents=True)
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(TYPES)
        for row in range(ROWS):
            made = _row(row, random_) | {name: change(row) for name, change in changes.items()}
            writer.writerow([made[name] for name in TYPES])
    columns: dict[str, Any] = {
        name: {"type": kind, "nullable": name not in ("row", "at")} for name, kind in TYPES.items()
    }
    columns["late"] |= {"known": "1h"}
    table = {"source": {"csv": "rows.csv"}, "key": ["row"], "columns": columns, "timezone": timezone}
    table["known"] = "0s"
    table["freshness"] = {"column": "at", "max_age_days": 4_000_000}
    body = {"name": "extreme", "tables": {TABLE: table}}
    (folder / "contract.yaml").write_text(contract_text(body), encoding="utf-8")
    return folder


def _row(row: int, random_: random.Random) -> dict[str, Any]:
    known = random_.randrange(4)
    return {
        "row": row,
        "at": datetime(2013, 1, 1) + timedelta(hours=2 * row),
        "late": int(random_.random() < RATES[known]),
        "weather": CYCLE[known],
        "other": CYCLE[row % 4],
        "group": f"g{row // 12}",
        "rule": CYCLE[known],
        "number": round(random_.gauss(known, 2), 3),
        "whole": row % 7,
        "flag": row % 2 == 0,
    }


def at(*moments: datetime) -> Change:
    """The first rows, or the last, have these times; the others their own."""
    early = [moment for moment in moments if moment.year < 2000]
    late = [moment for moment in moments if moment.year > 2100]

    def value(row: int) -> datetime:
        if row < 20 * len(early):
            return early[row // 20]
        if row >= ROWS - 120 * bool(late):
            return late[row % len(late)]
        return datetime(2013, 1, 1) + timedelta(hours=2 * row)

    return value


def nothing(row: int) -> None:
    """No value in any row."""


NO_VALUES = dict.fromkeys(("weather", "other", "rule", "number", "whole", "flag", "group"), nothing)
GREAT: dict[str, Change] = {
    "number": lambda row: (1.7e308, -1.7e308, 5e-324)[row % 3],
    "whole": lambda row: (2**63 - 1, -(2**63))[row % 2],
}
RARE: dict[str, Change] = {name: lambda row: 3 if row == 5 else None for name in ("rule", "number", "whole")}
DAYS = {"at": at(FIRST, LAST)}
CASES: dict[str, tuple[str, dict[str, Change], str, str, str | None, str]] = {
    "days west of Greenwich": ("time", DAYS, "America/New_York", "rule", None, "float64"),
    "days east of Greenwich": ("time", DAYS | RARE, "Pacific/Kiritimati", "number", None, "float64"),
    "no value in any column": ("time", NO_VALUES, "UTC", "rule", "group", "string"),
    "no value, at random": ("stratified", NO_VALUES | DAYS, "Asia/Tokyo", "number", "group", "int64"),
    "greatest numbers": ("stratified", GREAT, "UTC", "whole", None, "float64"),
}


# The others vary the zone and the baseline.
EACH_ONCE = {"days east of Greenwich", "no value, at random", "greatest numbers"}


@pytest.mark.parametrize(
    "case", [case if case in EACH_ONCE else pytest.param(case, marks=pytest.mark.long) for case in CASES]
)
def test_all_steps_take_extreme_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    strategy, changes, timezone, heuristic, cluster, kind = CASES[case]
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    lake = lay_out(tmp_path / "lake", changes, timezone)
    plain = declared_for(list(TYPES), ROLE)
    story = run_steps(
        lake,
        tmp_path / "out",
        list(TYPES),
        ROLE,
        strategy=strategy,
        last="evaluate",
        as_of="9999-12-31",
        declared=plain.model_copy(
            update={
                "rows": Rows(table=TABLE, key=("row",), time="at", group=cluster),
                "features": (*plain.features, "nothing"),
                "baseline": heuristic,
            }
        ),
        function=lambda tables: keep_all(tables).mutate(nothing=ibis.null(kind)),
    )
    assert sum(table.rows for table in story.bundles["split"].manifest.tables.values()) == story.bundles["sample"].rows
    assert (tmp_path / "out/gate.html").stat().st_size < 2_000_000


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_that_is_none_does_not_pass_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    lake = lay_out(tmp_path / "lake", {"number": lambda row: value if row == 7 else 0}, "UTC")
    with pytest.raises(BadInput, match=rf"number is not a finite number in 1 row .*row=7, number={value}"):
        run_steps(lake, tmp_path / "out", list(TYPES), ROLE, as_of="9999-12-31")
