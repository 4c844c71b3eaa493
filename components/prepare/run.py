"""The step prepare: from validated tables to one table of labelled rows that carries its learning task."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.contract.reading import Contract, contract_from_body
from sluice.core.column_names import named
from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.row_counts import reconcile
from sluice.features.building import Prepare, build_table, computed, open_prepare
from sluice.features.choice import LABEL, LEFT_OUT_ROLE, Choice, choose_features, near
from sluice.features.labels import LabelKind, is_missing, label_kind
from sluice.features.masks import mask
from sluice.features.preparation_summary import summarize
from sluice.features.roles import LEFT_OUT, check_roles, check_time, contract_with, key_of, with_row_numbers
from sluice.features.row_checks import check_keys
from sluice.leakage.gate import Feature, LeakageGate, gate_of
from sluice.leakage.row_wise import row_wise
from sluice.problems.registry import FORMS, OpenedProblem, open_problem
from sluice.problems.task import Task
from sluice.project.code import open_code
from sluice.project.declaration import TaskDeclaration
from sluice.project.task_parameter import checked_task
from sluice.storage.locations import default_store

NO_LABEL = "no label"
_SHOWN = 20


def run(uri: str, *, task: Mapping[str, Any], code: str, summary: Path) -> Bundle:
    """Prepare a dataset of validated tables.

    Args:
        uri: The dataset that ingest made and validate passed.
        task: What a project declares of its rows, label and features (`Project.task_body`).
        code: The address of the project's code, where it has a prepare function or a problem of its own; else empty.
        summary: Where to write the account in Markdown.

    Returns:
        A dataset with the table `rows`, ordered by key.

    Raises:
        BadInput: See `prepare_rows`; or the code cannot be opened, or holds no such function.
    """
    declared = checked_task("task", task)
    own = [name for name in (declared.prepare, declared.label.kind) if name and is_reference(name)]
    if own and not code:
        raise BadInput(
            f"the task names {own[0]}, and no parameter names the archive that holds it; start the run in the "
            "project's folder, which takes the code along"
        )
    opened = open_code(code) if code else None
    digest = opened.digest if opened else ""
    problem = open_problem(declared.label.kind, opened) if declared.label.kind else None
    if not declared.prepare:
        return prepare_rows(uri, declared, None, summary=summary, code=digest, problem=problem)
    made = open_prepare(declared.prepare, opened)
    return prepare_rows(
        uri,
        declared,
        made.function,
        summary=summary,
        code=digest,
        package=made.package,
        blamed=made.blamed(),
        problem=problem,
    )


def prepare_rows(
    uri: str,
    declared: TaskDeclaration,
    function: Prepare | None,
    *,
    summary: Path,
    code: str = "",
    package: str = "",
    blamed: AbstractContextManager[None] | None = None,
    problem: OpenedProblem | None = None,
) -> Bundle:
    """Make the rows of a declaration.

    Args:
        uri: The dataset of tables.
        declared: Rows, label and features.
        function: Makes the rows out of the tables; None for the declared table as it is.
        summary: Where to write the account in Markdown.
        code: SHA-256 of the archive that the function and the problem come from: part of the dataset's id.
        package: The installed package that brings it instead, with its version: likewise.
        blamed: See `build_table`.
        problem: What `label.kind` names; None where it names none, or one of Sluice's own.

    Raises:
        BadInput: A column is missing, a feature leaks, a key repeats, or the label is none.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        engine = duckdb_engine(Path(scratch))
        with read_dataset(uri, engine) as (parent, tables):
            stated = _contract_of(parent)
            _check_table(declared, tables)
            key, place = key_of(declared.rows, stated, tables[declared.rows.table])
            given = with_row_numbers(tables, declared.rows.table, place, engine) if place else tables
            masked, counts = mask(given, stated)
            wide = _built(declared, function, masked, engine, blamed)
            _check_columns(wide, declared, key)
            gate = gate_of(wide, given, contract_with(stated, declared.rows, place), declared.rows.time)
            gate = gate.for_label(declared.label.column, declared.label.known)
            passed = _pass(gate, declared, key, wide)
            task = _task(declared, key, wide, passed.names, gate.timezone())
            where = declared.prepare or f"table {declared.rows.table!r}"
            built = computed(_with_reasons(wide, declared.label.column), where)
            check_keys(built, task)
            kept = built.filter(built[LEFT_OUT].isnull())
            kind = label_kind(kept, declared.label, problem, task.key)
            progress(kind.said)
            lag = gate.label_lag(declared.label.column)
            posed = declared.label.kind if declared.label.kind not in FORMS else ""
            task = replace(
                task, classes=kind.classes, problem=kind.problem, label_lag_seconds=lag, problem_name=posed or ""
            )
            alone = row_wise(wide, passed.names, given, declared.rows.table)
            left_out, total = _left_out(built), int(kept.count().to_pyarrow().as_py())
            reconcile(
                "step prepare", int(built.count().to_pyarrow().as_py()), kind.rows or {"numbers": total}, left_out
            )
            details = task.details() | {
                "features": [_feature_body(feature, alone) for feature in passed.features],
                "not_features": dict(passed.refused),
                "row_wise": alone,
                "left_out": left_out,
                "heuristic_left_out": declared.baseline if declared.baseline not in passed.names else None,
                "masked": counts,
                "classes": kind.rows,
                "label": {"problem": kind.problem, "limits": kind.limits},
            }
            bundle = write_dataset(
                default_store(),
                {"rows": _rows(kept, task, kind).order_by(*task.key)},
                producer("prepare", _derivation(declared, code, package)),
                parents=(parent.id,),
                details=details,
                expected={"rows": total},
            )
    summary.write_text(summarize(task, bundle, details, passed.features), encoding="utf-8")
    reasons = ", ".join(f"{n:,} {why}" for why, n in details["left_out"].items())
    progress(f"{bundle.rows:,} rows; left out: {reasons or 'none'}")
    return bundle


