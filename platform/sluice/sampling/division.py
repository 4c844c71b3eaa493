"""Sluice's own splitters: by time, at random, by label and by group; and the call of any splitter."""

from dataclasses import replace
from typing import Any

import ibis

from sluice.core.durations import duration_text
from sluice.core.errors import BadInput
from sluice.sampling import partition
from sluice.sampling.group_parts import by_group
from sluice.sampling.splitters import PARTS, Divided, SplitPlan, Splitter

_TENTHS = 10


def split_by_time(rows: ibis.Table, plan: SplitPlan) -> Divided:
    """Learn from the past, judge on the future; rows whose label is not known in time are left out.

    Raises:
        BadInput: The rows have no time to go by, or one that cannot be cut, or the gap leaves a part empty.
    """
    task = plan.task
    if not task.time:
        raise BadInput("parameter strategy='time': the rows have no time; use strategy 'stratified'")
    gap = (task.label_lag_seconds or 0.0) if plan.gap is None else plan.gap
    assigned, boundaries = partition.by_time(rows, task.time, task.timezone, plan.shares, plan.part, gap)
    design: dict[str, Any] = {"boundaries": boundaries, "timezone": task.timezone}
    return Divided(assigned, design | ({"gap": duration_text(gap)} if gap else {}), at_random=False)


def split_at_random(rows: ibis.Table, plan: SplitPlan) -> Divided:
    """Divide the rows by their place in a seeded random order."""
    assigned = partition.at_random(rows, plan.task.key, None, plan.shares, plan.seed, plan.part)
    return Divided(assigned, {"seed": plan.seed})


def split_by_label(rows: ibis.Table, plan: SplitPlan) -> Divided:
    """Divide the rows of each class by themselves; a label that is a number in tenths of its order."""
    task = plan.task
    tiles = _TENTHS if task.regression else 0
    assigned = partition.at_random(rows, task.key, task.label, plan.shares, plan.seed, plan.part, tiles=tiles)
    return Divided(assigned, {"seed": plan.seed, "strata": [task.label]})


def split_by_group(rows: ibis.Table, plan: SplitPlan) -> Divided:
    """Keep all rows of a group in one part.

    Raises:
        BadInput: The rows have no group, some have none, or there are fewer groups than parts.
    """
    task = plan.task
    if not task.cluster:
        raise BadInput("parameter strategy='group': the rows have no group; name it (rows.group), or use 'stratified'")
    assigned = by_group(
        rows, task.cluster, task.label, plan.shares, plan.seed, plan.part, PARTS, number=task.regression
    )
    return Divided(assigned, {"seed": plan.seed, "group": task.cluster})


def divide(splitter: Splitter, rows: ibis.Table, plan: SplitPlan, name: str) -> Divided:
    """Call a splitter, and check what it gives.

    Args:
        splitter: One of the registry's.
        rows: All rows.
        plan: How they are to be divided.
        name: The splitter's, for messages.

    Raises:
        BadInput: It gives no table of these rows with their parts.
    """
    found = splitter(rows, plan)
    divided = found if isinstance(found, Divided) else Divided(found)
    table = divided.rows
    if not isinstance(table, ibis.Table) or plan.part not in table.columns:
        raise BadInput(
            f"split strategy {name!r} gave no table with the column {plan.part!r}; return "
            f"rows.mutate(**{{plan.part: …}}), with {', '.join(PARTS)} or the reason why a row is in none"
        )
    if lost := [column for column in rows.columns if column not in table.columns]:
        raise BadInput(f"split strategy {name!r} lost the column {lost[0]!r}; keep all columns of the rows")
    if not table[plan.part].type().is_string():
        raise BadInput(f"split strategy {name!r} gave parts of type {table[plan.part].type()}; give their names, text")
    return replace(divided, rows=table.select(*rows.columns, plan.part))
