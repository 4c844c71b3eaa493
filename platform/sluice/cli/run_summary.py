"""The end of a run as a person reads it: the candidates against the baselines, the decision, what to type next.

A pipeline of the user's own may have no candidates and no decision: then its outputs are told.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluice.problems.metrics import Metric, shown_metric
from sluice.running.local_run import RunResult
from sluice.running.terminal import plain

SHOWN_METRICS = ("log_loss", "roc_auc", "accuracy", "rmse", "mae")
_ARROWS = {"less": "↓", "more": "↑"}
MOST_METRICS = 2  # with their intervals, that is what a terminal of 80 columns holds
JUDGED = {"question", "candidates", "winner", "decision", "task", "version", "replaced", "reason", "checks"}
_DECISIONS = {"promoted": "green", "unchanged": "cyan", "waits": "yellow", "refused": "yellow", "undecided": "yellow"}


def body(result: RunResult) -> dict[str, Any]:
    """A run as JSON values."""
    return {
        "run": result.run,
        "seconds": round(result.seconds, 2),
        "seconds_by_step": {k: None if v is None else round(v, 2) for k, v in result.times.seconds.items()},
        "report": str(result.report) if result.report else None,
        "log": str(result.log) if result.log else None,
        **({"stored": result.stored} if result.stored else {}),
        **({"outputs": dict(result.outputs)} if result.outputs else {}),
        "result": result.result,
    }


def show(done: RunResult, console: Console) -> None:
    """Print the summary of a run."""
    if set(done.result) >= JUDGED:
        _show_decision(done.result, console)
    for name, value in done.outputs.items():
        console.print(f"{plain(name):<8} {plain(_written(value))}", highlight=False, soft_wrap=True)
    if done.report:
        console.print(f"\nreport   {plain(done.report)}", highlight=False, soft_wrap=True)
    if done.log:
        console.print(f"log      {plain(done.log)}", highlight=False, soft_wrap=True)
    if done.stored:
        console.print(f"stored   {plain(done.stored)}", highlight=False, soft_wrap=True)
        console.print(f"run      {plain(done.run)}", highlight=False, soft_wrap=True)
    console.print(f"time     {done.seconds:.0f} s\n", highlight=False)
    console.print(_next(done), highlight=False, soft_wrap=True)


def _show_decision(result: Mapping[str, Any], console: Console) -> None:
    console.print(f"\n[bold]{plain(result['question'])}[/]", highlight=False)
    console.print(_candidates(result))
    if folds := result.get("folds"):
        console.print(f"  judged out of fold: each row by models fitted without its fold, of {folds['number']}")
    for row in result["candidates"]:
        if row.get("cut"):
            console.print(f"  [yellow]•[/] {plain(row['name'])}: {plain(row['cut'])}", highlight=False)
    colour = _DECISIONS.get(result["decision"], "white")
    name = plain(f"{result['task']} version {result['version']}")
    replaced = f", replacing version {result['replaced']}" if result["replaced"] else ""
    console.print(
        f"\n[bold {colour}]{result['decision']}[/] {name} ({plain(result['winner'])}){replaced}", highlight=False
    )
    console.print(f"  {plain(result['reason'])}", highlight=False)
    failed = [check["message"] for check in result["checks"] if not check["passed"]]
    for message in failed:
        console.print(f"  [yellow]•[/] {plain(message)}", highlight=False)


def _candidates(result: Mapping[str, Any]) -> Table:
    rows = result["candidates"]
    chosen = {row["name"]: row for row in (*result.get("own_metrics", []), *filter(None, [result.get("metric")]))}
    wanted = dict.fromkeys([*([result["metric"]["name"]] if result.get("metric") else []), *SHOWN_METRICS])
    names = [name for name in wanted if name in rows[0]["metrics"]][:MOST_METRICS]
    metrics = [replace(shown_metric(name), **chosen.get(name, {})) for name in names]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for metric in metrics:
        title = plain(f"{metric.words} {_ARROWS[metric.direction]} (95 %)")
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        winner = row["name"] == result["winner"]
        words = ["winner" if winner else "baseline" if row["baseline"] else "", "cut" if row.get("cut") else ""]
        note = ", ".join(word for word in words if word)
        style = "bold" if winner else "dim" if row["baseline"] else ""
        table.add_row(
            plain(row["name"]),
            *(_estimate(row["metrics"][metric.name], metric) for metric in metrics),
            note,
            style=style,
        )
    return table


def _estimate(value: Mapping[str, float | None], metric: Metric) -> str:
    told, low, high = (metric.short(value[end]) for end in ("value", "low", "high"))
    return told if value["low"] is None or value["high"] is None else rf"{told} \[{low}, {high}]"


def _next(done: RunResult) -> str:
    sluice, result, on_cluster = plain(_command()), done.result, bool(done.stored)
    verb, where = ("submit", " --cluster") if on_cluster else ("run", "")
    commands = {}
    if set(result) >= JUDGED:
        commands[f"{sluice} lineage {plain(result['task'])}{where}"] = "which data, code and decision made this model"
    if model := _asked_by_rows(done):
        told = f"{sluice} predict {plain(shlex.quote(model))} new.csv -o forecasts.csv{where}"
        commands[told] = "what it says of rows like those of the project's data"
    if again := _again(done):
        trained = set(result) >= JUDGED
        commands[f"{sluice} {verb}{again}"] = "train a challenger for it" if trained else "run it anew"
    commands |= {f"{sluice} show {plain(done.run)}": "what each step read and made"} if not on_cluster else {}
    commands |= {"make ui": "browse the runs and models in MLflow"} if not on_cluster and not done.project else {}
    width = max(map(len, commands), default=0)
    return "\n".join(
        ["next:" if commands else "", *(f"  {command:<{width}}   {what}" for command, what in commands.items())]
    )


def _asked_by_rows(done: RunResult) -> str:
    """The version that the run registered, where raw rows of a table can be asked of it."""
    result = done.result
    if not set(result) >= JUDGED or not result["version"] or not done.parameters.get("task"):
        return ""
    return f"{result['task']}/{result['version']}"


def _again(done: RunResult) -> str:
    """The words that run the same once more, with the person's own parameters, and one of them changed."""
    reference = done.reference or str(done.result.get("pipeline", ""))
    if not reference:
        return ""
    given = dict(done.given) | _change(done)
    if done.project:
        words = [] if Path.cwd().is_relative_to(done.project) else [done.project]
    else:
        words = [_from_here(reference)]
    words += [word for name, value in given.items() for word in ("-p", f"{name}={_written(value)}")]
    return "".join(f" {plain(shlex.quote(word))}" for word in words)


def _change(done: RunResult) -> dict[str, Any]:
    """What would make another model: all rows where a part of them was drawn, else another seed."""
    if done.parameters.get("sample_fraction", 1) != 1:
        return {"sample_fraction": 1}
    return {"seed": 8 if done.parameters.get("seed") == 7 else 7} if "seed" in done.parameters else {}


def _written(value: Any) -> str:  # noqa: ANN401 - a parameter's value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _from_here(reference: str) -> str:
    """A file's path as short as it can be typed from here."""
    here = Path.cwd()
    return str(Path(reference).relative_to(here)) if Path(reference).is_relative_to(here) else reference


def _command() -> str:
    """How this person can call the command: by name where the shell finds it, else by its path from here."""
    path = Path(sys.argv[0])
    if shutil.which("sluice") or path.name != "sluice":
        return "sluice"
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
