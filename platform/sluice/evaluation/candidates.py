"""The trained candidates: what `train` wrote of them, and what each says of the rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.modeling.model_files import Predictor, Threshold, forecast, load_model, read_threshold
from sluice.problems.metrics import Metric
from sluice.problems.registry import wrong_label
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Floats, Labels, Predictions

TRAINING = "training.json"
TRAIN, VALIDATION, TEST = "train", "validation", "test"

Said = Predictions | NumberPredictions
"""What one model said of labelled rows: of their class, or of their number."""


@dataclass(frozen=True)
class Measures:
    """What is measured of every model, beside what any task has.

    Attributes:
        ratios: For numbers: whether relative errors say something, for no label is near zero.
        own: A project's own metrics of the task's problem.
        row_loss: For numbers: the metric that is the mean of the rows' losses; None for squared errors.
    """

    ratios: bool = False
    own: tuple[Metric, ...] = ()
    row_loss: Metric | None = None


PLAIN = Measures()


@dataclass(frozen=True)
class JudgedModel:
    """One trained model.

    Attributes:
        name: Its sub-folder in the bundle.
        family: What kind of model it is.
        baseline: Whether it only sets the bar for the others.
        rank: 0 for the simplest.
        size: How many numbers it learned.
        parameters: Its settings.
        cut: Why its training ended before its time, and how to repeat it; empty where it was done.
        called: What it is called in a list of candidates.
        settings: What was set of it there.
    """

    name: str
    family: str
    baseline: bool
    rank: int
    size: int
    parameters: dict[str, Any]
    cut: str = ""
    called: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_candidates(folder: Path, where: str) -> list[JudgedModel]:
    """The candidates of a models bundle, simplest first.

    Args:
        folder: The bundle's files on this machine.
        where: Its address, for errors.

    Raises:
        BadInput: There is no training record, or it has no candidate beside the baselines, or no baseline.
    """
    path = folder / TRAINING
    try:
        entries = read_json(path)["candidates"]
        fields = ("name", "family", "baseline", "rank", "size", "parameters")
        later = ("cut", "called", "settings")  # what older records lack
        candidates = [
            JudgedModel(**{f: entry[f] for f in fields}, **{f: entry[f] for f in later if f in entry})
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where}/{TRAINING} is no training record ({error!r}); run train again") from None
    if {c.baseline for c in candidates} != {True, False}:
        raise BadInput(f"{where}/{TRAINING}: evaluation needs a baseline and a candidate; name both kinds for train")
    return sorted(candidates, key=lambda c: (c.rank, c.name))


def labels_of(frame: pd.DataFrame, task: Task, table: str) -> Labels:
    """The label's codes, or numbers, shape (rows,).

    Raises:
        BadInput: The column is missing, has a missing value or one that is no label, or holds one class or number only.
    """
    if task.label not in frame:
        raise BadInput(f"table {table!r} has no label column {task.label!r}; use a dataset made by split")
    if frame[task.label].isna().any():
        row = int(np.flatnonzero(frame[task.label].isna())[0])
        raise BadInput(f"table {table!r}, column {task.label!r}, row {row}: the label is missing; run prepare again")
    labels = frame[task.label].to_numpy(np.float64 if task.regression else np.int64)
    if fault := wrong_label(labels.astype(np.float64), task):
        raise BadInput(f"table {table!r}, column {task.label!r}, {fault}")
    if len(np.unique(labels)) < 2:
        only = f"the number {labels[0]:g}" if task.regression else f"class {task.classes[int(labels[0])]!r}"
        raise BadInput(f"table {table!r}, column {task.label!r}: only {only}; nothing can be judged on it")
    return labels


def score(model: Predictor, frame: pd.DataFrame, task: Task, name: str) -> Floats:
    """A model's probabilities, shape (rows, classes), or numbers, shape (rows,).

    Raises:
        BadInput: The model is for other classes, or for a number where the task has classes.
    """
    if tuple(model.classes) != task.classes:
        known, wanted = (f"classes {', '.join(c)}" if c else "a number" for c in (model.classes, task.classes))
        raise BadInput(f"model {name!r} knows {known}, not {wanted.removeprefix('classes ')}")
    with threadpool_limits(1):  # threads that wait for each other cost ten times more on a busy machine
        return np.asarray(forecast(model, frame, task), np.float64)


def predict_all(
    folder: Path, candidates: list[JudgedModel], frames: Mapping[str, pd.DataFrame], task: Task
) -> dict[str, dict[str, Floats]]:
    """Every candidate's probabilities or numbers, by table and candidate; each model is loaded once.

    Args:
        folder: The bundle's files.
        candidates: Which.
        frames: Rows by table.
        task: What they predict.
    """
    found: dict[str, dict[str, Floats]] = {table: {} for table in frames}
    for candidate in candidates:
        model = load_model(folder / candidate.name)
        for table, frame in frames.items():
            found[table][candidate.name] = score(model, frame, task, candidate.name)
    return found


def thresholds_of(folder: Path, candidates: list[JudgedModel]) -> dict[str, Threshold | None]:
    """Where each candidate's positive class begins, by name, as the model's own files say."""
    return {candidate.name: read_threshold(folder / candidate.name) for candidate in candidates}


def predictions(
    labels: Labels,
    scores: Floats,
    threshold: Threshold | None,
    measures: Measures = PLAIN,
    bars: Floats | None = None,
) -> Said:
    """Predictions with the model's threshold; one without calls the more probable class. Of numbers as they are.

    Args:
        labels: Class codes or numbers, shape (rows,).
        scores: Probabilities, shape (rows, classes), or numbers, shape (rows,).
        threshold: Where the positive class begins.
        measures: What is measured.
        bars: Where it begins for each row, shape (rows,), where several models judged the rows.
    """
    if scores.ndim == 1:
        return NumberPredictions(labels, scores, measures.ratios, measures.own, measures.row_loss)
    return Predictions(labels, scores, threshold.value if threshold else 0.5, measures.own, bars)
