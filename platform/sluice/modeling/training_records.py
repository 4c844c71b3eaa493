"""What is kept about a training run: the record inside the bundle, and the timings beside it.

Timings differ from run to run, so they stay outside the bundle's files: the same work then has the same address.
"""

import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from sluice.modeling.catalogue import Trainable
from sluice.modeling.model_files import Threshold
from sluice.modeling.parts import Parts
from sluice.modeling.rounds import BUDGET, Fitted, Point
from sluice.modeling.threads import fixed_threads
from sluice.modeling.thresholds import f1_threshold
from sluice.modeling.training_settings import TrainingSettings

TRAINING = "training.json"
_LIBRARIES = {"sklearn": "scikit-learn", "torch": "torch", "numpy": "numpy", "skops": "skops"}


@dataclass(frozen=True)
class Trained:
    """A candidate with its result.

    Attributes:
        candidate: What was trained.
        fitted: What came of it.
        threshold: Where its positive class begins; None for several classes and for numbers.
    """

    candidate: Trainable
    fitted: Fitted
    threshold: Threshold | None = None


def train_candidate(candidate: Trainable, parts: Parts, settings: TrainingSettings) -> Trained:
    """Train a candidate, and choose its threshold on the validation rows.

    Raises:
        NoRound: Not even its first round ended within the budget.
    """
    return with_threshold(candidate, candidate.fit(parts, settings), parts)


def with_threshold(candidate: Trainable, fitted: Fitted, parts: Parts) -> Trained:
    """A trained candidate, with the threshold that the validation rows and their weights give it."""
    if len(parts.task.classes) != 2:
        return Trained(candidate, fitted)
    rows, labels, weights = parts.validation.rows, parts.validation.labels, parts.validation.weights
    with fixed_threads(1):  # as everyone who reads the model predicts with it, so that the same rows are above it
        return Trained(candidate, fitted, f1_threshold(labels, fitted.model.predict_proba(rows), weights))


def training_record(trained: list[Trained], left_out: list[str], settings: TrainingSettings) -> dict[str, Any]:
    """The content of training.json, without any time.

    Args:
        trained: The candidates.
        left_out: Names of those of which no round ended within the budget.
        settings: For the seed and the budget.
    """
    return {
        "candidates": [candidate_record(entry) for entry in trained],
        "left_out": left_out,
        "seed": settings.seed,
        "budget_seconds": None if settings.max_rounds else settings.seconds_per_candidate,
        "budget_rounds": settings.max_rounds or None,
    }


def cut_words(fitted: Fitted, parameter: str = "max_rounds") -> str:
    """How a candidate that ended before its time is repeated or goes on; empty for one that was done.

    Args:
        fitted: The candidate.
        parameter: What sets its number of rounds.
    """
    if not fitted.cut:
        return ""
    if fitted.stopped_by == BUDGET:
        return f"cut by the clock after round {fitted.rounds}; {parameter}={fitted.rounds} repeats it on any machine"
    return f"still getting better in its last round, {fitted.rounds}; a greater {parameter} lets it go on"


def timings(trained: list[Trained]) -> dict[str, Any]:
    """Seconds by candidate: in all, by the clock and of the processor's, and at the end of each round."""
    return {
        entry.candidate.name: {
            "seconds": round(entry.fitted.seconds, 3),
            "cpu_seconds": None if entry.fitted.cpu_seconds is None else round(entry.fitted.cpu_seconds, 3),
            "rounds": [round(point.seconds, 3) for point in entry.fitted.curve],
        }
        for entry in trained
    }


def candidate_record(entry: Trained, parameter: str = "max_rounds") -> dict[str, Any]:
    """One candidate in training.json; the parameter is the one that sets its number of rounds."""
    candidate, fitted = entry.candidate, entry.fitted
    return {
        "name": candidate.name,
        "title": candidate.title,
        "family": fitted.model.family,
        "baseline": candidate.baseline,
        "rank": candidate.rank,
        "rounds": fitted.rounds,
        "kept_round": fitted.kept.round,
        "stopped_by": fitted.stopped_by,
        "cut": cut_words(fitted, parameter),
        "parameters": fitted.parameters,
        "called": candidate.called,
        "settings": dict(candidate.settings),
        "size": fitted.model.size,
        "threshold": asdict(entry.threshold) if entry.threshold else None,
        "curve": [_point(point, fitted.metric.name) for point in fitted.curve],
        "validation": {fitted.metric.name: fitted.kept.validation},
    }


def _point(point: Point, metric: str) -> dict[str, Any]:
    return {"round": point.round, f"train_{metric}": point.train, f"validation_{metric}": point.validation}


def read_point(record: dict[str, Any], metric: str, seconds: float) -> Point:
    """A round of a curve in training.json, and when it ended."""
    return Point(record["round"], record[f"train_{metric}"], record[f"validation_{metric}"], seconds)


def environment(trained: list[Trained], threads: int) -> dict[str, Any]:
    """What else the numbers depend on, beside the data and the seed."""
    devices = {str(entry.fitted.parameters["device"]) for entry in trained if "device" in entry.fitted.parameters}
    versions = {label: version(name) for label, name in _LIBRARIES.items() if label in sys.modules}
    return {
        "threads": threads,
        "device": ", ".join(sorted(devices)) or "cpu",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": versions,
    }
