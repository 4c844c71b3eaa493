"""From a CSV file of 100,000 rows to a judged model: Sluice, and what people take instead, on the same rows.

    python -m tests.benchmarks.whole_project [--autogluon PYTHON] [--pycaret PYTHON] [--folder FOLDER]

Each contestant gets the rows that Sluice learned and chose from, and is judged on the rows that Sluice's split by time
kept for the test. A search for models gets the seconds that Sluice took from the file to the report. What a person
writes is counted in lines, without blank ones and comments. Prints Markdown tables.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sluice.engine.datasets import read_dataset
from sluice.problems.task import task_of
from sluice.storage.locations import default_store
from tests.examples import FLIGHTS, module

ROWS, SEED = 100_000, 2013
CLASS, NUMBER = "late", "air_time"
LEFT_OUT = {
    "Sluice": "",
    "scikit-learn": "contract, leakage, intervals, gate, registry, lineage, report",
    "AutoGluon": "time, leakage, intervals, gate, registry, lineage, report",
    "PyCaret": "time, leakage, intervals, gate, registry, lineage",
}
PEERS = {
    "scikit-learn": """
        import pandas as pd
        from sklearn.ensemble import HistGradientBoosting{Kind}
        train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
        texts = train.select_dtypes("object").columns.drop("{label}", errors="ignore")
        for column in texts:
            kinds = pd.CategoricalDtype(sorted(train[column].unique()))
            train[column], test[column] = train[column].astype(kinds), test[column].astype(kinds)
        model = HistGradientBoosting{Kind}(categorical_features="from_dtype", early_stopping=True, random_state=2013)
        model.fit(train.drop(columns="{label}"), train["{label}"])
        forecast = model.predict{proba}(test.drop(columns="{label}")){column}
        pd.Series(forecast).to_csv("forecast.csv", index=False)
    """,
    "AutoGluon": """
        import pandas as pd
        from autogluon.tabular import TabularPredictor
        train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
        predictor = TabularPredictor("{label}", problem_type="{problem}", eval_metric="{metric}", path="models")
        predictor.fit(train, time_limit={budget})
        forecast = predictor.predict{proba}(test){picked}
        forecast.reset_index(drop=True).to_csv("forecast.csv", index=False)
    """,
    "PyCaret": """
        import pandas as pd
        from pycaret.{module} import compare_models, predict_model, setup
        train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
        setup(train, target="{label}", session_id=2013, verbose=False)
        best = compare_models(sort="{sort}", budget_time={minutes}, verbose=False)
        said = predict_model(best, data=test, verbose=False{raw})
        said["{said}"].reset_index(drop=True).to_csv("forecast.csv", index=False)
    """,
}


class Result(NamedTuple):
    """What a contestant took and gave."""

    name: str
    lines: int
    seconds: float
    quality: float
    second: float


def main() -> None:
    """Measure all on both questions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--autogluon", default="")
    parser.add_argument("--pycaret", default="")
    parser.add_argument("--folder", default="")
    given = parser.parse_args()
    pythons = {"scikit-learn": sys.executable, "AutoGluon": given.autogluon, "PyCaret": given.pycaret}
    folder = Path(given.folder or tempfile.mkdtemp(prefix="whole-project-"))
    print(f"{datetime.date.today():%-d %B %Y}; {os.cpu_count()} cores, {platform.machine()}; {versions(pythons)}\n")
    for label, metrics in ((CLASS, ("log loss", "ROC AUC")), (NUMBER, ("RMSE", "R²"))):
        print(f"| {label} | lines | seconds | {' | '.join(metrics)} | leaves out |\n|---|---:|---:|---:|---:|---|")
        for each in contest(folder / label, label, pythons):
            said = f"{each.lines} | {each.seconds:.0f} | {each.quality:.4f} | {each.second:.4f}"
            print(f"| {each.name} | {said} | {LEFT_OUT[each.name]} |", flush=True)
        print()


def contest(folder: Path, label: str, pythons: dict[str, str]) -> Iterator[Result]:
    """Sluice first, whose split the others get."""
    folder.mkdir(parents=True, exist_ok=True)
    rows(label).to_csv(folder / "rows.csv", index=False)
    lines, seconds, result, train, test = by_sluice(folder, label)
    winner = next(each for each in result["candidates"] if each["name"] == result["winner"])
    yield Result("Sluice", lines, seconds, *quality_of(winner, label))
    for name, python in pythons.items():
        if python:
            place = folder / name
            place.mkdir(exist_ok=True)
            train.to_csv(place / "train.csv", index=False)
            test.to_csv(place / "test.csv", index=False)
            yield by_peer(name, python, place, label, test[label], seconds)


