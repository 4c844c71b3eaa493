"""The step prepare: from validated tables to one table of labelled rows that carries its learning task."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.contract.reading import Contract, contract_from_body
from sluice.core.column_names import named
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.row_counts import reconcile
from sluice.features.masks import mask
from sluice.features.preparation_summary import summarize
from sluice.features.recipes import LEFT_OUT, Recipe, build, check_needs, choose_features, recipe_named
from sluice.features.row_checks import check_keys, count_classes
from sluice.leakage.gate import Feature, Gate, gate_of
from sluice.leakage.row_wise import row_wise
from sluice.problems.task import Task
from sluice.storage.locations import default_store


def run(uri: str, *, recipe: str, features: Sequence[str], summary: Path) -> Bundle:
    """Prepare a dataset of validated tables.

    Args:
        uri: The dataset that ingest made and validate passed.
        recipe: A name in `sluice.features.recipes.RECIPES`.
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
            wide = build(chosen, recipe, masked, engine)
            names = choose_features(chosen, wide, features)
            gate = gate_of(wide, tables, contract, chosen.time)
            passed = _pass(gate, chosen, names)
            progress(f"{len(passed)} features passed the leakage gate")
            task = task_from(chosen, wide, names, gate.timezone())
            built = wide.cache()
            check_keys(built, task)
            rows = _rows(built, task)
            alone = row_wise(wide, names, tables, chosen.time)
            left_out, classes = _left_out(built), count_classes(rows, task)
            reconcile("step prepare", int(built.count().to_pyarrow().as_py()), classes, left_out)
            details = task.details() | {
                "recipe": recipe,
                "features": [_feature_body(feature, alone) for feature in passed],
                "row_wise": alone,
                "left_out": left_out,
                "heuristic_left_out": chosen.heuristic if chosen.heuristic not in names else None,
                "masked": counts,
                "classes": classes,
            }
            bundle = write_dataset(
                default_store(),
                {"rows": rows.order_by(*task.key)},
                producer("prepare", {"recipe": recipe, "features": list(features)}),
                parents=(parent.id,),
                details=details,
                expected={"rows": sum(classes.values())},
            )
    summary.write_text(summarize(task, bundle, details, passed), encoding="utf-8")
    reasons = ", ".join(f"{n:,} {why}" for why, n in details["left_out"].items())
    progress(f"{bundle.rows:,} rows; left out: {reasons or 'none'}")
    return bundle


def task_from(recipe: Recipe, table: ibis.Table, features: Sequence[str], timezone: str) -> Task:
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
        timezone=timezone,
        cluster=recipe.cluster,
        slices=recipe.slices,
        heuristic=recipe.heuristic if recipe.heuristic in features else None,
    )


def _pass(gate: Gate, recipe: Recipe, names: Sequence[str]) -> list[Feature]:
    gate.rows(LEFT_OUT)
    gate.identity((*recipe.key, recipe.time))
    passed = [gate.feature(name) for name in names]
    gate.label(recipe.label)
    return passed


def _contract_of(parent: Bundle) -> Contract:
    if "contract" not in parent.manifest.details:
        raise BadInput(f"{parent.uri} carries no contract; use a dataset made by ingest")
    return contract_from_body(parent.manifest.details["contract"], f"the contract of {parent.uri}")


def _rows(built: ibis.Table, task: Task) -> ibis.Table:
    """The rows that are learned from. Those without a label are left out here, by this step, and counted."""
    kept = built.filter(built[LEFT_OUT].isnull())
    booleans = {name: kept[name].cast("int64") for name in task.numeric if kept[name].type().is_boolean()}
    cluster = (task.cluster,) if task.cluster else ()
    names = dict.fromkeys((*task.key, task.time, *task.slices, *cluster, *task.features, task.label))
    return kept.mutate(named(booleans)).select(*names)


def _left_out(built: ibis.Table) -> dict[str, int]:
    reasons = built.filter(built[LEFT_OUT].notnull()).group_by(LEFT_OUT).agg(n=lambda t: t.count()).order_by(LEFT_OUT)
    return {row[LEFT_OUT]: int(row["n"]) for row in reasons.to_pyarrow().to_pylist()}


def _feature_body(feature: Feature, alone: Mapping[str, Any]) -> dict[str, object]:
    body: dict[str, object] = {"name": feature.name, "sources": list(feature.sources)}
    body |= {"availability": feature.availability.name.lower(), "lag_hours": feature.lag_hours}
    return body | {"row_wise": feature.name in alone.get("features", ())}
