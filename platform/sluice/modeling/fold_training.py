"""Training for each fold of a small table: the same recipe as for the registered model, without the fold's rows.

The models of the folds stand in the bundle beside the registered ones, under `folds/<fold>/<candidate>`: whoever judges
them reads models, never forecasts that somebody wrote down.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.modeling.catalogue import Trainable
from sluice.modeling.model_files import save_model
from sluice.modeling.parts import Parts, read_fold_parts
from sluice.modeling.training_records import Trained
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from sluice.sampling.folds import Folds

FOLDS = "folds"
"""The folder of a models bundle, and the entry of its training record, that holds what folds have."""

Train = Callable[[list[Trainable], Parts, TrainingSettings], tuple[list[Trained], list[str]]]
"""Trains candidates; gives them, and the names of those of which no round ended within the budget."""


def fold_folder(folder: Path, fold: int, candidate: str) -> Path:
    """Where a models bundle keeps what a candidate learned without a fold; folds are numbered from 1."""
    return folder / FOLDS / str(fold) / candidate


def shared_budget(settings: TrainingSettings, folds: Folds | None) -> TrainingSettings:
    """The settings of one training where a candidate is trained once for each fold and once for all rows.

    A candidate keeps the seconds that it was given, shared equally. Rounds are counted in each training anew.
    """
    if folds is None:
        return settings
    return replace(settings, seconds_per_candidate=settings.seconds_per_candidate / (folds.number + 1))


@contextmanager
def shared_seconds(folds: Folds | None) -> Iterator[None]:
    """Say of a refusal that speaks of the seconds that they are shared: nobody gave the number that it names."""
    try:
        yield
    except BadInput as error:
        if folds is None or "seconds_per_candidate" not in str(error):
            raise
        shared = f"the seconds given are shared by {folds.number + 1} trainings, one for each fold and one for all rows"
        raise BadInput(f"{error} ({shared})") from None


def budget_words(folds: Folds | None) -> str:
    """What the page about the training says of folds."""
    if folds is None:
        return ""
    return (
        f"This is the training on all rows, with one of {folds.number} folds to stop by. Each candidate was also "
        f"trained {folds.number} times without one fold, under the same rules, to be judged on it. "
        f"Its seconds were shared by the {folds.number + 1} trainings."
    )


def train_folds(
    uri: str, folds: Folds | None, candidates: list[Trainable], settings: TrainingSettings, train: Train
) -> tuple[list[list[Trained]], list[str]]:
    """Train every candidate without each fold in turn.

    Args:
        uri: The address of the split dataset.
        folds: Its folds; None where it has none.
        candidates: Those that were trained on all rows.
        settings: Of one training.
        train: Trains them.

    Returns:
        The candidates of each fold, those of the first before, and the names of those of which no round ended in some
        fold.
    """
    found: list[list[Trained]] = []
    left_out: list[str] = []
    if folds is None:
        return found, left_out
    for fold, parts in enumerate(read_fold_parts(uri), 1):
        rows, stopping = len(parts.train.labels), len(parts.validation.labels)
        progress(f"fold {fold} of {folds.number} held back: {rows:,} rows to learn from, {stopping:,} to stop by")
        trained, late = train([each for each in candidates if each.name not in left_out], parts, settings)
        left_out += late
        found.append(trained)
    return [[entry for entry in fold if entry.candidate.name not in left_out] for fold in found], left_out


def save_folds(folder: Path, trained: Sequence[Sequence[Trained]], task: Task) -> None:
    """Write the folds' models into a models bundle."""
    for fold, entries in enumerate(trained, 1):
        for entry in entries:
            save_model(fold_folder(folder, fold, entry.candidate.name), entry.fitted.model, task, entry.threshold)


def folds_record(trained: Sequence[Sequence[Trained]]) -> dict[str, Any]:
    """What training.json keeps of the folds; nothing without them."""
    if not trained:
        return {}
    return {FOLDS: [{entry.candidate.name: _record(entry) for entry in fold} for fold in trained]}


def _record(entry: Trained) -> dict[str, Any]:
    fitted = entry.fitted
    return {
        "rounds": fitted.rounds,
        "kept_round": fitted.kept.round,
        "stopped_by": fitted.stopped_by,
        "validation": {fitted.metric.name: fitted.kept.validation},
    }
