"""How MLflow loads a registered model: from its files, digest checked, never from a pickle.

MLflow keeps this module's name beside the files and calls `_load_pyfunc`, in a server or through
`mlflow.pyfunc.load_model`. The module and all that it imports travel with the model (`sluice.registry.model_code`
copies them), so nothing here may import a store, a tracking server or a step.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sluice.core.errors import BadInput
from sluice.features.model_inputs import read_inputs
from sluice.features.served_rows import ServedRows
from sluice.features.unseen_values import UnseenFinding, unseen_features
from sluice.modeling.model_digests import CODE_DIGEST, DIGEST, check_code, check_digest
from sluice.modeling.model_files import Predictor, Threshold, forecast, load_model, read_task, read_threshold
from sluice.problems.task import Task

REPORT, DECISION = "report", "decision"
UNSEEN = "unseen"
PREDICTION = "prediction"
"""The one column of an answer where the label is a number."""
_MLMODEL, _CODE = "MLmodel", "code"
_LOGGER = logging.getLogger("sluice.model")


class ServedModel:
    """What MLflow's scoring calls: rows in, one column of probabilities a class out, or one of numbers."""

    def __init__(self, model: Predictor, rows: ServedRows, threshold: Threshold | None, task: Task) -> None:
        self._model, self._rows, self._threshold, self._task = model, rows, threshold, task

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probabilities, shape (rows, classes), the columns named after the classes, the index that of the rows.

        Where the label is a number, it is the column `prediction`, in the label's unit.

        Values that training never saw are logged, one line a feature, by the logger `sluice.model`.

        Args:
            model_input: Features, or what they are computed from; see `ServedRows.features`.
            params: `decision: true` adds the column `decision` with the class called, where there are classes;
                `report: true` adds the column `unseen` with the names of the features whose value in the row training
                never saw.

        Raises:
            MlflowException: The rows cannot be judged, with the reason in one line; a server answers 400.
        """
        try:
            return self._answer(model_input, params or {})
        except BadInput as error:
            from mlflow.exceptions import MlflowException

            raise MlflowException.invalid_parameter_value(str(error)) from error

    @property
    def task(self) -> Task:
        """What it forecasts."""
        return self._task

    @property
    def optional(self) -> frozenset[str]:
        """The features that may be absent: rows of the training lacked them too."""
        return self._rows.optional

    def judge(self, features: pd.DataFrame, params: Mapping[str, Any]) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        """As `predict`, of rows whose features were made by the code of the training; and what is odd about them.

        Raises:
            BadInput: A feature is missing, or a column holds values of a wrong type.
        """
        return self._told(*self._rows.made(features), features.index, params)

    def _answer(self, rows: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        answer, findings = self._told(*self._rows.features(rows), rows.index, params)
        for finding in findings:
            _LOGGER.warning("%s", finding)
        return answer

    def _told(
        self, features: pd.DataFrame, findings: list[UnseenFinding], index: pd.Index, params: Mapping[str, Any]
    ) -> tuple[pd.DataFrame, list[UnseenFinding]]:
        told = answer_columns(self._task)
        answer = pd.DataFrame(forecast(self._model, features, self._task), columns=told, index=index)
        if params.get(DECISION):
            if self._task.regression:
                raise BadInput(f"params asks for a {DECISION}, and this model forecasts a number; leave it out")
            answer[added_column(DECISION, told)] = self._decisions(answer[told])
        if params.get(REPORT):
            answer[added_column(UNSEEN, told)] = unseen_features(findings, len(features))
        return answer, findings

    def _decisions(self, proba: pd.DataFrame) -> list[str]:
        """The class called: by the model's threshold, else the most probable one."""
        if self._threshold is None:
            return [str(proba.columns[place]) for place in proba.to_numpy().argmax(axis=1)]
        negative, positive = map(str, proba.columns)
        return [positive if value >= self._threshold.value else negative for value in proba[positive]]


def answer_columns(task: Task) -> list[str]:
    """The columns of an answer: one a class, or `prediction`."""
    return [PREDICTION] if task.regression else list(task.classes)


def added_column(name: str, told: list[str]) -> str:
    """A column's name beside those of the answer: as it is, or with underscores where a class has that name."""
    while name in told:
        name += "_"
    return name


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load a model's files; MLflow finds this function by its name.

    Args:
        data_path: The folder of the model's files inside the folder that MLflow keeps.

    Raises:
        MlflowException: The files or the code differ from the digests that were registered, or a pickle is among them.
    """
    from mlflow.exceptions import MlflowException

    try:
        return served_model(Path(data_path))
    except BadInput as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error


def served_model(folder: Path) -> ServedModel:
    """The same, for callers of ours.

    Raises:
        BadInput: See `_load_pyfunc`.
    """
    root, stated = _stated(folder)
    check_digest(folder, str(stated.get(DIGEST, "")), str(folder))
    if CODE_DIGEST in stated:
        check_code(root / _CODE, str(stated[CODE_DIGEST]))
        _find_code(root / _CODE)
    task = read_task(folder)
    return ServedModel(load_model(folder), ServedRows(task, read_inputs(folder)), read_threshold(folder), task)


def _find_code(code: Path) -> None:
    """Let what is still to be imported of this very code be found, where the copy that it came from is gone.

    One process may load a version, remove its folder, and load another version with the same code.
    """
    root = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        places = getattr(module, "__path__", None) if name.partition(".")[0] == root else None
        if places is not None and not any(Path(place).is_dir() for place in places):
            module.__path__ = [str(code.joinpath(*name.split(".")))]


def _stated(folder: Path) -> tuple[Path, dict[str, Any]]:
    """MLflow's folder around a model's files, and what was stated when it was registered."""
    for place in folder.parents[:2]:
        if (place / _MLMODEL).is_file():
            body = yaml.safe_load((place / _MLMODEL).read_text(encoding="utf-8"))
            return place, dict(body.get("metadata") or {})
    raise BadInput(f"{folder} lies in no model of MLflow's: there is no {_MLMODEL} above it; load a registered model")
