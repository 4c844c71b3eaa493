"""The rows that a registered model was judged by, raw, with its forecasts and their labels."""

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.registry.pyfunc_loader import DECISION, added_column
from sluice.sampling.folds import folds_of

if TYPE_CHECKING:
    from sluice.registry.predicting import OpenModel

_TEST = "test"
_MOST_ROWS = 1_000_000


def judged_table(model: "OpenModel") -> tuple[Any, tuple[str, ...]]:
    """The test rows as `sluice predict` would write them, their labels beside; and the ids of what they rest on.

    Raises:
        BadInput: The version names no dataset that it was judged by, or its rows cannot be found in the lake again.
    """
    splits = model.version.tags.get("sluice.splits")
    if not splits:
        raise BadInput(f"{model.name} names no dataset that it was judged by; register it again")
    bundle = find_bundle(model.store, splits)
    if folds_of(bundle) is not None:
        raise BadInput(
            f"{model.name} was judged in folds, so it learned from every row that it was judged by; give a file of "
            f"labelled rows that it did not learn from in its place, and --model {model.version.model}"
        )
    task, preparation = model.task, model.preparation
    with read_dataset(bundle.uri) as (_, tables):
        if _TEST not in tables:
            raise BadInput(f"{bundle.uri} has no part {_TEST!r} to hold present rows to")
        made = tables[_TEST].limit(_MOST_ROWS).to_pyarrow().to_pandas()
    answer, _ = model.judge(
        made[[name for name in task.features if name in made]], {} if task.regression else {DECISION: True}
    )
    told = list(answer.columns) if task.regression else list(task.classes)
    columns: dict[str, Any] = {task.label: made[task.label].to_numpy()}
    if task.regression:
        columns["prediction"] = answer[told[0]].to_numpy()
    else:
        columns["prediction"] = answer[added_column(DECISION, told)].to_numpy()
        columns |= {f"probability_{name}": answer[name].to_numpy() for name in told}
    raw = made.drop(columns=[task.label], errors="ignore")
    if preparation is not None and (key := [name for name in preparation.key if name in made]):
        with read_dataset(preparation.dataset.uri) as (_, lake):
            whole = lake[preparation.table].to_pyarrow().to_pandas()
        if set(key) <= set(whole.columns):
            raw = made[key].merge(whole, on=key, how="left", validate="one_to_one")
            raw = raw.drop(columns=[task.label], errors="ignore")
    frame = pd.concat([raw.reset_index(drop=True), pd.DataFrame(columns)], axis=1)
    return pa.Table.from_pandas(frame, preserve_index=False), (bundle.id, model.version.tags.get("sluice.models", ""))
