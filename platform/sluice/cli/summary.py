"""The end of a run as a person reads it: the candidates against the baselines, the decision, what to type next."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluice.running.local_run import RunResult
from sluice.running.terminal import plain

SHOWN_METRICS = {"log_loss": "log loss ↓", "roc_auc": "ROC AUC ↑", "accuracy": "accuracy ↑"}
MOST_METRICS = 2  # with their intervals, that is what a terminal of 80 columns holds
_DECISIONS = {"promoted": "green", "unchanged": "cyan", "refused": "yellow", "undecided": "yellow"}


def body(result: RunResult) -> dict[str, Any]:
    """A run as JSON values."""
    return {
        "run": result.run,
        "seconds": round(result.seconds, 2),
        "seconds_by_step": {k: None if v is None else round(v, 2) for k, v in result.times.seconds.items()},
        "report": str(result.report),
        "log": str(result.log) if result.log else None,
        **({"stored": result.stored} if result.stored else {}),
        "result": result.result,
    }


def show(done: RunResult, console: Console) -> None:
    """Print the summary of a run."""
    result = done.result
    console.print(f"\n[bold]{plain(result['question'])}[/]", highlight=False)
    console.print(_candidates(result))
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
    console.print(f"\nreport   {plain(done.report)}", highlight=False, soft_wrap=True)
    if done.log:
        console.print(f"log      {plain(done.log)}", highlight=False, soft_wrap=True)
    if done.stored:
        console.print(f"stored   {plain(done.stored)}", highlight=False, soft_wrap=True)
        console.print(f"run      {plain(done.run)}", highlight=False, soft_wrap=True)
    console.print(f"time     {done.seconds:.0f} s\n", highlight=False)
    console.print(_next(result, on_cluster=bool(done.stored)), highlight=False, soft_wrap=True)


def _candidates(result: Mapping[str, Any]) -> Table:
    rows = result["candidates"]
    metrics = [name for name in SHOWN_METRICS if name in rows[0]["metrics"]][:MOST_METRICS]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for name in metrics:
        table.add_column(f"{SHOWN_METRICS[name]} (95 %)", justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        winner = row["name"] == result["winner"]
        words = ["winner" if winner else "baseline" if row["baseline"] else "", "cut" if row.get("cut") else ""]
        note = ", ".join(word for word in words if word)
        style = "bold" if winner else "dim" if row["baseline"] else ""
        table.add_row(plain(row["name"]), *(_estimate(row["metrics"][name]) for name in metrics), note, style=style)
    return table


def _estimate(value: Mapping[str, float | None]) -> str:
    if value["low"] is None or value["high"] is None:
        return f"{value['value']:.3f}"
    return rf"{value['value']:.3f} \[{value['low']:.3f}, {value['high']:.3f}]"


def _next(result: Mapping[str, Any], *, on_cluster: bool) -> str:
    pipeline, sluice = result["pipeline"], _command()
    change = "sample_fraction=1" if pipeline == "lake_to_model" else "seed=7"
    verb, where = ("submit", " --cluster") if on_cluster else ("run", "")
    commands = {
        f"{plain(sluice)} lineage {plain(result['task'])}{where}": "which data, code and decision made this model",
        f"{plain(sluice)} {verb} {plain(pipeline)} -p {change}": "train a challenger for it",
    }
    if not on_cluster:
        commands["make ui"] = "browse the runs and models in MLflow"
    width = max(map(len, commands))
    return "\n".join(["next:", *(f"  {command:<{width}}   {what}" for command, what in commands.items())])


def _command() -> str:
    """How this person can call the command: by name where the shell finds it, else by its path from here."""
    path = Path(sys.argv[0])
    if shutil.which("sluice") or path.name != "sluice":
        return "sluice"
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
