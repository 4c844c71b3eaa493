"""The step prepare: from validated tables to one table of labelled rows that carries its learning task."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import ibis

from components.common.bundles import Bundle
from components.common.contracts import Contract, contract_from_body
from components.common.datasets import read_dataset, write_dataset
from components.common.engines import duckdb_engine
from components.common.errors import BadInput
from components.common.steps import default_store, producer, progress
from components.common.tasks import Task
from components.prepare.gate import Feature, check_features, check_lag
from components.prepare.masks import mask
from components.prepare.recipes import LEFT_OUT, Recipe, check_needs, choose_features, recipe_named
from components.prepare.summaries import summarize


def run(uri: str, *, recipe: str, features: Sequence[str], summary: Path) -> Bundle:
    """Prepare a dataset of validated tables.

    Args:
        uri: The dataset that ingest made and validate passed.
        recipe: A name in `components.prepare.recipes.RECIPES`.
        features: Columns of the recipe to learn from; none for the recipe's own choice.
        summary: Where to write the account in Markdown.

    Returns:
        A dataset with the table `rows`, ordered by key.

    Raises:
        BadInput: A parameter is unknown, a feature leaks, a key repeats, or the label has a single class.
    """
    chosen = recipe_named(recipe)
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            contract = _contract_of(parent)
            check_needs(chosen, recipe, tables)
            masked, counts = mask(tables, contract)
            wide = chosen.build(masked)
            names = choose_features(chosen, wide, features)
            passed = check_features(wide, names, contract)
            progress(f"{len(passed)} features passed the leakage gate")
            task = task_from(chosen, wide, names)
            built = wide.cache()
            check_lag(built, passed, chosen.time)
            rows = _rows(chosen, built, task)
            details = task.details() | {
                "recipe": recipe,
                "features": [_feature_body(feature) for feature in passed],
                "left_out": _left_out(built),
                "masked": counts,
                "classes": _check_rows(rows, task),
            }
            bundle = write_dataset(
                default_store(),
                {"rows": rows.order_by(*task.key)},
                producer("prepare", {"recipe": recipe, "features": list(features)}),
                parents=(parent.id,),
                details=details,
            )
    summary.write_text(summarize(task, bundle, passed), encoding="utf-8")
    left_out = ", ".join(f"{n:,} {why}" for why, n in details["left_out"].items())
    progress(f"{bundle.rows:,} rows; left out: {left_out or 'none'}")
    return bundle


def task_from(recipe: Recipe, table: ibis.Table, features: Sequence[str]) -> Task:
    """The learning task of a recipe with these features; numbers and strings are told apart by the table's types."""
    strings = [name for name in features if table[name].type().is_string()]
    return Task(
        name=recipe.task,
        question=recipe.question,
        label=recipe.label,
        classes=recipe.classes,
        key=recipe.key,
        numeric=tuple(name for name in features if name not in strings),
        categorical=tuple(strings),
        time=recipe.time,
        slices=recipe.slices,
        heuristic=recipe.heuristic if recipe.heuristic in features else None,
    )


def _contract_of(parent: Bundle) -> Contract:
    if "contract" not in parent.manifest.details:
        raise BadInput(f"{parent.uri} carries no contract; use a dataset made by ingest")
    return contract_from_body(parent.manifest.details["contract"], f"the contract of {parent.uri}")


def _rows(recipe: Recipe, built: ibis.Table, task: Task) -> ibis.Table:
    kept = built.filter(built[LEFT_OUT].isnull())
    booleans = {name: kept[name].cast("int64") for name in task.numeric if kept[name].type().is_boolean()}
    names = dict.fromkeys((*task.key, recipe.time, *task.slices, *task.features, task.label))
    return kept.mutate(**booleans).select(*names)


def _check_rows(rows: ibis.Table, task: Task) -> dict[str, int]:
    """Count the rows of each class, after checking that the key identifies them.

    Raises:
        BadInput: The key repeats or is missing, or a class has no row.
    """
    for name in task.key:
        if rows.filter(rows[name].isnull()).count().execute():
            raise BadInput(f"key column {name!r} is null in some rows, or breaks its contract; mend the lake's table")
    keys = rows.group_by(*task.key).having(rows.count() > 1).agg().limit(1).to_pyarrow().to_pylist()
    if keys:
        shown = ", ".join(f"{name}={value}" for name, value in keys[0].items())
        raise BadInput(f"several rows have the key {shown}; remove the duplicates from the lake's tables")
    found = rows.group_by(task.label).agg(n=rows.count()).to_pyarrow().to_pylist()
    counts = {row[task.label]: int(row["n"]) for row in found}
    for code, name in enumerate(task.classes):
        if not counts.get(code):
            raise BadInput(
                f"label {task.label!r} has no row of class {name!r} among {sum(counts.values())} rows: "
                "there is nothing to tell apart; use data that holds both"
            )
    return {name: counts[code] for code, name in enumerate(task.classes)}


def _left_out(built: ibis.Table) -> dict[str, int]:
    reasons = built.filter(built[LEFT_OUT].notnull()).group_by(LEFT_OUT).agg(n=lambda t: t.count()).order_by(LEFT_OUT)
    return {row[LEFT_OUT]: int(row["n"]) for row in reasons.to_pyarrow().to_pylist()}


def _feature_body(feature: Feature) -> dict[str, object]:
    body: dict[str, object] = {"name": feature.name, "sources": list(feature.sources)}
    return body | {"availability": feature.availability.name.lower(), "observed_at": feature.observed_at}
