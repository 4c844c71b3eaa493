"""Runs, datasets and single things, as a person reads them in a terminal."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from sluice.cluster.kfp_api import Listed
from sluice.running.inspection import Found, Published
from sluice.running.run_records import RunRecord
from sluice.running.terminal import plain

_COLOURS = {"succeeded": "green", "done": "green", "running": "cyan", "reused": "cyan", "failed": "red"}
_SHORT = 12
_LONGEST = 240  # characters of a value; `--json` has all
_APART = ("steps", "tables", "columns", "files", "details", "parameters", "given", "tags", "schema", "kind")


def run_row(run: RunRecord) -> dict[str, Any]:
    """A run in a list, as JSON values."""
    made = run.outcome
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "project": run.project,
        "state": run.state,
        "began": run.began,
        "seconds": run.seconds,
        "model": f"{made.model}/{made.model_version}" if made else "",
        "decision": made.decision if made else "",
        "error": run.error,
    }


def show_runs(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One line a run; below the newest that failed, why."""
    table = _table("run", "pipeline", "state", "began", "time", "model", "decision")
    for row in rows:
        colour = _COLOURS.get(str(row["state"]).lower(), "yellow")
        state = f"[{colour}]{plain(str(row['state']).lower())}[/]"
        model, decision = plain(row.get("model", "")), plain(row.get("decision", ""))
        when = _moment(str(row["began"]))
        table.add_row(plain(row["id"]), plain(row["pipeline"]), state, when, _time(row["seconds"]), model, decision)
    console.print(table)
    failed = next((row for row in rows if row["state"] == "failed" and row.get("error")), None)
    if failed:
        console.print(f"\n{plain(failed['id'])}: {plain(failed['error'])}", highlight=False, soft_wrap=True)


def cluster_row(run: Listed, pipeline: str) -> dict[str, Any]:
    """A run of a cluster in a list, as JSON values; the pipeline is known where this machine submitted it."""
    return {
        "id": run.id,
        "name": run.name,
        "pipeline": pipeline or run.name,
        "state": run.state.lower() or "pending",
        "began": run.created,
        "seconds": run.seconds,
    }


def show_datasets(found: Sequence[Published], console: Console) -> None:
    """One line a dataset."""
    table = _table("dataset", "made by", "tables", "rows", "made", "by run")
    for each in found:
        rows = f"{sum(each.tables.values()):,}"
        names = plain(", ".join(each.tables))
        table.add_row(each.id[:_SHORT], plain(each.step), names, rows, _moment(each.created), plain(each.run))
    console.print(table)


def show_found(found: Found, console: Console) -> None:
    """All that is known of one thing, a line a fact."""
    console.print(f"[bold]{found.kind}[/] {plain(found.id)}\n", highlight=False, soft_wrap=True)
    body = found.body
    facts = {
        key: value for key, value in body.items() if key not in (*_APART, "id") and value not in ("", [], {}, None)
    }
    for name in ("parameters", "given", "tags", "details"):
        facts |= {f"{name}.{key}": value for key, value in body.get(name, {}).items() if name != "given"}
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        console.print(f"{plain(name):<{width}}  {plain(_value(value))}", highlight=False, soft_wrap=True)
    if body.get("columns"):
        _show_tables(body, console)
    if body.get("steps"):
        _show_steps(body["steps"], console)


def _show_tables(body: Mapping[str, Any], console: Console) -> None:
    table = _table("table", "rows", "columns")
    for name, columns in body["columns"].items():
        told = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        table.add_row(plain(name), f"{body['tables'][name]:,}", plain(told))
    console.print()
    console.print(table)


def _show_steps(steps: Sequence[Mapping[str, Any]], console: Console) -> None:
    table = _table("step", "state", "time", "made")
    for step in steps:
        colour = _COLOURS.get(step["state"], "yellow")
        made = [str(value) for value in step["outputs"].values()] + step["pages"]
        made += [each["uri"] for several in step["made"].values() for each in several if each["uri"] not in made]
        state = f"[{colour}]{step['state']}[/]"
        table.add_row(plain(step["name"]), state, _time(step["seconds"]), plain(_value(made[0])) if made else "")
    console.print()
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column in ("rows", "time")
        table.add_column(column, no_wrap=column in ("run", "dataset", "step"), justify="right" if right else "left")
    return table


def _value(value: Any) -> str:  # noqa: ANN401 - JSON
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _moment(text: str) -> str:
    """A moment in the reader's own time, to the second."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return plain(text)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
