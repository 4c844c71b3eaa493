"""All rows that will be asked for in a past that is lived again, with what was known of each when it was asked.

The whole lake goes through ingest and prepare once. The gate of prepare proves every feature known at its row's moment,
so the rows of a day are what somebody would have sent on that day; labels are kept apart, and told when they are due.
"""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sluice.components.ingest.run import run as ingest
from sluice.components.prepare.run import run as prepare
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.operator.on_laptop.laptop_world import LaptopWorld
from sluice.problems.task import Task, task_of
from sluice.running.project_runs import order


@dataclass(frozen=True)
class AskedRows:
    """The rows.

    Attributes:
        task: What is asked.
        rows: Features, label and moment by column, in the order of time.
        moments: Each row's moment in microseconds since 1970, shape (rows,).
    """

    task: Task
    rows: pd.DataFrame
    moments: np.ndarray[Any, np.dtype[np.int64]]

    def between(self, since: datetime, until: datetime) -> pd.DataFrame:
        """The rows of a time, its end left out."""
        first, last = (np.searchsorted(self.moments, _microseconds(each)) for each in (since, until))
        return self.rows.iloc[int(first) : int(last)]


def prepare_rows(world: LaptopWorld, lake: Path) -> AskedRows:
    """Prepare all rows of a lake.

    Raises:
        BadInput: The lake or the project is not as it should be, or its rows have no moment.
        EnvironmentFault: The store failed.
    """
    ordered = order(world.operated.project, [f"lake={lake}"])
    given: dict[str, Any] = {"ingest_code": "", "prepare_code": "", "sources": {}} | ordered.publish(world.store)
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        summary = Path(folder) / "summary.md"
        tables = ingest(str(lake), summary=summary, sources=given["sources"], code=given["ingest_code"])
        made = prepare(tables.uri, task=given["task"], code=given["prepare_code"], summary=summary)
    task = task_of(made)
    if task.time is None:
        raise BadInput(f"{world.operated.project.shown}: its rows have no moment (rows: time), so no past can be lived")
    with read_dataset(made.uri) as (_, named):
        columns = [*task.features, task.label, task.time]
        rows = named["rows"].select(*dict.fromkeys(columns)).order_by(task.time).to_pandas()
    moments = pd.to_datetime(rows[task.time], utc=True).dt.as_unit("us").astype("int64").to_numpy()
    return AskedRows(task, rows.reset_index(drop=True), moments)


def _microseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1e6)
