"""What must hold of the rows before they are published."""

from typing import Any

import ibis

from sluice.core.errors import BadInput
from sluice.problems.task import Task


def check_keys(built: ibis.Table, task: Task) -> None:
    """Check that the key identifies every row, also those left out, and that the time is never missing.

    Were a row there twice, what is known too late could choose between the two by leaving one out.

    Raises:
        BadInput: A key repeats or is missing, or the time is.
    """
    for name in dict.fromkeys((*task.key, *([task.time] if task.time else []))):
        if built.filter(built[name].isnull()).count().to_pyarrow().as_py():
            raise BadInput(f"key column {name!r} is null in some rows, or breaks its contract; mend the lake's table")
    repeated = built.group_by(*task.key).having(built.count() > 1).agg().order_by(*task.key)
    keys = repeated.limit(1).to_pyarrow().to_pylist()
    if keys:
        raise BadInput(f"several rows have the key {_shown(keys[0])}; remove the duplicates from the lake's tables")


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())
