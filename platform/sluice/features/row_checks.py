"""What must hold of a recipe's rows before they are published."""

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


def count_classes(rows: ibis.Table, task: Task) -> dict[str, int]:
    """Count the rows of each class.

    Args:
        rows: What is learned from: rows with a reason to be left out are gone.
        task: Says the label and its classes.

    Raises:
        BadInput: The label is no whole number, is null in a row, is no class's code, or a class has no row.
    """
    kind = rows[task.label].type()
    if not (kind.is_integer() or kind.is_boolean()):
        raise BadInput(f"label {task.label!r} is {kind}; make it the class's code, a whole number from 0")
    counted = rows.group_by(code=rows[task.label]).agg(n=rows.count()).to_pyarrow().to_pylist()
    counts = {row["code"]: int(row["n"]) for row in counted}
    wrong = next((code for code in counts if code is None or int(code) not in range(len(task.classes))), 0)
    if wrong is None or int(wrong) not in range(len(task.classes)):
        key = rows.filter(rows[task.label].identical_to(ibis.literal(wrong, kind))).select(*task.key)
        first = _shown(key.order_by(*task.key).limit(1).to_pyarrow().to_pylist()[0])
        raise BadInput(_wrong_code(task, wrong, counts[wrong], first))
    for code, name in enumerate(task.classes):
        if not counts.get(code):
            raise BadInput(
                f"label {task.label!r} has no row of class {name!r} among {sum(counts.values())} rows: "
                "there is nothing to tell apart; use data that holds both"
            )
    return {name: counts[code] for code, name in enumerate(task.classes)}


def _wrong_code(task: Task, code: int | None, rows: int, first: str) -> str:
    if code is None:
        return (
            f"label {task.label!r} is null in {rows:,} rows that are not left out (first: {first}); "
            "say in the column 'left_out' why such a row cannot be learned from"
        )
    return (
        f"label {task.label!r} is {code} in {rows:,} rows (first: {first}), which is no class; "
        f"the codes of {', '.join(map(repr, task.classes))} are 0 to {len(task.classes) - 1}"
    )


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())