def _derivation(declared: TaskDeclaration, code: str, package: str) -> dict[str, Any]:
    """The parameters that the rows follow from."""
    told = {"task": declared.model_dump(mode="json", exclude_defaults=True), "code": code}
    return told | ({"package": package} if package else {})


@dataclass(frozen=True)
class _Passed:
    """The features that passed the gate, and the columns that did not become features, with the reason."""

    features: tuple[Feature, ...]
    refused: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)


def _built(
    declared: TaskDeclaration,
    function: Prepare | None,
    tables: Mapping[str, ibis.Table],
    engine: Any,  # noqa: ANN401 - see engines
    blamed: AbstractContextManager[None] | None,
) -> ibis.Table:
    if function is None:
        return tables[declared.rows.table]
    return build_table(function, str(declared.prepare), tables, engine, blamed)


def _pass(gate: LeakageGate, declared: TaskDeclaration, key: Sequence[str], wide: ibis.Table) -> _Passed:
    """Let rows, identity, features and label through the gate, in that order.

    Features that a person named are refused where they leak. Where every column was to become one, those that leak are
    left out, each with its reason.
    """
    time = [declared.rows.time] if declared.rows.time else []
    gate.rows(LEFT_OUT)
    gate.identity((*key, *time))
    roles = dict.fromkeys(key, "key") | dict.fromkeys(time, "time")
    roles |= {declared.rows.group: "group"} if declared.rows.group else {}
    roles |= {declared.label.column: LABEL, LEFT_OUT: LEFT_OUT_ROLE}
    choice = choose_features(wide, declared.features, roles)
    passed = _features(gate, choice)
    gate.label(declared.label.column)
    progress(f"{len(passed.features)} features passed the leakage gate")
    for name, reason in list(passed.refused.items())[:_SHOWN]:
        progress(f"no feature: {name!r} {reason}")
    if len(passed.refused) > _SHOWN:
        progress(f"no features: {len(passed.refused) - _SHOWN:,} more columns; the step's summary lists them")
    return passed