def rows(label: str) -> pd.DataFrame:
    """A sample of the flights that arrived, with what was known when they were scheduled, and one label."""
    with module(FLIGHTS, "lake")._opened("flights") as stream:
        flights = pd.read_csv(stream)
    flights = flights.dropna(subset=["arr_delay", "air_time"]).sample(ROWS, random_state=SEED)
    flights = flights.assign(late=flights["arr_delay"].gt(15).map({True: "late", False: "on time"}))
    flights = flights.assign(weekday=pd.to_datetime(flights["time_hour"]).dt.day_of_week)
    names = ["time_hour", "carrier", "origin", "dest", "distance", "hour", "minute", "weekday", "month", label]
    return flights[names].sort_values("time_hour", kind="stable")


def by_sluice(folder: Path, label: str) -> tuple[int, float, dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Lines declared, seconds from the file to the report, the result, and the rows of its split."""
    home = folder / "home"
    environment = os.environ | {"SLUICE_HOME": str(home)}
    sluice = [sys.executable, "-P", "-m", "sluice"]
    started = time.perf_counter()
    words = ["init", "project", "rows.csv", "--predict", label]
    subprocess.run([*sluice, *words], cwd=folder, check=True, env=environment, capture_output=True)
    project = folder / "project"
    words = ["run", "--json"]
    done = subprocess.run([*sluice, *words], cwd=project, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    result = json.loads(done.stdout)["result"]
    os.environ["SLUICE_HOME"] = str(home)
    told = (project / "sluice.yaml").read_text().splitlines()
    declared = [line for line in told if line.strip() and not line.lstrip().startswith("#")]
    with read_dataset(f"{default_store().uri}/datasets/{result['datasets']['split']}") as (bundle, tables):
        classes = task_of(bundle).classes
        frames = {name: tables[name].to_pandas() for name in ("train", "validation", "test")}
    if classes:  # the split holds their codes
        frames = {
            name: frame.assign(**{label: frame[label].map(dict(enumerate(classes)))}) for name, frame in frames.items()
        }
    names = [name for name in frames["train"] if name in set(rows(label).columns) - {"time_hour"}]
    learned = pd.concat([frames["train"], frames["validation"]])[names]
    return len(declared), seconds, result, learned, frames["test"][names]


def by_peer(name: str, python: str, place: Path, label: str, truth: "pd.Series[Any]", budget: float) -> Result:
    """What another library makes of the same rows; a search gets the seconds that Sluice took in all."""
    words: dict[str, Any] = {"label": label, "budget": round(budget), "minutes": round(budget / 60, 2)}
    if label == CLASS:
        words |= {"Kind": "Classifier", "proba": "_proba", "column": "[:, 0]", "picked": '["late"]'}
        words |= {"problem": "binary", "metric": "log_loss", "module": "classification", "sort": "AUC"}
        words |= {"raw": ", raw_score=True", "said": "prediction_score_late"}
    else:
        words |= {"Kind": "Regressor", "proba": "", "column": "", "picked": "", "raw": "", "said": "prediction_label"}
        words |= {"problem": "regression", "metric": "root_mean_squared_error", "module": "regression", "sort": "RMSE"}
    text = textwrap.dedent(PEERS[name]).strip().format(**words)
    (place / "script.py").write_text(text + "\n")
    started = time.perf_counter()
    done = subprocess.run([python, "script.py"], cwd=place, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    forecast = pd.read_csv(place / "forecast.csv").iloc[:, 0]
    return Result(name, len(text.splitlines()), seconds, *judged(truth, forecast, label))


def judged(truth: "pd.Series[Any]", forecast: "pd.Series[float]", label: str) -> tuple[float, float]:
    """Log loss and ROC AUC, or RMSE and R², by scikit-learn."""
    from sklearn.metrics import log_loss, r2_score, roc_auc_score, root_mean_squared_error

    if label == CLASS:
        late = (truth == "late").to_numpy()
        return float(log_loss(late, forecast.to_numpy())), float(roc_auc_score(late, forecast.to_numpy()))
    return float(root_mean_squared_error(truth, forecast)), float(r2_score(truth, forecast))


def quality_of(winner: dict[str, Any], label: str) -> tuple[float, float]:
    """The same two of Sluice's result."""
    metrics = winner["metrics"]
    names = ("log_loss", "roc_auc") if label == CLASS else ("rmse", "r2")
    return tuple(float(metrics[name]["value"]) for name in names)  # type: ignore[return-value]


def versions(pythons: dict[str, str]) -> str:
    """Of Python and each contestant."""
    found = [f"Python {platform.python_version()}", f"scikit-learn {importlib.metadata.version('scikit-learn')}"]
    for name, package in (("AutoGluon", "autogluon.tabular"), ("PyCaret", "pycaret")):
        if pythons[name]:
            asked = f"import importlib.metadata as m; print(m.version({package!r}))"
            found.append(f"{name} {subprocess.check_output([pythons[name], '-c', asked], text=True).strip()}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
