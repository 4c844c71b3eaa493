"""The step split: rows to train on, to validate on and to test on, with the design on record."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from sluice.parameters.split import PARTS, check_gap, check_shares, check_strategy
from sluice.problems.task import Task, task_of
from sluice.project.code import open_code
from sluice.sampling.division import divide
from sluice.sampling.overlap import find_overlap
from sluice.sampling.split_summary import summarize
from sluice.sampling.splitters import SPLITTERS, Plan
from sluice.storage.locations import default_store

_TENTHS = 10


def run(
    uri: str,
    *,
    strategy: str,
    shares: Sequence[float],
    seed: int,
    summary: Path,
    gap: str = "",
    code: str = "",
) -> Bundle:
    """Split a dataset that carries a task.

    Args:
        uri: A dataset with the table `rows`.
        strategy: A name of `SPLITTERS`, or `file.py:name` of a project.
        shares: Of train, validation and test.
        seed: Any integer; a split by time does not use it.
        summary: Where to write the account in Markdown.
        gap: How long before validation and test begin rows are left out; empty for as long as the label takes.
        code: The address of the project's code, for a splitter of its own.

    Returns:
        A dataset with the tables train, validation and test, each ordered by key.

    Raises:
        BadInput: A parameter is wrong, a part would lack a class, or most test rows would be copies of training rows.
    """
    exact, wait = check_shares("shares", shares), check_gap("gap", gap)
    check_strategy("strategy", strategy)
    if wait and strategy in SPLITTERS.names() and strategy != "time":
        raise BadInput(f"parameter gap={gap!r} is for a split by time, and this one is by {strategy}; leave it out")
    opened = open_code(code) if code else None
    splitter = SPLITTERS.get(strategy, opened)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            population_of(parent)  # refuses a sample whose rows have no weights
            labelled = labelled_rows(uri, tables)
            part = free_name("_part", labelled.columns)
            with opened.blamed(strategy) if opened else nullcontext():
                divided = divide(splitter, labelled, Plan(task, exact, seed, part, wait), strategy)
                assigned = divided.rows.cache()
            left_out = _left_out(assigned, part)
            parts = _describe(assigned, task, part)
            rows = {name: int(body["rows"]) for name, body in parts.items()}
            reconcile("step split", parent.manifest.tables["rows"].rows, rows, left_out)
            overlap = find_overlap(_kept(assigned, task, part), task, part) if divided.at_random else None
            own = {"gap": gap} if gap else {}
            own |= {"code": opened.digest} if opened else {}
            design = {"strategy": strategy, "shares": [float(share) for share in exact], "parts": parts}
            design |= {"left_out": left_out} if left_out else {}
            bundle = write_dataset(
                default_store(),
                {p: assigned.filter(assigned[part] == p).drop(part).order_by(*task.key) for p in PARTS},
                producer("split", {"strategy": strategy, "shares": list(shares), "seed": seed} | own),
                parents=(parent.id,),
                design=design | dict(divided.design),
                details=parent.manifest.details,
                notes=overlap.notes() if overlap else {},  # sums of floats, which no two machines need agree on
                expected=rows,
            )
    summary.write_text(summarize(bundle, task), encoding="utf-8")
    progress(", ".join(f"{name} {body['rows']:,}" for name, body in parts.items()) + " rows")
    for reason, number in left_out.items():
        progress(f"{number:,} rows left out: {reason}")
    for warning in overlap.warnings if overlap else ():
        progress(f"warning: {warning}")
    return bundle


def _kept(assigned: ibis.Table, task: Task, part: str) -> ibis.Table:
    """The rows of the parts; a label that is a number as the tenth in which it lies, as overlap looks for classes."""
    kept = assigned.filter(assigned[part].isin(PARTS))
    return kept.mutate(ibis.ntile(_TENTHS).over(order_by=task.label).name(task.label)) if task.regression else kept


def _left_out(assigned: ibis.Table, part: str) -> dict[str, int]:
    """Rows that are in no part, by the reason.

    Raises:
        BadInput: A row has neither part nor reason.
    """
    count = free_name("_n", assigned.columns)
    counted = assigned.group_by(part).agg(assigned.count().name(count)).order_by(part).to_pyarrow().to_pylist()
    rows = {row[part]: int(row[count]) for row in counted if row[part] not in PARTS}
    if None in rows:
        raise BadInput(
            f"{rows[None]:,} rows have neither a part nor a reason why they are in none; the splitter must name "
            f"{', '.join(PARTS)} or the reason"
        )
    return rows


def _describe(assigned: ibis.Table, task: Task, part: str) -> dict[str, dict[str, Any]]:
    """Rows, share and label of each part, that of the population too where rows weigh differently.

    Raises:
        BadInput: A part has no row, or lacks a class.
    """
    if task.regression:
        return _describe_numbers(assigned, task, part)
    counts, weights = _count(assigned, task, part)
    total = sum(n for (name, _), n in counts.items() if name in PARTS)
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


def _describe_numbers(assigned: ibis.Table, task: Task, part: str) -> dict[str, dict[str, Any]]:
    """The same for a label that is a number: its least, middle and greatest value, which all machines agree on."""
    label = assigned[task.label]
    wanted = {"rows": label.count(), "least": label.min(), "median": label.median(), "greatest": label.max()}
    aliases = {name: free_name(f"_{name}", assigned.columns) for name in wanted}
    found = assigned.group_by(part).agg([value.name(aliases[name]) for name, value in wanted.items()])
    bodies = {row[part]: {name: row[aliases[name]] for name in wanted} for row in found.to_pyarrow().to_pylist()}
    total = sum(body["rows"] for name, body in bodies.items() if name in PARTS)
    parts: dict[str, dict[str, Any]] = {}
    for name in PARTS:
        if name not in bodies:
            raise BadInput(f"part {name!r} would hold no row; use more rows, or other shares")
        rows = int(bodies[name].pop("rows"))
        parts[name] = {"rows": rows, "share": rows / total, "label": bodies[name]}
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
