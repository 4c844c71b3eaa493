"""A champion that learned from rows which it is to be compared on: its own forecasts out of fold, where it has some.

A model that was fitted on all rows has seen each of them. But where its rows were divided into folds, its bundle keeps
what the same candidate learned without each fold, and a row that is known by its key is judged by the model that was
fitted without it. The candidate was chosen with these rows in sight: that favours the champion a little, never the
model that wants its place.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sluice.artifacts.bundles import local_copy
from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.evaluation.candidates import TEST, score
from sluice.evaluation.champion import NAME, Champion
from sluice.modeling.fold_training import fold_folder
from sluice.modeling.model_files import load_model, read_threshold
from sluice.problems.task import Task
from sluice.problems.weighted_metrics import Floats
from sluice.registry.versions import Version
from sluice.sampling.folds import folds_of
from sluice.storage.locations import default_store


@dataclass(frozen=True)
class _Known:
    """Forecasts of rows that the champion learned from, by models that did not.

    Attributes:
        inside: Which rows, shape (rows,).
        scores: Of these, shape (rows inside, classes) or (rows inside,).
        bars: Of these, where the positive class begins, shape (rows inside,).
    """

    inside: NDArray[np.bool_]
    scores: Floats
    bars: Floats


def with_own_folds(champion: Champion, version: Version, task: Task, test: pd.DataFrame) -> Champion:
    """The champion with its forecasts out of fold, for those test rows that it has some of.

    Args:
        champion: As it judges the rows itself.
        version: Its version, whose tags name its rows and its bundle.
        task: What is predicted.
        test: The test rows.

    Raises:
        EnvironmentFault: The store is down.
    """
    try:
        found = _known(version, task, test)
    except (BadInput, KeyError):  # its rows or its bundle are no longer in the store, or are of another form
        found = None
    if found is None or not found.inside.any():
        return champion
    scores = champion.scores[TEST].copy()
    scores[found.inside] = found.scores
    bars = np.full(len(scores), champion.threshold.value if champion.threshold else 0.5)
    bars[found.inside] = found.bars
    seen = np.ones(len(scores), bool) if champion.unseen is None else ~champion.unseen
    return replace(
        champion,
        scores={**champion.scores, TEST: scores},
        unseen=np.asarray(~seen | found.inside),
        own_folds=float((seen & found.inside).mean()),
        bars=bars if scores.ndim == 2 and scores.shape[1] == 2 else None,
    )


def _known(version: Version, task: Task, test: pd.DataFrame) -> _Known | None:
    store, keys = default_store(), list(task.key)
    with read_dataset(find_bundle(store, version.tags.get("sluice.splits", "")).uri) as (dataset, tables):
        folds = folds_of(dataset)
        if folds is None:
            return None
        earlier = tables[TEST].select([*keys, folds.column]).to_pandas()
    places = pd.Series(earlier[folds.column].to_numpy(), index=pd.MultiIndex.from_frame(earlier[keys]))
    numbers = places.reindex(pd.MultiIndex.from_frame(test[keys])).fillna(0).to_numpy(np.int64)
    inside = numbers > 0
    scores: Floats | None = None
    bars = np.full(len(test), 0.5)
    with local_copy(find_bundle(store, version.tags.get("sluice.models", ""))) as folder:
        for fold in np.unique(numbers[inside]):
            place, rows = fold_folder(folder, int(fold), version.tags["sluice.candidate"]), numbers == fold
            said = score(load_model(place), test[rows], task, NAME)
            scores = np.empty((len(test), *said.shape[1:])) if scores is None else scores
            scores[rows] = said
            threshold = read_threshold(place)
            bars[rows] = threshold.value if threshold else 0.5
    return None if scores is None else _Known(inside, scores[inside], bars[inside])
