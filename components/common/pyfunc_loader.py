"""How MLflow loads a registered model: from its files, digest checked, never from a pickle.

MLflow keeps this module's name beside the files and calls `_load_pyfunc`, in a server or through
`mlflow.pyfunc.load_model`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from components.common.errors import BadInput
from components.common.models import Predictor, load_model
from components.common.registry import DIGEST, check_digest

_MLMODEL = "MLmodel"


class ServedModel:
    """What MLflow's scoring calls: rows in, one column of probabilities a class out."""

    def __init__(self, model: Predictor) -> None:
        self._model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002 - MLflow's signature
        """Probabilities, shape (rows, classes), the columns named after the classes."""
        return pd.DataFrame(self._model.predict_proba(model_input), columns=list(self._model.classes))


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load a model's files; MLflow finds this function by its name.

    Args:
        data_path: The folder of the model's files inside the folder that MLflow keeps.

    Raises:
        BadInput: The files differ from the digest that was registered, or a pickle is among them.
    """
    folder = Path(data_path)
    check_digest(folder, _stated_digest(folder), str(folder))
    return ServedModel(load_model(folder))


def _stated_digest(folder: Path) -> str:
    for place in folder.parents[:2]:
        if (place / _MLMODEL).is_file():
            body = yaml.safe_load((place / _MLMODEL).read_text())
            return str((body.get("metadata") or {}).get(DIGEST, ""))
    raise BadInput(f"{folder} lies in no model of MLflow's: there is no {_MLMODEL} above it; load a registered model")
