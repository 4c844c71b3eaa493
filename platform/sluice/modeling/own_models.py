"""Models of a project's own class: two methods, `fit` and `predict`, and no pickle.

`fit` gives back what was learned: arrays, or a fitted estimator of scikit-learn. Sluice keeps that in formats that
cannot run code (safetensors, skops) beside the archive of the project's code, whose digest stands in `model.json`.
`predict` gets it back. So the model loads wherever its folder is, without a store.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.extending.families import FAMILIES
from sluice.features.encoding import Floats
from sluice.problems.task import Task
from sluice.project.archive import LOCK, Archive, unpacked
from sluice.project.code_modules import ProjectCode
from sluice.project.package_supply import supply
from sluice.project.unpacking import laid_out

FAMILY = "own"
CODE, ARRAYS, ESTIMATOR = "code.zip", "state.safetensors", "state.skops"
_PARTS = 1_000  # of a state; more are no model but data
_SUM = 1e-6


class OwnCandidate(Protocol):
    """What a project's class has; it is made with the settings of its entry in `candidates` as arguments.

    `rows` are a table with the task's feature columns, missing values in it. `label` holds class codes (integers from
    0) or numbers, `weight` a positive number for each row, both of shape (rows,).
    """

    def fit(self, rows: pd.DataFrame, label: Any, weight: Any, *, seed: int, seconds: float) -> Any:  # noqa: ANN401
        """Learn; a mapping of names to NumPy arrays, numbers and texts, or a fitted estimator of scikit-learn."""
        ...

    def predict(self, state: Any, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - what `fit` gave
        """Class probabilities, shape (rows, classes), or numbers, shape (rows,)."""
        ...


@dataclass(frozen=True)
class OwnModel:
    """What a project's class has learned.

    Attributes:
        task: What it predicts.
        reference: The class, `mine.py:Net`, or the name of an installed package's family.
        archive: The code that it is in; None for an installed package's.
        state: What `fit` gave.
        settings: The arguments that the class is made with.
    """

    task: Task
    reference: str
    archive: Archive | None
    state: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    family = FAMILY

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities."""
        return self.task.classes

    @property
    def size(self) -> int:
        """How many numbers were learned; those of an estimator are not counted."""
        return sum(int(np.size(value)) for value in self._parts().values())

    @cached_property
    def _opened(self) -> tuple[OwnCandidate, Callable[[], AbstractContextManager[None]]]:
        if self.archive and LOCK in self.archive.files:
            supply(self.archive.files[LOCK])
        code = ProjectCode(self.archive, laid_out(self.archive)) if self.archive else None
        return made(code, self.reference, self.settings), partial(blamed, code, self.reference)

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """See `model_files.Predictor`."""
        said = self._said(rows, (len(rows), len(self.classes)), "a row for each row and a column for each class")
        if (said < -_SUM).any() or (np.abs(said.sum(axis=1) - 1) > _SUM).any():
            raise BadInput(
                f"candidate {self.reference}: predict gave numbers that are no probabilities: each row must add up to 1"
            )
        return said

    def predict(self, rows: pd.DataFrame) -> Floats:
        """See `model_files.Predictor`."""
        return self._said(rows, (len(rows),), "one number for each row")

    def _said(self, rows: pd.DataFrame, shape: tuple[int, ...], words: str) -> Floats:
        candidate, blame = self._opened
        with blame():
            said = candidate.predict(self.state, rows[list(self.task.features)].copy())
        try:
            numbers = np.asarray(said, np.float64)
        except (TypeError, ValueError):
            raise BadInput(f"candidate {self.reference}: predict gave {type(said).__name__}, not numbers") from None
        if numbers.shape != shape:
            raise BadInput(f"candidate {self.reference}: predict gave the shape {numbers.shape}, not {shape}: {words}")
        if not np.isfinite(numbers).all():
            odd = int((~np.isfinite(numbers)).sum())
            raise BadInput(f"candidate {self.reference}: predict gave {odd} numbers that are NaN or infinite")
        return numbers

    def options(self) -> dict[str, Any]:
        """What model.json keeps: the class, its code's digest, and what is no array."""
        plain = {name: value for name, value in self._parts().items() if not isinstance(value, np.ndarray)}
        come = {"code": self.archive.digest} if self.archive else {"package": FAMILIES.origin(self.reference)}
        told = {"reference": self.reference, **come, "state": plain, "mapping": self._is_mapping}
        return told | ({"settings": dict(self.settings)} if self.settings else {})

    def write_weights(self, folder: Path) -> None:
        """Write the code, and the arrays or the estimator."""
        if self.archive:
            (folder / CODE).write_bytes(self.archive.data)
        if not self._is_mapping:
            from sluice.modeling.skops_files import write_skops

            write_skops(folder / ESTIMATOR, self.state, any_trusted=True)
            return
        from safetensors.numpy import save_file

        arrays = {name: value for name, value in self._parts().items() if isinstance(value, np.ndarray)}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / ARRAYS)

    @property
    def _is_mapping(self) -> bool:
        return isinstance(self.state, Mapping)

    def _parts(self) -> Mapping[str, Any]:
        return self.state if self._is_mapping else {}


