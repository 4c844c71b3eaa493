"""The model card (Mitchell et al. 2019): what the model is for, what it learned from, how good it is, its limits."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.artifacts.provenance import origin
from sluice.core.plain_text import Markdown, markdown, markdown_code
from sluice.evaluation.record import EvaluationRecord
from sluice.exporting.publishing import Offer
from sluice.features.model_inputs import CategoryInput, ModelInputs, NumberInput, read_inputs
from sluice.modeling.model_files import read_threshold
from sluice.problems.metrics import shown_metric, significant
from sluice.problems.registry import form_of
from sluice.problems.task import Task
from sluice.registry.evaluation_verdict import EvaluationVerdict
from sluice.registry.signature import input_kinds

_FEW = 6


def model_card(
    task: Task, verdict: EvaluationVerdict, lineage: list[Bundle], files: Path, served: Offer | None = None
) -> str:
    """The card as Markdown.

    Args:
        task: What is learned.
        verdict: What evaluation found.
        lineage: The datasets behind it, sources first.
        files: The folder of the winner's files.
        served: How it is served, where that is known.

    Raises:
        BadInput: The folder holds no model.
    """
    known, metric = verdict.winner_row["metrics"], verdict.record.metric
    shown = dict.fromkeys([*form_of(task).shown, metric.name, *(own.name for own in verdict.record.own_metrics)])
    return (
        _templates()
        .get_template("card.md")
        .render(
            task=task,
            served=served,
            binary=len(task.classes) == 2,
            regression=task.regression,
            metric=metric,
            residuals=verdict.record.residuals,
            number=significant,
            features=task.features,
            threshold=read_threshold(files),
            takes=_takes(task, read_inputs(files)),
            population=verdict.body.get("population"),
            winner=verdict.winner_row,
            digest=verdict.body["winner_digest"],
            decision=verdict.body["decision"],
            reason=verdict.body["reason"],
            datasets=[_dataset(bundle) for bundle in lineage],
            rows=verdict.body["rows"],
            folds=verdict.body.get("folds"),
            metrics=[name for name in shown if name in known],
            candidates=verdict.body["candidates"],
            interval=partial(_interval, verdict.record),
            slices=_slices(verdict),
            checks=verdict.body["checks"],
            producer=producer("register", {}),
            evaluation=verdict.digest,
        )
    )


def _takes(task: Task, inputs: ModelInputs | None) -> list[dict[str, str]]:
    """One row of the table an input column: what it holds, what training saw, and what it may be computed from."""
    seen = {entry.name: entry for entry in inputs.entries} if inputs else {}
    raw = inputs.row_wise.features if inputs and inputs.row_wise else {}
    remade = inputs.row_wise.remade if inputs and inputs.row_wise else ()
    rows = []
    for name in task.features:
        entry = seen.get(name)
        missing = f"{entry.missing / max(inputs.rows, 1):.1%}" if inputs and entry else ""
        shown = [column for column in raw.get(name, ()) if column != name or name in remade]
        computed = Markdown(", ".join(map(markdown_code, shown)))
        kind = input_kinds(task, inputs)[name]
        rows.append({"name": name, "kind": kind, "seen": _seen(entry), "missing": missing, "raw": computed})
    return rows


def _seen(entry: NumberInput | CategoryInput | None) -> str:
    if isinstance(entry, CategoryInput):
        few = ", ".join(markdown_code(value) for value in entry.values[:_FEW])
        others = len(entry.values) + len(entry.rare) - len(entry.values[:_FEW])
        return Markdown(few + (f" and {others:,}{'' if entry.listed else ' or'} more" if others else ""))
    if entry is None or entry.least is None or entry.greatest is None:
        return "" if entry is None else "no value"
    return f"{entry.least:g} to {entry.greatest:g}{', whole numbers' if entry.whole else ''}"


def _dataset(bundle: Bundle) -> tuple[str, str, str]:
    made = origin(bundle)
    return made.step, ", ".join(f"{name} {count:,}" for name, count in made.rows.items()), made.id


def _slices(verdict: EvaluationVerdict) -> list[str]:
    """One line a slice column: how many groups, and the metric in the worst that can be judged."""
    lines: list[str] = []
    metric = shown_metric(verdict.record.metric.name)
    most = "greatest" if verdict.record.metric.direction == "less" else "least"
    for column in dict.fromkeys(entry["column"] for entry in verdict.body["slices"]):
        found = [entry for entry in verdict.body["slices"] if entry["column"] == column]
        judged = [entry for entry in found if entry["judged"]]
        line = f"{markdown_code(column)}: {len(found)} groups, {len(found) - len(judged)} of them too small to judge"
        if judged:
            worst = (max if most == "greatest" else min)(judged, key=lambda entry: _value(entry, verdict))
            told = f"the {most} {metric.words} is {metric.short(_value(worst, verdict))}"
            line += f"; {told}, in {markdown_code(worst['group'])}"
        lines.append(Markdown(line))
    return lines


def _value(entry: dict[str, Any], verdict: EvaluationVerdict) -> float:
    value = entry["metrics"][verdict.winner][verdict.record.metric.name]["value"]
    return float(value) if value is not None else float("nan")


def _interval(record: EvaluationRecord, name: str, estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return "undefined"
    row = record.judged_by(name)
    metric = shown_metric(name) if row is None else replace(shown_metric(name), in_label_units=row.in_label_units)
    value, low, high = (metric.short(estimate[end]) for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _templates() -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(  # noqa: S701 - Markdown, not HTML: what a value holds is escaped by `finalize`
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=markdown,
    )
    environment.filters["code"] = markdown_code
    return environment
