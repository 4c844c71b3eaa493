"""Model files: what every family can do, and reading and writing them without pickles.

A model is a folder: `model.json` says the family, the task and what the family needs to know; beside it stand the
weights in a format that cannot run code (skops, safetensors), or nothing where model.json holds all that was learned.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.features.pixels import ImageShape, blank_png
from sluice.modeling.pickles import refuse_pickles
from sluice.problems.task import Task, checked_task

MODEL = "model.json"
VERSION = 1
_WAY_OUT = "restore the folder from a copy, or train the model again"


class Predictor(Protocol):
    """What can judge rows: `predict_proba` where the label is a class, `predict` where it is a number.

    `forecast` calls the one that the task asks for.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities; none where the label is a number."""
        ...

    def predict_proba(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Class probabilities.

        Args:
            rows: A table with the task's feature columns; others are ignored. Missing values and categories that were
                never seen are fine.

        Returns:
            Shape (rows, classes); each row adds up to 1.

        Raises:
            BadInput: A feature column is missing or does not hold what it should.
        """
        ...

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """The numbers forecast, in the label's unit, shape (rows,); arguments and errors as for `predict_proba`."""
        ...


class Model(Predictor, Protocol):
    """A predictor that can be saved.

    Attributes:
        task: What it predicts.
        family: Which reader takes it.
    """

    @property
    def task(self) -> Task: ...  # noqa: D102 - see the class
    @property
    def family(self) -> str: ...  # noqa: D102 - see the class

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        ...

    def options(self) -> dict[str, Any]:
        """What model.json keeps for the reader, as JSON values."""
        ...

    def write_weights(self, folder: Path) -> None:
        """Write the files beside model.json."""
        ...


@dataclass(frozen=True)
class Threshold:
    """From which probability of the positive class on a row is called positive.

    Attributes:
        value: In [0, 1].
        rule: How it was chosen, in words, e.g. `greatest F1 on the validation rows`.
    """

    value: float
    rule: str


def forecast(model: Predictor, rows: pd.DataFrame, task: Task) -> npt.NDArray[np.float64]:
    """What a model says of rows: class probabilities, shape (rows, classes), or numbers, shape (rows,).

    Raises:
        BadInput: A feature column is missing or does not hold what it should.
    """
    return model.predict(rows) if task.regression else model.predict_proba(rows)


def save_model(folder: Path, model: Model, task: Task, threshold: Threshold | None = None) -> None:
    """Write a model; the same model gives the same bytes.

    Args:
        folder: Made where it is missing.
        model: Any family's.
        task: What it predicts.
        threshold: With two classes, where the positive one begins; it travels in the model's files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.write_weights(folder)
    body = {"version": VERSION, "family": model.family, "task": task.body(), "options": model.options()}
    body |= {"threshold": asdict(threshold)} if threshold else {}
    (folder / MODEL).write_text(
        json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )


def load_model(folder: Path) -> Predictor:
    """Read a model, having looked for pickles first and, but for a project's own class, tried it on an empty row last.

    Only the family's own library is imported: a process that loads trees never imports torch.

    Raises:
        BadInput: The folder holds a pickle or no model, a file is missing, truncated or garbled, the weights do not fit
            the description, the family is unknown, or its library is not installed.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder with a model; give the folder that holds {MODEL}")
    refuse_pickles(folder)
    family, task, options = _description(folder / MODEL)
    try:
        model = _read(family, folder, task, options)
        if family != "own":  # its weights are whole by their own files, and its code may take no missing values
            _try_out(model, task, options)
    except ModuleNotFoundError as error:  # nothing is wrong with its files
        raise BadInput(
            f"{folder} is a model of the family {family}, which needs {error.name}, and that is not installed here; "
            "install it, or take an image that has it"
        ) from None
    except Exception as error:  # damaged files make the libraries raise nearly anything
        if isinstance(error, BadInput) and str(folder) in str(error):
            raise
        raise BadInput(f"{folder} is no readable {family} model ({_reason(error)}); {_WAY_OUT}") from None
    return model


def read_threshold(folder: Path) -> Threshold | None:
    """The threshold that a model carries; None for several classes, and for a model from before models carried one.

    Raises:
        BadInput: model.json does not describe a model, or its threshold is no probability.
    """
    _description(folder / MODEL)
    try:
        body = read_json(folder / MODEL).get("threshold")
        found = Threshold(float(body["value"]), str(body["rule"])) if body is not None else None
        if found and not 0 <= found.value <= 1:
            raise ValueError(f"its threshold {found.value} is no probability")
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder / MODEL} does not describe a model ({_reason(error)}); {_WAY_OUT}") from None
    return found


def read_task(folder: Path) -> Task:
    """What a saved model predicts.

    Raises:
        BadInput: model.json does not describe a model.
    """
    return _description(folder / MODEL)[1]


def _description(path: Path) -> tuple[str, Task, Mapping[str, Any]]:
    try:
        body = read_json(path)
        if body["version"] != VERSION:
            raise BadInput(f"{path} has version {body['version']!r}; this Sluice reads version {VERSION}")
        task = _task(body["task"])
        if not isinstance(body["options"], dict):
            raise TypeError("options is no object")
        return str(body["family"]), task, body["options"]
    except FileNotFoundError:
        raise BadInput(f"{path} is missing, so {path.parent} holds no model; {_WAY_OUT}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path} does not describe a model ({_reason(error)}); {_WAY_OUT}") from None


def _task(body: Mapping[str, Any]) -> Task:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    task = checked_task(Task(**fields))
    if not all(isinstance(name, str) for name in (*task.classes, *task.features)):
        raise ValueError("a task names its classes and features")
    return task


def _read(family: str, folder: Path, task: Task, options: Mapping[str, Any]) -> Predictor:
    if family == "baseline":
        from sluice.modeling.baselines import read_baseline, read_number_baseline

        return (read_number_baseline if task.regression else read_baseline)(folder, task, options)
    if family == "sklearn":
        from sluice.modeling.sklearn_models import read_sklearn_model

        return read_sklearn_model(folder, task, options)
    if family == "network":
        from sluice.modeling.networks import read_network

        return read_network(folder, task, options)
    if family == "own":
        from sluice.modeling.own_models import read_own_model

        return read_own_model(folder, task, options)
    raise BadInput(f"{folder / MODEL}: family {family!r} is unknown; there are baseline, sklearn, network and own")


def _try_out(model: Predictor, task: Task, options: Mapping[str, Any]) -> None:
    """Predict for an empty row: weights that do not fit each other show here, not in production."""
    row: dict[str, list[Any]] = {name: [np.nan] for name in task.numeric} | {name: [None] for name in task.categorical}
    if task.image:
        shape = options.get("image") or options.get("sizes", {}).get("image")
        row[task.image] = [blank_png(ImageShape(**shape)) if shape else b""]
    if task.regression:
        numbers = model.predict(pd.DataFrame(row))
        if numbers.shape != (1,) or not np.isfinite(numbers).all():
            raise ValueError("its forecast for an empty row is no finite number")
        return
    proba = model.predict_proba(pd.DataFrame(row))
    if proba.shape != (1, len(task.classes)) or not np.isfinite(proba).all() or abs(proba.sum() - 1) > 1e-6:
        raise ValueError("its forecast for an empty row is no set of class probabilities")


def _reason(error: Exception) -> str:
    """An error in words, cut where a library has much to say."""
    text = str(error) if not isinstance(error, KeyError) else f"{error} is missing"
    return (text or type(error).__name__)[:200]
