"""The step split: rows to train on, to validate on and to test on, with the design on record."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis

from components.common.bundles import Bundle
from components.common.datasets import labelled_rows, read_dataset, write_dataset
from components.common.engines import duckdb_engine
from components.common.errors import BadInput
from components.common.steps import default_store, producer, progress
from components.common.tasks import Task, task_of
from components.split.partition import PART, PARTS, at_random, by_time, check_shares

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
        BadInput: A parameter is wrong, or a part would lack a class.
    """
    exact = check_shares(shares)
    if strategy not in STRATEGIES:
        raise BadInput(f"parameter strategy={strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            labelled = labelled_rows(uri, tables)
            if strategy == "time" and not task.time:
                raise BadInput("parameter strategy='time': the rows have no time; use strategy 'stratified'")
            boundaries: list[str] = []
            if strategy == "time" and task.time:
                assigned, boundaries = by_time(labelled, task.time, exact)
            else:
                assigned = at_random(labelled, task.key, task.label, exact, seed)
            assigned = assigned.cache()
            parts = _describe(assigned, task)
            design: dict[str, Any] = {"strategy": strategy, "shares": [float(share) for share in exact], "parts": parts}
            design |= {"boundaries": boundaries} if boundaries else {"seed": seed, "strata": [task.label]}
            bundle = write_dataset(
                default_store(),
                {p: assigned.filter(assigned[PART] == p).drop(PART).order_by(*task.key) for p in PARTS},
                producer("split", {"strategy": strategy, "shares": list(shares), "seed": seed}),
                parents=(parent.id,),
                design=design,
                details=parent.manifest.details,
            )
    summary.write_text(_summarize(bundle, task), encoding="utf-8")
    progress(", ".join(f"{part} {body['rows']:,}" for part, body in parts.items()) + " rows")
    return bundle


def _describe(assigned: ibis.Table, task: Task) -> dict[str, dict[str, Any]]:
    """Rows, share and label shares of each part.

    Raises:
        BadInput: A part lacks a class.
    """
    counted = assigned.group_by(PART, task.label).agg(n=assigned.count()).to_pyarrow().to_pylist()
    found = {(row[PART], row[task.label]): int(row["n"]) for row in counted}
    total = sum(found.values())
    parts: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        counts = {name: found.get((part, code), 0) for code, name in enumerate(task.classes)}
        for name, n in counts.items():
            if not n:
                raise BadInput(
                    f"part {part!r} would hold no row of class {name!r} of label {task.label!r}; "
                    "use more rows, other shares, or strategy 'stratified'"
                )
        rows = sum(counts.values())
        parts[part] = {"rows": rows, "share": rows / total, "label": {name: n / rows for name, n in counts.items()}}
    return parts


def _summarize(bundle: Bundle, task: Task) -> str:
    design = bundle.manifest.design
    way = (
        f"Cut at {' and '.join(design['boundaries'])}"
        if "boundaries" in design
        else f"At random, seed {design['seed']}"
    )
    lines = [f"# {bundle.rows:,} rows in three parts", "", f"{way}; dataset `{bundle.id[:12]}`.", ""]
    lines += [f"| part | rows | share | {' | '.join(task.classes)} |"]
    lines += ["| --- | ---: | ---: |" + " ---: |" * len(task.classes)]
    for name in PARTS:
        part = design["parts"][name]
        shares = " | ".join(f"{part['label'][value]:.1%}" for value in task.classes)
        lines += [f"| {name} | {part['rows']:,} | {part['share']:.1%} | {shares} |"]
    return "\n".join(lines) + "\n"
