"""Shows pipelines and their parameters."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from sluice.core.home import home
from sluice.running.catalog import Pipeline
from sluice.running.terminal import plain


def body(pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline as JSON values."""
    parameters = [
        {"name": p.name, "type": p.type, "default": p.default, "description": p.description}
        | ({"choices": list(p.choices)} if p.choices else {})
        | ({"required": True} if p.required else {})
        for p in pipeline.parameters
    ]
    return {
        "name": pipeline.name,
        "origin": pipeline.origin,
        "summary": pipeline.summary,
        "parameters": parameters,
    }


def broken_bodies(broken: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pipelines of packages that cannot be run, as JSON values."""
    return [{"name": name, "error": said} for name, said in broken.items()]


def show_pipelines(pipelines: list[Pipeline], broken: Mapping[str, str], console: Console) -> None:
    """One line a pipeline, and what to type next.

    Args:
        pipelines: Those that can be run.
        broken: By the names of those that cannot, why.
        console: Where to.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pipeline", no_wrap=True)
    packages = any(pipeline.package for pipeline in pipelines)
    if packages:
        table.add_column("from", no_wrap=True)
    table.add_column("what it does")
    for pipeline in pipelines:
        origin = [plain(pipeline.origin.removeprefix("the package "))] if packages else []
        table.add_row(plain(pipeline.name), *origin, plain(pipeline.summary))
    console.print(table)
    for said in broken.values():
        console.print(f"[yellow]•[/] {plain(said)}", highlight=False, soft_wrap=True)
    console.print(f"\nParameters: sluice pipelines {pipelines[0].name}", highlight=False)
    console.print(f"Run one:    sluice run {pipelines[0].name}", highlight=False)


def show_parameters(pipeline: Pipeline, console: Console) -> None:
    """One row a parameter: name, type, default, description."""
    brought = f" ({plain(pipeline.package)})" if pipeline.package else ""
    console.print(f"[bold]{pipeline.name}[/]{brought}: {plain(pipeline.summary)}\n", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "type", "default", "what it means"):
        table.add_column(column, no_wrap=column in ("parameter", "type"))
    for p in pipeline.parameters:
        default = "needed" if p.required else p.default if isinstance(p.default, str) else json.dumps(p.default)
        one_of = f" One of: {', '.join(map(str, p.choices))}." if p.choices else ""
        table.add_row(p.name, p.type.lower(), plain(default), plain(p.description + one_of))
    console.print(table)
    if pipeline.parameters:
        words = f"sluice run {plain(pipeline.reference)} -p {plain(pipeline.parameters[-1].name)}=…"
        console.print(f"\nSet one: {words}", highlight=False, soft_wrap=True)


def show_start(pipeline: Pipeline, arguments: Mapping[str, Any], console: Console) -> None:
    """What is about to run, with what, and where its results go."""
    defaults = {parameter.name: parameter.default for parameter in pipeline.parameters}
    shown = {name: value for name, value in arguments.items() if value != defaults.get(name)}
    if isinstance(shown.get("task"), dict) and "name" in shown["task"]:
        shown["task"] = shown["task"]["name"]  # the rest of the declaration stands in the project's file
    changed = ", ".join(f"{name}={value}" for name, value in shown.items())
    console.print(f"[bold]{pipeline.name}[/] {plain(changed)}", highlight=False)
    console.print(f"[dim]results in {plain(home())}[/]", highlight=False, soft_wrap=True)