def blamed(code: ProjectCode | None, reference: str) -> AbstractContextManager[None]:
    """A context that turns what a candidate raises into one line, with the file and line of a project's code."""
    return code.blamed(f"candidate {reference}", log=True) if code else FAMILIES.opened(reference).blamed()


def made(code: ProjectCode | None, reference: str, settings: Mapping[str, Any] = MappingProxyType({})) -> OwnCandidate:
    """An object of a project's class, or of an installed package's family where there is no code; with two methods.

    Args:
        code: The project's.
        reference: The class, `mine.py:Net`.
        settings: The arguments that it is made with.

    Raises:
        BadInput: It is no class, does not take the settings, or lacks a method.
    """
    if code is None:
        return FAMILIES.get(reference, settings=settings)
    found = code.load(reference)
    if not isinstance(found, type):
        raise BadInput(f"candidate {reference}: it is no class; give a class with the methods fit and predict")
    for name in ("fit", "predict"):
        if not callable(getattr(found, name, None)):
            place = code.place_of(found) or reference
            raise BadInput(f"candidate {reference} ({place}) has no method {name}; a candidate has fit and predict")
    _check_arguments(code, reference, found, settings)
    with code.blamed(f"candidate {reference}"):
        candidate: OwnCandidate = found(**settings)
    return candidate


def _check_arguments(code: ProjectCode, reference: str, found: type, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the class does not take; what it makes of their values is its own affair."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # a class of compiled code says nothing of its arguments
    kinds = inspect.Parameter
    taken = [name for name, each in signature.parameters.items() if each.kind not in (kinds.VAR_POSITIONAL,)]
    any_name = any(each.kind == kinds.VAR_KEYWORD for each in signature.parameters.values())
    for name in settings:
        if name not in taken and not any_name:
            place = code.place_of(found) or reference
            known = near(name, taken) or (f"; it takes {', '.join(taken)}" if taken else "; it takes none")
            raise BadInput(f"candidate {reference} ({place}) takes no setting {name!r}{known}")


def checked_state(reference: str, state: object) -> Any:  # noqa: ANN401 - a mapping, or an estimator
    """What `fit` gave, if Sluice can keep it.

    Raises:
        BadInput: It is neither a mapping of arrays, numbers and texts nor an estimator of scikit-learn, or not finite.
    """
    way_out = "give a dict of NumPy arrays, numbers and texts, or a fitted estimator of scikit-learn"
    if not isinstance(state, Mapping):
        from sklearn.base import BaseEstimator

        if isinstance(state, BaseEstimator):
            return _kept_estimator(reference, state)
        raise BadInput(f"candidate {reference}: fit gave {type(state).__name__}, which cannot be kept; {way_out}")
    if len(state) > _PARTS:
        raise BadInput(f"candidate {reference}: fit gave {len(state):,} parts, and at most {_PARTS:,} are kept")
    return {_name(reference, name): _part(reference, name, value, way_out) for name, value in state.items()}


def _kept_estimator(reference: str, estimator: object) -> object:
    from sluice.modeling.skops_files import untrusted

    if odd := untrusted(estimator):
        raise BadInput(
            f"candidate {reference}: fit gave an estimator that holds {', '.join(odd[:3])}, which skops does not "
            "trust; keep what it learned as arrays, or use the estimators of scikit-learn alone"
        )
    return estimator


def _name(reference: str, name: object) -> str:
    if not isinstance(name, str) or not name:
        raise BadInput(f"candidate {reference}: fit gave a part named {name!r}; name each by a text")
    return name


def _part(reference: str, name: object, value: object, way_out: str) -> Any:  # noqa: ANN401 - see above
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise BadInput(f"candidate {reference}: fit gave NaN or infinite numbers in {name!r}; nothing was learned")
        return value
    try:
        kept = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        odd = isinstance(value, float) and not math.isfinite(value)
        said = f"candidate {reference}: fit gave {f'the number {value}' if odd else kind} as {name!r}"
        raise BadInput(f"{said}, which cannot be kept; {way_out}") from None
    return kept


def read_own_model(folder: Path, task: Task, options: Mapping[str, Any]) -> OwnModel:
    """Read such a model; its code's digest is checked before anything of it is imported.

    Raises:
        BadInput: A file is missing, or was changed.
    """
    archive, settings = _archive(folder, options), dict(options.get("settings", {}))
    return OwnModel(task, str(options["reference"]), archive, _read_state(folder, options), settings)


def _archive(folder: Path, options: Mapping[str, Any]) -> Archive | None:
    if "package" in options:
        name, wanted = str(options["reference"]), str(options["package"])
        if (here := FAMILIES.origin(name)) != wanted:
            raise BadInput(
                f"{folder}: the model is of the family {name!r} of {wanted}, and here is {here or 'no such family'}; "
                "install that version, or train the model anew"
            )
        return None
    data = (folder / CODE).read_bytes()
    if sha256_bytes(data) != options["code"]:
        raise BadInput(f"{folder / CODE}: its SHA-256 is not the one in model.json; restore it from a copy")
    return unpacked(data, str(folder / CODE))


def _read_state(folder: Path, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a mapping, or an estimator
    if not options["mapping"]:
        from sluice.modeling.skops_files import read_skops

        return read_skops(folder / ESTIMATOR, any_trusted=True)
    from safetensors.numpy import load_file

    return {**load_file(folder / ARRAYS), **options["state"]}
