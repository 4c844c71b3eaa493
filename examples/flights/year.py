"""What the company's lake held on each day of 2013: the flights of every month arrive on the third of the next one.

`sluice operate` calls `arrive` while it lives through the year (operate.yaml). So that the year takes minutes, the lake
has the flights of one airline, ExpressJet. One delivery is bad on purpose: in September the export writes when a flight
left in the place of when it should have, for the whole year so far. The contract cannot know: hours and minutes are in
range, and a timetable is known before anything is asked. A model that learns from it sees delays that nobody will see
in time.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import lake

ARRIVE_ON = 3
AIRLINE = "EV"
YEAR = 2013
BAD_DELIVERY = date(2013, 9, ARRIVE_ON)
_WHOLE = Path(tempfile.gettempdir()) / "sluice-flights-2013"
_CHOSEN = "INSERT INTO flights SELECT * FROM whole.flights WHERE carrier = ? AND month < ?"
_LEFT_FOR_DUE = "UPDATE flights SET hour = dep_time / 100 % 24, minute = dep_time % 100 WHERE dep_time IS NOT NULL"


def arrive(folder: Path, day: date) -> str | None:
    """Lay out the lake as it is on a day.

    Args:
        folder: Where to; what an earlier day left there is replaced.
        day: The day.

    Returns:
        A sentence about what is new; None where nothing is.
    """
    until = (day - timedelta(days=ARRIVE_ON - 1)).replace(day=1)  # on the third, the month before is there
    whole = lake.lay_out_lake(_WHOLE)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole / "reference", folder / "reference")
    (folder / "weather").mkdir()
    for path in sorted((whole / "weather").glob("*.csv")):
        if path.stem < f"{until:%Y-%m}":
            shutil.copyfile(path, folder / "weather" / path.name)
    bad = day == BAD_DELIVERY
    rows, new = _flights(whole / "operations.db", folder / "operations.db", until, bad=bad)
    shutil.copyfile(whole / "contract.yaml", folder / "contract.yaml")
    words = f"{new:,} flights of {until - timedelta(days=1):%B} arrive, {rows:,} in all"
    return f"{words}; the export wrote when they left into the timetable" if bad else words


def _flights(source: Path, target: Path, until: date, *, bad: bool) -> tuple[int, int]:
    """Write the database with the flights before a day; how many there are, and how many of the last month."""
    month = (until - timedelta(days=1)).month
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute("ATTACH ? AS whole", (str(source),))
        made = database.execute("SELECT sql FROM whole.sqlite_master WHERE sql NOT NULL ORDER BY type DESC").fetchall()
        database.execute("BEGIN")
        for (statement,) in made:  # tables before their indices
            database.execute(statement)
        database.execute("INSERT INTO planes SELECT * FROM whole.planes")
        database.execute(_CHOSEN, (AIRLINE, until.month if until.year == YEAR else 13))
        if bad:
            database.execute(_LEFT_FOR_DUE)
        database.execute("COMMIT")
        (rows,) = database.execute("SELECT count(*) FROM flights").fetchone()
        (new,) = database.execute("SELECT count(*) FROM flights WHERE month = ?", (month,)).fetchone()
    return int(rows), int(new)
