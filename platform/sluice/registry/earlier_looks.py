"""How often these test rows have been looked at: each look at the same rows is one more chance for noise to win.

A look is an earlier decision about another model whose test rows were, to a tenth or more, of the same clusters (days,
patients, or the very rows where rows are independent). Decisions are read from the record of promotions.
"""

import pandas as pd

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.evaluation.candidates import TEST
from sluice.problems.row_groups import local_days
from sluice.problems.task import Task
from sluice.registry.promotions import promotions
from sluice.storage.locations import default_store

_SAME = 0.1
_STEP = "split"


def look_number(task: Task, splits: str, test: pd.DataFrame, digest: str) -> int:
    """Which look at these test rows the present one is: 1 for the first.

    Args:
        task: Its name is the registered model's.
        splits: The id of the split dataset.
        test: The test rows.
        digest: The digest of the model to be decided about: to ask again about the same model is no new look.

    Raises:
        BadInput: The record of promotions is broken.
        EnvironmentFault: The store failed.
    """
    looks: dict[str, str] = {}  # by evaluation, the split that it judged on
    for record in promotions(default_store(), task.name):
        evaluation = record.evidence.get("evaluation")  # a person's decision has none
        if evaluation and record.digest != digest and record.decision != "unchanged":
            looks[str(evaluation)] = str(record.evidence.get("datasets", {}).get(_STEP, ""))
    same = {split: split == splits or _overlaps(split, task, test) for split in set(looks.values())}
    return 1 + sum(same[split] for split in looks.values())


def _overlaps(splits: str, task: Task, test: pd.DataFrame) -> bool:
    """Whether an earlier split's test rows are of the same clusters; one that is gone from the store counts as such."""
    unit = task.cluster or task.time
    columns = [unit] if unit else list(task.key)
    try:
        address = find_bundle(default_store(), splits).uri
    except BadInput:
        return True
    with read_dataset(address) as (_, tables):
        if TEST not in tables or not set(columns) <= set(tables[TEST].columns):
            return True
        earlier = tables[TEST].select(columns).distinct().to_pandas()
    return float(_units(test, columns, task).isin(_units(earlier, columns, task)).mean()) >= _SAME


def _units(frame: pd.DataFrame, columns: list[str], task: Task) -> pd.MultiIndex:
    if task.cluster is None and task.time is not None:
        return pd.MultiIndex.from_arrays([local_days(frame[task.time], task)])
    return pd.MultiIndex.from_frame(frame[columns])
