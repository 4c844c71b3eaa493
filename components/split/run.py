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
from sluice.parameters.split import CHECKS, PARTS, check_gap, check_shares, check_strategy
from sluice.problems.task import Task, task_of
from sluice.project.code import open_code
from sluice.sampling.division import divide
from sluice.sampling.folds import names_of, tables_of
from sluice.sampling.overlap import find_overlap
from sluice.sampling.split_summary import summarize
from sluice.sampling.splitters import SPLITTERS, SplitPlan
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
    folds: int = 5,
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
        folds: How many folds there are, where rows are divided into folds.
        code: The address of the project's code, for a splitter of its own.

    Returns:
        A dataset with the tables train, validation and test, each ordered by key. With folds, `test` holds all rows and
        each table the fold of its rows; see `sluice.sampling.folds`.

    Raises:
        BadInput: A parameter is wrong, a part would lack a class, or most test rows would be copies of training rows.
    """
    opened = open_code(code) if code else None  # which may bring the splitter's package along
    exact, wait = check_shares("shares", shares), check_gap("gap", gap)
    check_strategy("strategy", strategy)
    CHECKS["folds"]("folds", folds)
    if wait and strategy in SPLITTERS.names() and strategy != "time":
        raise BadInput(f"parameter gap={gap!r} is for a split by time, and this one is by {strategy}; leave it out")
    splitter = SPLITTERS.get(strategy, opened)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            population_of(parent)  # refuses a sample whose rows have no weights
            labelled = labelled_rows(uri, tables)
            part = free_name("_part", labelled.columns)
            with opened.blamed(strategy) if opened else nullcontext():
                divided = divide(splitter, labelled, SplitPlan(task, exact, seed, part, wait, folds), strategy)
                assigned = divided.rows.cache()
            names = names_of(divided.folds) if divided.folds else PARTS
            left_out = _left_out(assigned, part, names)
            parts = _describe(assigned, task, part, names)
            rows = {name: int(body["rows"]) for name, body in parts.items()}
            reconcile("step split", parent.manifest.tables["rows"].rows, rows, left_out)
            overlap = (
                find_overlap(_kept(assigned, task, part, divided.folds), task, part) if divided.at_random else None
            )
            own: dict[str, Any] = {"gap": gap} if gap else {}
            own |= {"code": opened.digest} if opened else {}
            own |= {"folds": folds} if divided.folds else {}
            design: dict[str, Any] = {"strategy": strategy, "parts": parts}
            if divided.folds:
                marked, tables = tables_of(assigned.filter(assigned[part].isin(names)), part, divided.folds, task.key)
                rows = _rows_of_tables(rows)
                design |= marked.design()
            else:
                design |= {"shares": [float(share) for share in exact]}
                tables = {p: assigned.filter(assigned[part] == p).drop(part).order_by(*task.key) for p in PARTS}
            design |= {"left_out": left_out} if left_out else {}
            bundle = write_dataset(
                default_store(),
                tables,
                producer("split", {"strategy": strategy, "shares": list(shares), "seed": seed} | own),
                parents=(parent.id,),
                design=design | dict(divided.design),
                details=parent.manifest.details,
                notes=overlap.notes() if overlap else {},  # sums of floats, which no two machines need agree on
                expected=rows,
            )
    summary.write_text(summarize(bundle, task), encoding="utf-8")
    progress(("folds of " if divided.folds else "") + _counts_words(parts, divided.folds) + " rows")
    for reason, number in left_out.items():
        progress(f"{number:,} rows left out: {reason}")
    for warning in overlap.warnings if overlap else ():
        progress(f"warning: {warning}")
    return bundle


def _counts_words(parts: Mapping[str, Mapping[str, Any]], folds: int) -> str:
    return ", ".join(f"{body['rows']:,}" if folds else f"{name} {body['rows']:,}" for name, body in parts.items())


def _rows_of_tables(rows: Mapping[str, int]) -> dict[str, int]:
    """How many rows each table of a dataset of folds has, from the rows of each fold."""
    every, last = sum(rows.values()), list(rows.values())[-1]
    return {"train": every - last, "validation": last, "test": every}


def _kept(assigned: ibis.Table, task: Task, part: str, folds: int) -> ibis.Table:
    """The rows of the parts; a label that is a number as the tenth in which it lies, as overlap looks for classes.

    Of folds, half stand for those that are judged: copies and groups in several folds show as well there.
    """
    kept = assigned.filter(assigned[part].isin(names_of(folds) if folds else PARTS))
    if folds:
        kept = kept.mutate(**{part: ibis.ifelse(kept[part].cast("int64") % 2 == 0, "test", "train")})
    return kept.mutate(ibis.ntile(_TENTHS).over(order_by=task.label).name(task.label)) if task.regression else kept


def _left_out(assigned: ibis.Table, part: str, names: Sequence[str]) -> dict[str, int]:
    """Rows that are in no part, by the reason.

    Raises:
        BadInput: A row has neither part nor reason.
    """
    count = free_name("_n", assigned.columns)
    counted = assigned.group_by(part).agg(assigned.count().name(count)).order_by(part).to_pyarrow().to_pylist()
    rows = {row[part]: int(row[count]) for row in counted if row[part] not in names}
    if None in rows:
        raise BadInput(
            f"{rows[None]:,} rows have neither a part nor a reason why they are in none; the splitter must name "
            f"{', '.join(names)} or the reason"
        )
    return rows


def _describe(assigned: ibis.Table, task: Task, part: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows, share and label of each part, that of the population too where rows weigh differently.

    Raises:
        BadInput: A part has no row, or lacks a class.
    """
    if task.regression:
        return _describe_numbers(assigned, task, part, names)
    counts, weights = _count(assigned, task, part)
    total = sum(n for (name, _), n in counts.items() if name in names)
    parts: dict[str, dict[str, Any]] = {}
    for name in names:
        label = {value: counts.get((name, code), 0) for code, value in enumerate(task.classes)}
        for value, n in label.items():
            if not n:
                few = "other shares, or strategy 'stratified'" if name in PARTS else "fewer folds, or join rare classes"
                raise BadInput(
                    f"{_place(name)} would hold no row of class {value!r} of label {task.label!r}; use more rows, {few}"
                )
        rows = sum(label.values())
        parts[name] = {"rows": rows, "share": rows / total, "label": {value: n / rows for value, n in label.items()}}
        if task.weight is not None:
            weighed = {value: weights[name, code] for code, value in enumerate(task.classes)}
            parts[name]["weighted_label"] = {value: w / math.fsum(weighed.values()) for value, w in weighed.items()}
    return parts


def _place(name: str) -> str:
    return f"part {name!r}" if name in PARTS else f"fold {name}"


def _describe_numbers(assigned: ibis.Table, task: Task, part: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The same for a label that is a number: its least, middle and greatest value, which all machines agree on."""
    label = assigned[task.label]
    wanted = {"rows": label.count(), "least": label.min(), "median": label.median(), "greatest": label.max()}
    aliases = {name: free_name(f"_{name}", assigned.columns) for name in wanted}
    found = assigned.group_by(part).agg([value.name(aliases[name]) for name, value in wanted.items()])
    bodies = {row[part]: {name: row[aliases[name]] for name in wanted} for row in found.to_pyarrow().to_pylist()}
    total = sum(body["rows"] for name, body in bodies.items() if name in names)
    parts: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in bodies:
            few = "other shares" if name in PARTS else "fewer folds"
            raise BadInput(f"{_place(name)} would hold no row; use more rows, or {few}")
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
