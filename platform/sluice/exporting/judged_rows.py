"""The rows that a model was judged by: raw as the lake has them, and as training prepared them, batch by batch."""

from collections.abc import Iterator
from typing import Any

import ibis
import pandas as pd

from sluice.artifacts.bundles import Bundle
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.engine.duckdb_engine import arrow_batches, duckdb_engine
from sluice.exporting.parity import JudgedRows
from sluice.exporting.refusals import NotExportable
from sluice.features.preparations import Preparation
from sluice.features.roles import key_of
from sluice.problems.task import Task, task_of

TEST = "test"
BATCH_ROWS, BATCH_IMAGES = 20_000, 200


def judged_rows(splits: Bundle, preparation: Preparation | None, task: Task) -> Iterator[JudgedRows]:
    """All test rows; memory holds a batch.

    Args:
        splits: What the model learned from, with the part `test`.
        preparation: How its rows were prepared; None where they are features as they are.
        task: What is predicted.

    Raises:
        NotExportable: A test row cannot be found in the lake's table again.
        BadInput: The dataset or the lake's is gone, or was changed.
    """
    engine = duckdb_engine(threads=1)
    with read_dataset(splits.uri, engine) as (_, tables):
        if TEST not in tables:
            raise BadInput(f"{splits.uri} has no part {TEST!r} to hold the model to; run the step split again")
        test = tables[TEST]
        if preparation is None:
            names = [name for name in task.features if name in test.columns]
            for frame in _frames(test.select(*names), BATCH_IMAGES if task.image else BATCH_ROWS):
                yield JudgedRows(frame, frame)
            return
        with read_dataset(preparation.dataset.uri, engine) as (_, lake):
            yield from _matched(test, lake[preparation.table], preparation, task_of(splits))


def _matched(test: ibis.Table, raw: ibis.Table, preparation: Preparation, task: Task) -> Iterator[JudgedRows]:
    """Each prepared row beside the raw row that it was made of, found by its key, or by its place where it has none."""
    columns = list(raw.columns)
    if row_number := key_of(preparation.declared.rows, preparation.contract, raw)[1]:
        raw = raw.mutate(ibis.row_number().name(row_number))
    key = list(task.key)
    if not key or not set(key) <= set(raw.columns):
        raise NotExportable(
            f"the key {', '.join(key) or '(none)'} is not one of the lake's, so test rows have no raw row"
        )
    ours = raw.select(
        *(raw[name].name(f"r{place}") for place, name in enumerate(columns)),
        *(raw[name].name(f"k{place}") for place, name in enumerate(key)),
        ibis.literal(True).name("there"),
    )
    names = list(test.columns)
    theirs = test.select(*(test[name].name(f"p{place}") for place, name in enumerate(names)))
    same: list[Any] = [theirs[f"p{names.index(name)}"] == ours[f"k{place}"] for place, name in enumerate(key)]
    for both in _frames(theirs.left_join(ours, same)):
        if lacking := int(both["there"].isna().sum()):
            raise NotExportable(f"{lacking:,} of {len(both):,} test rows are not in the lake's table by their key")
        made = both[[f"p{place}" for place in range(len(names))]].set_axis(names, axis=1)
        yield JudgedRows(both[[f"r{place}" for place in range(len(columns))]].set_axis(columns, axis=1), made)


def _frames(table: ibis.Table, rows: int = BATCH_ROWS) -> Iterator[pd.DataFrame]:
    for batch in arrow_batches(table, rows):
        if batch.num_rows:
            yield batch.to_pandas()
