"""The step sample: a seeded random part of a table, with its design on record."""

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
from components.common.tasks import task_of
from components.sample.allocation import allocate, check_allocation
from components.sample.drawing import Stratum, count_strata, draw


def run(
    uri: str, *, fraction: float, rows: int, strata: Sequence[str], allocation: str, seed: int, summary: Path
) -> Bundle:
    """Draw a sample of a prepared dataset.

    Args:
        uri: A dataset with the table `rows` and a task, whose key identifies rows.
        fraction: The part to draw, in (0, 1].
        rows: How many rows to draw; 0 to go by the fraction.
        strata: Columns whose combinations are sampled each for itself; none for a simple random sample.
        allocation: `proportional` or `equal`.
        seed: Any integer.
        summary: Where to write the account in Markdown.

    Returns:
        A dataset with the table `rows`, ordered by key. Its design has every stratum's inclusion probability.

    Raises:
        BadInput: A parameter is out of range or names a missing column, or keys repeat.
    """
    check_size(fraction, rows)
    check_allocation(allocation)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            labelled = labelled_rows(uri, tables)
            plan = plan_sample(labelled, strata, fraction, rows, allocation)
            parameters = {"fraction": fraction, "rows": rows, "strata": list(strata), "allocation": allocation}
            bundle = write_dataset(
                default_store(),
                {"rows": draw(labelled, task.key, strata, plan, seed)},
                producer("sample", parameters | {"seed": seed}),
                parents=(parent.id,),
                design=_design(plan, task.key, strata, allocation, seed),
                details=parent.manifest.details,
            )
    summary.write_text(_summarize(bundle), encoding="utf-8")
    progress(f"{bundle.rows:,} of {parent.rows:,} rows in {len(plan)} strata")
    return bundle


def check_size(fraction: float, rows: int) -> None:
    """Refuse a size that no sample has.

    Raises:
        BadInput: The fraction is outside (0, 1] (or is no number), or rows is negative.
    """
    if not 0 < fraction <= 1:
        raise BadInput(f"parameter fraction={fraction} is outside (0, 1]; use 1 to keep every row")
    if rows < 0:
        raise BadInput(f"parameter rows={rows} is negative; use 0 to draw by the fraction")


def plan_sample(table: ibis.Table, strata: Sequence[str], fraction: float, rows: int, allocation: str) -> list[Stratum]:
    """Decide how many rows each stratum gives; the total is exact, and no stratum gives none.

    Raises:
        BadInput: More rows are wanted than there are, or a stratum column cannot serve.
    """
    groups = count_strata(table, strata)
    sizes = [size for _, size in groups]
    if rows > sum(sizes):
        raise BadInput(f"parameter rows={rows} is more than the {sum(sizes)} rows there are; ask for fewer")
    total = rows or max(1, round(fraction * sum(sizes)))
    drawn = allocate(sizes, total, allocation)
    return [Stratum(values, size, n) for (values, size), n in zip(groups, drawn, strict=True)]


def _design(
    plan: Sequence[Stratum], key: Sequence[str], strata: Sequence[str], allocation: str, seed: int
) -> dict[str, Any]:
    return {
        "strategy": "stratified" if strata else "simple",
        "seed": seed,
        "key": list(key),
        "strata": list(strata),
        "allocation": allocation,
        "rows": sum(stratum.rows for stratum in plan),
        "sampled": sum(stratum.sampled for stratum in plan),
        "groups": [
            {"values": list(s.values), "rows": s.rows, "sampled": s.sampled, "probability": s.probability} for s in plan
        ],
    }


def _summarize(bundle: Bundle) -> str:
    design = bundle.manifest.design
    lines = [f"# {design['sampled']:,} of {design['rows']:,} rows", ""]
    lines += [f"{design['strategy'].capitalize()} random sample, seed {design['seed']}, dataset `{bundle.id[:12]}`."]
    if design["strata"]:
        lines += [f"Allocation {design['allocation']}; every stratum keeps at least one row.", ""]
        lines += [f"| {' | '.join(design['strata'])} | rows | drawn | probability |"]
        lines += ["| --- " * len(design["strata"]) + "| ---: | ---: | ---: |"]
        for group in design["groups"]:
            values = " | ".join("missing" if value is None else str(value) for value in group["values"])
            lines += [f"| {values} | {group['rows']:,} | {group['sampled']:,} | {group['probability']:.4f} |"]
    return "\n".join(lines) + "\n"
