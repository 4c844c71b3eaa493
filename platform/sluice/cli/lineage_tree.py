"""The lineage as a tree in the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.tree import Tree

from sluice.artifacts.code_state import short_commit
from sluice.artifacts.provenance import Origin, Source
from sluice.project.archive import archive_key
from sluice.registry.promotions import Promotion
from sluice.running.lineage import Lineage
from sluice.running.terminal import plain

_SIGNS = {
    "promoted": "[green]✓ promoted[/]",
    "waits": "[yellow]… waits[/]",
    "refused": "[red]✗ refused[/]",
    "undecided": "[yellow]? undecided[/]",
    "unchanged": "[yellow]= unchanged[/]",
    "appointed": "[green]✓ appointed[/]",
    "restored": "[green]✓ restored[/]",
    "withdrawn": "[red]✗ withdrawn[/]",
}
_CHECKS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "undecided": "[yellow]?[/]", "not judged": "[dim]-[/]"}
_MOST_GROUPS = 6


def show(lineage: Lineage, console: Console) -> None:
    """Print a lineage: model, decisions, data step by step from the lake on, code."""
    model = lineage.model
    aliases = f" ({', '.join(model.aliases)})" if model.aliases else ""
    tree = Tree(f"[bold]{plain(model.name)}[/] version {plain(model.version)}[cyan]{plain(aliases)}[/]")
    about = tree.add("Model")
    for name, value in (
        ("candidate", model.candidate),
        ("digest", model.digest),
        ("registered", model.registered),
        ("evaluation", model.evaluation),
        ("replaced", f"version {lineage.replaced}" if lineage.replaced else "no earlier champion"),
        ("replaced by", f"version {lineage.replaced_by}" if lineage.replaced_by else ""),
    ):
        _line(about, name, value)
    _decisions(tree.add("Decisions"), lineage.decisions)
    data = tree.add("Data, from the lake on")
    for entry in lineage.origins:
        _origin(data, entry)
    code = tree.add("Code and run")
    for name, value in (
        ("commit", model.commit),
        ("changes", model.changes),
        ("environment", model.environment),
        ("pipeline run", "/".join(filter(None, (model.pipeline, model.run)))),
        ("MLflow run", model.mlflow_run),
    ):
        _line(code, name, value)
    console.print(tree, highlight=False)


def _line(tree: Tree, name: str, value: str) -> None:
    if value:
        tree.add(f"[dim]{plain(name)}[/] {plain(value)}")


def _decisions(tree: Tree, records: Iterable[Promotion]) -> None:
    for record in records:
        by = f"by {record.who}" + (f" in {record.run}" if record.run else "")
        node = tree.add(f"{_SIGNS[record.decision]} {plain(record.when)} [dim]{plain(by)}[/]")
        node.add(plain(record.reason))
        for check in record.evidence.get("checks", ()):
            status = check.get("status") or ("passed" if check["passed"] else "failed")
            node.add(f"{_CHECKS[status]} {plain(check['name'])}: {plain(check['message'])}")


def _origin(tree: Tree, entry: Origin) -> None:
    rows = ", ".join(f"{name} {count:,}" for name, count in entry.rows.items())
    node = tree.add(f"[bold]{plain(entry.step)}[/] [cyan]{plain(entry.id[:12])}[/] {plain(rows)}")
    by_table: dict[str, list[Source]] = {}
    for source in entry.sources:
        by_table.setdefault(source.table, []).append(source)
    for table, sources in by_table.items():
        _line(node, table, _files(sources))
    _line(node, "parameters", _pairs({key: value for key, value in entry.parameters.items() if key != "code"}))
    _line(node, "project's code", archive_key(entry.code) if entry.code else "")
    _line(node, "design", _pairs(_short(entry.design)))
    code = f"commit {short_commit(entry.commit)}" + (f" changes {entry.changes[:12]}" if entry.changes else "")
    _line(node, "made", " ".join(filter(None, (entry.created, entry.run, code))))


def _files(sources: list[Source]) -> str:
    """One file with its digest, or the first and the last of many."""
    first, last = sources[0], sources[-1]
    if first is last:
        return f"{first.path} sha256 {first.sha256[:12]}"
    return f"{len(sources)} files, {first.path} to {last.path}"


def _short(design: Mapping[str, Any]) -> dict[str, Any]:
    """The design without its long lists of strata; `--json` has them."""
    return {
        key: f"{len(value)} strata" if key == "groups" and len(value) > _MOST_GROUPS else value
        for key, value in design.items()
        if key != "parts"
    }


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
