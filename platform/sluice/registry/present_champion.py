"""The present champion judged on the same rows as the candidates: loaded by the records, its digest checked."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.evaluation.candidates import TEST, TRAIN, VALIDATION, score
from sluice.evaluation.champion import NAME, Champion, Scores
from sluice.modeling.model_files import load_model, read_threshold
from sluice.problems.task import Task
from sluice.registry.champion_folds import with_own_folds
from sluice.registry.champions import champion_version
from sluice.registry.versions import version_files
from sluice.storage.locations import default_store


def present_champion(task: Task, frames: Mapping[str, pd.DataFrame], known: Mapping[str, Scores]) -> Champion | None:
    """Load the champion, by the records, from the registry, its digest checked, and let it judge the rows.

    Args:
        task: Its name is the registered model's.
        frames: Rows by table.
        known: The candidates' scores by model digest: a champion that is among them is not loaded again.

    Returns:
        None where there is none.

    Raises:
        BadInput: Its files were changed since it was registered; records and registry contradict each other.
        EnvironmentFault: The registry is down.
    """
    version = champion_version(default_store(), task.name)
    if version is None:
        return None
    unseen = _unseen(version.tags.get("sluice.splits", ""), task, frames[TEST])
    with version_files(version) as folder:
        threshold = read_threshold(folder)
        if version.digest in known:
            same = Champion(version.version, version.digest, known[version.digest], "", unseen, threshold)
            return with_own_folds(same, version, task, frames[TEST])
        model = load_model(folder)
        try:
            scores = {table: score(model, frame, task, NAME) for table, frame in frames.items()}
        except (BadInput, KeyError) as error:  # it was trained on other features or classes
            return Champion(version.version, version.digest, {}, str(error), unseen, threshold)
    found = Champion(version.version, version.digest, scores, "", unseen, threshold)
    return with_own_folds(found, version, task, frames[TEST])


def _unseen(splits: str, task: Task, test: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Which test rows, by key, are not among those that an earlier split gave to learn from and to stop by."""
    keys = list(task.key)
    try:
        address = find_bundle(default_store(), splits).uri
    except BadInput:
        return None
    with read_dataset(address) as (_, tables):
        parts = [tables[name] for name in (TRAIN, VALIDATION) if name in tables]
        if not parts or not all(set(keys) <= set(part.columns) for part in parts):
            return None
        learned = pd.concat([part.select(keys).distinct().to_pandas() for part in parts])
    known = pd.MultiIndex.from_frame(test[keys]).isin(pd.MultiIndex.from_frame(learned))
    return np.asarray(~known, bool)
