"""The step sample: a seeded random part of a table, with its design on record."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.populations import Population, population_of
from sluice.artifacts.producer import producer
from sluice.core.column_names import free_name
from sluice.core.errors import BadInput
from sluice.core.parameter_checks import check_with
from sluice.core.progress import progress
from sluice.engine.datasets import labelled_rows, read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.row_counts import reconcile
from sluice.extending.samplers import SAMPLERS, Draw
from sluice.parameters.sample import CHECKS, check_by
from sluice.problems.task import Task, task_of
from sluice.project.code import open_code
from sluice.sampling.allocation import allocate, check_allocation
from sluice.sampling.drawing import PURPOSE, Stratum, Weighting, count_strata, draw
from sluice.sampling.own_draws import draw_by, spread
from sluice.sampling.sample_summary import summarize
from sluice.storage.locations import default_store


def run(
    uri: str,
    *,
    fraction: float,
    rows: int,
    strata: Sequence[str],
    allocation: str,
    seed: int,
    summary: Path,
    by: str = "",
    code: str = "",
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
        by: A sampler that says how probable each row is, instead of strata; empty for Sluice's own sample.
        code: The address of the project's code, for a sampler of its own.

    Returns:
        A dataset with the table `rows`, ordered by key. Its design has every stratum's inclusion probability; unless
        they are all equal, its rows have a weight, and its task names that column.

    Raises:
        BadInput: A parameter is out of range or names a missing column, or keys repeat.
    """
    check_with(CHECKS, {"fraction": fraction, "rows": rows})
    check_allocation(allocation)
    if by:
        return _run_by(uri, by, code, fraction=fraction, rows=rows, strata=strata, seed=seed, summary=summary)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task = task_of(parent)
            before = population_of(parent)
            labelled = labelled_rows(uri, tables)
            plan = plan_sample(labelled, strata, fraction, rows, allocation)
            strata_rows = {"strata": sum(stratum.rows for stratum in plan)}
            reconcile("step sample", parent.manifest.tables["rows"].rows, strata_rows)
            weighting = weigh(labelled, task, before, plan)
            after = replace(before, drawn=sum(stratum.sampled for stratum in plan), draws=before.draws + 1)
            weighted = replace(task, weight=weighting.column if weighting else None)
            parameters = {"fraction": fraction, "rows": rows, "strata": list(strata), "allocation": allocation}
            drawn = draw(labelled, task.key, strata, plan, seed, purpose=purpose(after.draws), weighting=weighting)
            bundle = write_dataset(
                default_store(),
                {"rows": drawn},
                producer("sample", parameters | {"seed": seed}),
                parents=(parent.id,),
                design=_design(plan, weighted, strata, allocation, seed, after),
                details={**parent.manifest.details, **weighted.details(), **after.details()},
                expected={"rows": after.drawn},
            )
    summary.write_text(summarize(bundle), encoding="utf-8")
    progress(f"{bundle.rows:,} of {parent.rows:,} rows in {len(plan)} strata")
    return bundle


def _run_by(
    uri: str, by: str, code: str, *, fraction: float, rows: int, strata: Sequence[str], seed: int, summary: Path
) -> Bundle:
    """Draw by a sampler of a project's or an installed package's; see `run`."""
    if strata:
        raise BadInput(
            f"parameter strata={list(strata)} is for Sluice's own sample, and this one is by {by}; leave it out"
        )
    opened = open_code(code) if code else None  # which may bring the sampler's package along
    check_by("by", by)
    sampler = SAMPLERS.opened(by, opened)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            task, before, table = task_of(parent), population_of(parent), labelled_rows(uri, tables)
            total = parent.manifest.tables["rows"].rows
            if rows > total:
                raise BadInput(f"parameter rows={rows} is more than the {total} rows there are; ask for fewer")
            wanted = rows or max(1, round(fraction * total))
            asked = Draw(free_name("probability", table.columns), total, wanted, seed, task.key, task.label)
            if task.weight is not None and task.weight not in table.columns:
                raise BadInput(
                    f"the rows have no weight column {task.weight!r}, which their task names; run sample again"
                )
            scale = Fraction(before.rows, before.drawn)
            drawn = draw_by(sampler, table, asked, purpose(before.draws + 1), task.weight, scale)
            after = replace(before, drawn=drawn.sampled, draws=before.draws + 1)
            weighted = replace(task, weight=drawn.weight)
            parameters = {"by": by, "fraction": fraction, "rows": rows, "seed": seed}
            design = spread(drawn, by, total, task.key, seed)
            bundle = write_dataset(
                default_store(),
                {"rows": drawn.rows},
                producer("sample", parameters | ({"code": opened.digest} if opened else {})),
                parents=(parent.id,),
                design=design | _population(after),
                details={**parent.manifest.details, **weighted.details(), **after.details()},
                expected={"rows": drawn.sampled},
            )
    summary.write_text(summarize(bundle), encoding="utf-8")
    progress(f"{bundle.rows:,} of {parent.rows:,} rows by {by}")
    return bundle


def _population(after: Population) -> dict[str, Any]:
    return {"draw": after.draws, "population": {"dataset": after.dataset, "rows": after.rows}}


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


def purpose(draws: int) -> str:
    """The name of the row order of the sample that makes so many draws in a row.

    A sample of a sample needs an order of its own: in the first one's, its rows are the first of their strata.
    """
    return PURPOSE if draws == 1 else f"{PURPOSE} {draws}"


def weigh(table: ibis.Table, task: Task, before: Population, plan: Sequence[Stratum]) -> Weighting | None:
    """How the drawn rows are weighted: by one over the product of their inclusion probabilities (Horvitz & Thompson).

    Args:
        table: What is sampled.
        task: Its task; it names the weights that the rows have from an earlier draw.
        before: The population that the table's rows stand for.
        plan: Every stratum with the rows to draw.

    Returns:
        None where all rows weigh the same, so that they need no weight: each stands for rows / drawn of the whole.

    Raises:
        BadInput: The rows miss the weights of the earlier draw.
    """
    _check_weight(table, task)
    if task.weight is not None:
        return Weighting(task.weight, task.weight)
    if len({stratum.share for stratum in plan}) == 1:
        return None
    return Weighting(free_name("weight", table.columns), Fraction(before.rows, before.drawn))


def _check_weight(table: ibis.Table, task: Task) -> None:
    if task.weight is not None and task.weight not in table.columns:
        raise BadInput(f"the rows have no weight column {task.weight!r}, which their task names; run sample again")


def _design(
    plan: Sequence[Stratum], task: Task, strata: Sequence[str], allocation: str, seed: int, after: Population
) -> dict[str, Any]:
    return {
        "strategy": "stratified" if strata else "simple",
        "seed": seed,
        "key": list(task.key),
        "strata": list(strata),
        "allocation": allocation,
        "rows": sum(stratum.rows for stratum in plan),
        "sampled": after.drawn,
        **_population(after),
        "weight": task.weight,
        "groups": [
            {"values": list(s.values), "rows": s.rows, "sampled": s.sampled, "probability": s.probability} for s in plan
        ],
    }
