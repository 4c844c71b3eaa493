"""Judging a recipe fold by fold: what each fold's models say of its rows, and the choice that the recipe makes there.

The winner is chosen anew inside each fold, on the rows that training stopped by, as it is chosen for the model that is
registered; so the forecasts that are judged come from the whole recipe, its choice included, and nobody is praised for
having been picked by the rows that judge him (S. Varma and R. Simon, *Bias in error estimation when using
cross-validation for model selection*, BMC Bioinformatics 7, 2006).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.candidates import JudgedModel, score
from sluice.modeling.fold_training import fold_folder
from sluice.modeling.model_files import Threshold, load_model, read_threshold
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Floats
from sluice.sampling.folds import Folds

Inside = NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """What the models say that were fitted without a fold.

    Attributes:
        judged: Which rows are the fold's, shape (rows,).
        stopping: Which rows training stopped and the recipe chooses by, shape (rows,).
        scores: By candidate, of the fold's rows: probabilities, shape (fold's rows, classes), or numbers.
        validation: By candidate, of the stopping rows.
        thresholds: By candidate, where the positive class begins.
    """

    judged: Inside
    stopping: Inside
    scores: dict[str, Floats]
    validation: dict[str, Floats]
    thresholds: dict[str, Threshold | None]


@dataclass(frozen=True)
class OutOfFold:
    """Forecasts of all rows, each by a model that was fitted without its fold.

    Attributes:
        scores: Probabilities, shape (rows, classes), or numbers, shape (rows,).
        bars: With two classes, from which probability on each row is called positive, shape (rows,); else None.
    """

    scores: Floats
    bars: Floats | None


@dataclass(frozen=True)
class Recipe:
    """What was judged where rows are divided into folds.

    Attributes:
        folds: The folds.
        winners: The candidate chosen inside each fold, by fold.
        alone: The winner's own metrics out of fold, whatever was chosen there; by metric.
    """

    folds: Folds
    winners: tuple[str, ...]
    alone: Mapping[str, Estimate]

    def words(self, winner: str) -> str:
        """What the numbers speak of, in sentences.

        Args:
            winner: The candidate that is registered.
        """
        number = self.folds.number
        same = sum(name == winner for name in self.winners)
        chosen = (
            f"chose {winner} in every fold"
            if same == number
            else "chose " + ", ".join(f"{name} in {self.winners.count(name)}" for name in dict.fromkeys(self.winners))
        )
        return (
            "The numbers speak of the recipe, judged out of fold: each row once, by models that were fitted without "
            f"its fold, of {number}. The recipe, its choice of a candidate included, was repeated without each fold; "
            f"it {chosen}. The registered model was fitted on all rows by the same recipe and is not judged itself. "
            f"Intervals are {self.folds.widening:.2f} times as wide as the rows alone would have them, for the folds' "
            "models learned from mostly the same rows."
        )


def read_folds(
    folder: Path, folds: Folds, candidates: Sequence[JudgedModel], frame: pd.DataFrame, task: Task
) -> tuple[Fold, ...]:
    """Let the models that were fitted without a fold judge its rows, and the rows that they stopped by.

    Args:
        folder: The models bundle's files.
        folds: The folds.
        candidates: Which.
        frame: All rows.
        task: What they predict.

    Raises:
        BadInput: A model is missing or was changed.
    """
    return tuple(_read_fold(folder, fold, folds, candidates, frame, task) for fold in range(1, folds.number + 1))


def _read_fold(
    folder: Path, fold: int, folds: Folds, candidates: Sequence[JudgedModel], frame: pd.DataFrame, task: Task
) -> Fold:
    numbers = frame[folds.column].to_numpy()
    found = Fold(numbers == fold, numbers == folds.stopping(fold), {}, {}, {})
    judged, stopping = frame[found.judged], frame[found.stopping]
    for candidate in candidates:
        place = fold_folder(folder, fold, candidate.name)
        model = load_model(place)
        found.scores[candidate.name] = score(model, judged, task, candidate.name)
        found.validation[candidate.name] = score(model, stopping, task, candidate.name)
        found.thresholds[candidate.name] = read_threshold(place)
    return found


def out_of_fold(folds: Sequence[Fold], names: Sequence[str]) -> OutOfFold:
    """Put the folds' forecasts together.

    Args:
        folds: In their order.
        names: Whose forecasts count in each.
    """
    rows, first = len(folds[0].judged), folds[0].scores[names[0]]
    scores, bars = np.empty((rows, *first.shape[1:])), np.full(rows, 0.5)
    for fold, name in zip(folds, names, strict=True):
        scores[fold.judged] = fold.scores[name]
        threshold = fold.thresholds[name]
        bars[fold.judged] = threshold.value if threshold else 0.5
    return OutOfFold(scores, bars if scores.ndim == 2 and scores.shape[1] == 2 else None)
