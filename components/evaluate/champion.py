"""The present champion on the same rows: the model to replace, if there is one."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from components.common.datasets import read_dataset
from components.common.errors import BadInput
from components.common.models import load_model
from components.common.provenance import find_bundle
from components.common.registry import CHAMPION, version_by_alias, version_files
from components.common.steps import default_store
from components.common.tasks import Task
from components.evaluate.candidates import TEST, score
from components.evaluate.metrics import Floats

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
        seen: The share of the test rows that it learned from, or None where its training rows are not in the store.
    """

    version: str
    digest: str
    scores: Scores
    problem: str
    seen: float | None = None


def present_champion(task: Task, frames: Mapping[str, pd.DataFrame], known: Mapping[str, Scores]) -> Champion | None:
    """Load the champion from the registry, its digest checked, and let it judge the rows.

    Args:
        task: Its name is the registered model's.
        frames: Rows by table.
        known: The candidates' scores by model digest: a champion that is among them is not loaded again.

    Returns:
        None where no version has the alias yet.

    Raises:
        BadInput: Its files were changed since it was registered.
        EnvironmentFault: The registry is down.
    """
    version = version_by_alias(task.name, CHAMPION)
    if version is None:
        return None
    seen = _share_seen(version.tags.get("sluice.splits", ""), task, frames[TEST])
    if version.digest in known:
        return Champion(version.version, version.digest, known[version.digest], "", seen)
    with version_files(version) as folder:
        model = load_model(folder)
        try:
            scores = {table: score(model, frame, task, NAME) for table, frame in frames.items()}
        except (BadInput, KeyError) as error:  # it was trained on other features or classes
            return Champion(version.version, version.digest, {}, str(error), seen)
    return Champion(version.version, version.digest, scores, "", seen)


def _share_seen(splits: str, task: Task, test: pd.DataFrame) -> float | None:
    """The share of test rows, by key, among the training rows of an earlier split: a comparison on them flatters."""
    keys = list(task.key)
    try:
        address = find_bundle(default_store(), splits).uri
    except BadInput:
        return None
    with read_dataset(address) as (_, tables):
        if not set(keys) <= set(tables["train"].columns):
            return None
        learned = tables["train"].select(keys).distinct().to_pandas()
    return float(pd.MultiIndex.from_frame(test[keys]).isin(pd.MultiIndex.from_frame(learned)).mean())