def _features(gate: LeakageGate, choice: Choice) -> _Passed:
    if choice.declared:
        return _Passed(tuple(gate.feature(name) for name in choice.names), choice.left_out)
    passed, refused = [], {name: f"is {reason}" for name, reason in choice.left_out.items()}
    for name in choice.names:
        try:
            passed.append(gate.feature(name))
        except BadInput as error:
            refused[name] = gate.reason(name, error)
    if not passed:
        name, reason = next(iter(refused.items()))
        raise BadInput(
            f"no column can be a feature: {name!r} {reason}; say in contract.yaml when columns are known, or make "
            "features in prepare"
        )
    return _Passed(tuple(passed), refused)


def _task(declared: TaskDeclaration, key: Sequence[str], table: ibis.Table, features: Sequence[str], zone: str) -> Task:
    """The learning task, without the label's kind; numbers and text are told apart by the table's types."""
    texts = [name for name in features if table[name].type().is_string()]
    return Task(
        name=declared.name,
        question=declared.question or f"What is {declared.label.column!r}?",
        label=declared.label.column,
        classes=(),
        key=tuple(key),
        numeric=tuple(name for name in features if name not in texts),
        categorical=tuple(texts),
        time=declared.rows.time,
        timezone=zone,
        cluster=declared.rows.group,
        slices=declared.slices,
        heuristic=declared.baseline if declared.baseline in features else None,
    )


def _check_columns(wide: ibis.Table, declared: TaskDeclaration, key: tuple[str, ...]) -> None:
    """Check that the table has what the project names."""
    one = {"label.column": declared.label.column, "rows.time": declared.rows.time, "rows.group": declared.rows.group}
    one |= {"train.baseline": declared.baseline}
    roles = {"rows.key": key, "slices": declared.slices}
    roles |= {role: (name,) for role, name in one.items() if name}
    check_roles(wide, roles, f"the table of {declared.prepare}" if declared.prepare else repr(declared.rows.table))
    if declared.rows.time:
        check_time(wide, declared.rows.time)


def _check_table(declared: TaskDeclaration, tables: Mapping[str, ibis.Table]) -> None:
    if declared.rows.table not in tables:
        raise BadInput(f"rows.table: the lake has no table {declared.rows.table!r}{near(declared.rows.table, tables)}")


def _contract_of(parent: Bundle) -> Contract:
    if "contract" not in parent.manifest.details:
        raise BadInput(f"{parent.uri} carries no contract; use a dataset made by ingest")
    return contract_from_body(parent.manifest.details["contract"], f"the contract of {parent.uri}")


def _with_reasons(wide: ibis.Table, label: str) -> ibis.Table:
    """The table with the column `left_out`, which also names the rows that have no label."""
    unlabelled = ibis.ifelse(is_missing(wide[label]), ibis.literal(NO_LABEL), ibis.null("string"))
    reason = ibis.coalesce(wide[LEFT_OUT], unlabelled) if LEFT_OUT in wide.columns else unlabelled
    return wide.mutate(named({LEFT_OUT: reason}))


def _rows(kept: ibis.Table, task: Task, kind: LabelKind) -> ibis.Table:
    """The rows that are learned from. Those without a label are left out here, by this step, and counted."""
    changed = {name: kept[name].cast("int64") for name in task.numeric if kept[name].type().is_boolean()}
    if task.time and not kept[task.time].type().is_timestamp():
        changed[task.time] = kept[task.time].cast("timestamp('UTC')")
    changed[task.label] = kind.learned(kept[task.label])
    time, cluster = ((name,) if name else () for name in (task.time, task.cluster))
    names = dict.fromkeys((*task.key, *time, *task.slices, *cluster, *task.features, task.label))
    return kept.mutate(named(changed)).select(*names)


def _left_out(built: ibis.Table) -> dict[str, int]:
    reasons = built.filter(built[LEFT_OUT].notnull()).group_by(LEFT_OUT).agg(n=lambda t: t.count()).order_by(LEFT_OUT)
    return {row[LEFT_OUT]: int(row["n"]) for row in reasons.to_pyarrow().to_pylist()}


def _feature_body(feature: Feature, alone: Mapping[str, Any]) -> dict[str, object]:
    body: dict[str, object] = {"name": feature.name, "sources": list(feature.sources)}
    body |= {"availability": feature.availability.name.lower(), "lag_hours": feature.lag_hours}
    return body | {"row_wise": feature.name in alone.get("features", ())}
