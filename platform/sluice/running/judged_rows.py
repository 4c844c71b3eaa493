"""The rows that a registered model was judged by, raw, with its forecasts and their labels.

A model that was judged in folds learned from all of its rows. Of each of them those models speak that the same recipe
made without the row's fold: their files lie beside the registered ones.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import local_copy
from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.evaluation.candidates import read_candidates
from sluice.evaluation.folds import out_of_fold, read_folds
from sluice.registry.pyfunc_loader import DECISION, added_column
from sluice.sampling.folds import Folds, folds_of

if TYPE_CHECKING:
    from sluice.registry.predicting import OpenModel

_TEST = "test"
_MOST_ROWS = 1_000_000


def judged_table(model: "OpenModel") -> tuple[Any, tuple[str, ...]]:
    """The test rows as `sluice predict` would write them, their labels beside; and the ids of what they rest on.

    Of a model that was judged in folds all rows, each with what the models say that were fitted without its fold.

    Raises:
        BadInput: The version names no dataset that it was judged by, or its rows cannot be found in the lake again.
    """
    splits = model.version.tags.get("sluice.splits")
    if not splits:
        raise BadInput(f"{model.name} names no dataset that it was judged by; register it again")
    bundle = find_bundle(model.store, splits)
    folds = folds_of(bundle)
    task, preparation = model.task, model.preparation
    with read_dataset(bundle.uri) as (_, tables):
        if _TEST not in tables:
            raise BadInput(f"{bundle.uri} has no part {_TEST!r} to hold present rows to")
        made = tables[_TEST].limit(_MOST_ROWS).to_pyarrow().to_pandas()
    columns: dict[str, Any] = {task.label: made[task.label].to_numpy()}
    columns |= _said(model, made) if folds is None else _said_out_of_fold(model, made, folds)
    raw = made.drop(columns=[task.label, *([folds.column] if folds else [])], errors="ignore")
    if preparation is not None and (key := [name for name in preparation.key if name in made]):
        with read_dataset(preparation.dataset.uri) as (_, lake):
            whole = lake[preparation.table].to_pyarrow().to_pandas()
        if set(key) <= set(whole.columns):
            raw = made[key].merge(whole, on=key, how="left", validate="one_to_one")
            raw = raw.drop(columns=[task.label], errors="ignore")
    frame = pd.concat([raw.reset_index(drop=True), pd.DataFrame(columns)], axis=1)
    return pa.Table.from_pandas(frame, preserve_index=False), (bundle.id, model.version.tags.get("sluice.models", ""))


def _said(model: "OpenModel", made: pd.DataFrame) -> dict[str, Any]:
    """The columns of the model's own forecast."""
    task = model.task
    answer, _ = model.judge(
        made[[name for name in task.features if name in made]], {} if task.regression else {DECISION: True}
    )
    if task.regression:
        return {"prediction": answer[answer.columns[0]].to_numpy()}
    told = list(task.classes)
    called = answer[added_column(DECISION, told)].to_numpy()
    return {"prediction": called} | {f"probability_{name}": answer[name].to_numpy() for name in told}


def _said_out_of_fold(model: "OpenModel", made: pd.DataFrame, folds: Folds) -> dict[str, Any]:
    """The same columns by the models of the folds; each one's own threshold decides its rows' class.

    Raises:
        BadInput: A fold's model is missing or was changed.
    """
    task, candidate = model.task, model.version.tags.get("sluice.candidate", "")
    bundle = find_bundle(model.store, model.version.tags.get("sluice.models", ""))
    with local_copy(bundle) as folder:
        chosen = [each for each in read_candidates(folder, bundle.uri) if each.name == candidate]
        if not chosen:
            raise BadInput(f"{bundle.uri} has no candidate {candidate!r}, which {model.name} is; register it again")
        found = out_of_fold(read_folds(folder, folds, chosen, made, task), [candidate] * folds.number)
    if task.regression:
        return {"prediction": found.scores}
    codes = found.scores.argmax(axis=1) if found.bars is None else (found.scores[:, 1] >= found.bars).astype(int)
    shares = {f"probability_{name}": found.scores[:, place] for place, name in enumerate(task.classes)}
    return {"prediction": np.array(task.classes, object)[codes]} | shares
