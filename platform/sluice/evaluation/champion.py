"""The present champion on the same rows: the model to replace, if there is one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sluice.registry.champions import champion_version
from sluice.engine.datasets import read_dataset
from sluice.core.errors import BadInput
from sluice.modeling.model_files import Threshold, load_model, read_threshold
from sluice.artifacts.provenance import find_bundle
from sluice.registry.versions import version_files
from sluice.storage.locations import default_store
from sluice.problems.task import Task
from sluice.evaluation.candidates import TEST, TRAIN, VALIDATION, score
from sluice.evaluation.metrics import Floats

Scores = Mapping[str, Floats]
NAME = "champion"
"""What the champion is called among the models that are compared."""


@dataclass(frozen=True)
class Champion:
    """The registered champion.

    Attributes:
        version: Its number in the registry.
        digest: Its model digest.
        scores: Its probabilities by table, or empty when it cannot judge these rows.
        problem: Why it cannot, or empty.
        unseen: Which test rows it did not learn from, shape (rows,); None where the rows that it learned from are not
            in the store, so that nobody can tell.
        threshold: Where its positive class begins.
    """

    version: str
    digest: str
    scores: Scores
    problem: str
    unseen: NDArray[np.bool_] | None = None
    threshold: Threshold | None = None

    @property
    def seen(self) -> float | None:
        """The share of the test rows that it learned from, or None where nobody can tell."""
        return None if self.unseen is None else float(1 - self.unseen.mean())


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
            return Champion(version.version, version.digest, known[version.digest], "", unseen, threshold)
        model = load_model(folder)
        try:
            scores = {table: score(model, frame, task, NAME) for table, frame in frames.items()}
        except (BadInput, KeyError) as error:  # it was trained on other features or classes
            return Champion(version.version, version.digest, {}, str(error), unseen, threshold)
    return Champion(version.version, version.digest, scores, "", unseen, threshold)


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
