"""The step split: rows to train on, to validate on and to test on, with the design on record."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.populations import population_of
from sluice.artifacts.producer import producer
from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import labelled_rows, read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.row_counts import reconcile
from sluice.parameters.split import PARTS, check_shares
from sluice.problems.task import Task, task_of
from sluice.sampling.overlap import find_overlap
from sluice.sampling.partition import at_random, by_time
from sluice.sampling.split_summary import summarize
from sluice.storage.locations import default_store

STRATEGIES = ("time", "stratified")


def run(uri: str, *, strategy: str, shares: Sequence[float], seed: int, summary: Path) -> Bundle:
    """Split a dataset that carries a task.

    Args:
        uri: A dataset with the table `rows`.
        strategy: `time` or `stratified`.
        shares: Of train, validation and test.
        seed: Any integer; a split by time does not use it.
        summary: Where to write the account in Markdown.

    Returns:
        A dataset with the tables train, validation and test, each ordered by key.

    Raises:
        BadInput: A parameter is wrong, a part would lack a class, or most test rows would be copies of training rows.
    """
    exact = check_shares("shares", shares)
    if strategy not in STRATEGIES:
        raise BadInput(f"parameter strategy={strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            population_of(parent)  # refuses a sample whose rows have no weights
            labelled = labelled_rows(uri, tables)
            part = free_name("_part", labelled.columns)
            assigned, way = _assign(labelled, task, strategy, exact, seed, part)
            assigned = assigned.cache()
            parts = _describe(assigned, task, part)
            rows = {name: int(body["rows"]) for name, body in parts.items()}
            reconcile("step split", parent.manifest.tables["rows"].rows, rows)
            overlap = find_overlap(assigned, task, part) if strategy == "stratified" else None
            bundle = write_dataset(
                default_store(),
                {p: assigned.filter(assigned[part] == p).drop(part).order_by(*task.key) for p in PARTS},
                producer("split", {"strategy": strategy, "shares": list(shares), "seed": seed}),
                parents=(parent.id,),
                design={"strategy": strategy, "shares": [float(share) for share in exact], "parts": parts, **way},
                details=parent.manifest.details,
                notes=overlap.notes() if overlap else {},  # sums of floats, which no two machines need agree on
                expected=rows,
            )
    summary.write_text(summarize(bundle, task), encoding="utf-8")
    progress(", ".join(f"{name} {body['rows']:,}" for name, body in parts.items()) + " rows")
    for warning in overlap.warnings if overlap else ():
        progress(f"warning: {warning}")
    return bundle


def _assign(
    rows: ibis.Table, task: Task, strategy: str, shares: Sequence[Fraction], seed: int, part: str
) -> tuple[ibis.Table, dict[str, Any]]:
    """The rows with their part, and how it was decided, for the design.

    Raises:
        BadInput: The rows have no time to go by, or one that cannot be cut.
    """
    if strategy == "stratified":
        return at_random(rows, task.key, task.label, shares, seed, part), {"seed": seed, "strata": [task.label]}
    if not task.time:
        raise BadInput("parameter strategy='time': the rows have no time; use strategy 'stratified'")
    assigned, boundaries = by_time(rows, task.time, task.timezone, shares, part)
    return assigned, {"boundaries": boundaries, "timezone": task.timezone}


def _describe(assigned: ibis.Table, task: Task, part: str) -> dict[str, dict[str, Any]]:
    """Rows, share and label shares of each part, those of the population too where rows weigh differently.

    Raises:
        BadInput: A part lacks a class.
    """
    counts, weights = _count(assigned, task, part)
    total = sum(counts.values())
    parts: dict[str, dict[str, Any]] = {}
    for name in PARTS:
        label = {value: counts.get((name, code), 0) for code, value in enumerate(task.classes)}
        for value, n in label.items():
            if not n:
                raise BadInput(
                    f"part {name!r} would hold no row of class {value!r} of label {task.label!r}; "
                    "use more rows, other shares, or strategy 'stratified'"
                )
        rows = sum(label.values())
        parts[name] = {"rows": rows, "share": rows / total, "label": {value: n / rows for value, n in label.items()}}
        if task.weight is not None:
            weighed = {value: weights[name, code] for code, value in enumerate(task.classes)}
            parts[name]["weighted_label"] = {value: w / math.fsum(weighed.values()) for value, w in weighed.items()}
    return parts


def _count(assigned: ibis.Table, task: Task, part: str) -> tuple[dict[tuple[str, int], int], Mapping[Any, float]]:
    """Rows, and the sum of their weights, by part and class code.

    Raises:
        BadInput: The rows miss the weight column that their task names.
    """
    if task.weight is not None and task.weight not in assigned.columns:
        raise BadInput(f"the rows have no weight column {task.weight!r}, which their task names; run sample again")
    count = free_name("_n", assigned.columns)
    # By weight, of which a sample has few: `fsum` then adds exactly, and the order of rows and threads does not matter.
    groups = [part, task.label, *([task.weight] if task.weight else [])]
    rows: dict[tuple[str, int], int] = {}
    terms: dict[tuple[str, int], list[float]] = {}
    for row in assigned.group_by(*groups).agg(**{count: lambda t: t.count()}).to_pyarrow().to_pylist():
        place = (row[part], row[task.label])
        rows[place] = rows.get(place, 0) + int(row[count])
        terms.setdefault(place, []).append(row[count] * (row[task.weight] if task.weight else 1.0))
    return rows, {place: math.fsum(found) for place, found in terms.items()}
