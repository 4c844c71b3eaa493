"""The `sluice` command."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from components.common.errors import SluiceError
from sluice import catalog
from sluice.arguments import parse_arguments

app = typer.Typer(
    name="sluice",
    help="From a data lake to a model that someone can trust and trace.",
    epilog="Exit codes: 0 done, 1 a service or the machine failed, 2 bad input. Results live in SLUICE_HOME (.sluice).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
PIPE_WIDTH = 240
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]


def _console() -> Console:
    """The terminal; a file or a pipe is given room, so that nothing is cut off for whoever reads or greps it later."""
    console = Console(file=sys.stdout)
    return console if console.is_terminal else Console(file=sys.stdout, width=PIPE_WIDTH)


def _print_json(value: Any) -> None:  # noqa: ANN401 - JSON
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201 - this is the command's output


@app.command("pipelines", epilog="Examples: `sluice pipelines` · `sluice pipelines lake_to_model --json`")
def list_pipelines(
    name: Annotated[str | None, typer.Argument(help="Show one pipeline's parameters.")] = None,
    as_json: Json = False,
) -> None:
    """List the pipelines, or one pipeline's parameters with defaults."""
    from sluice import listing

    names = [name] if name else catalog.pipeline_names()
    found = [catalog.find_pipeline(each) for each in names]
    if as_json:
        _print_json([listing.body(pipeline) for pipeline in found])
    elif name:
        listing.show_parameters(found[0], _console())
    else:
        listing.show_pipelines(found, _console())


@app.command(
    epilog="Examples: `sluice run lake_to_model` · `sluice run lake_to_model -p sample_fraction=0.1 -p seed=7` · "
    "`sluice run digits_to_model --json | jq .result.decision`"
)
def run(
    pipeline: Annotated[str, typer.Argument(help="A name that `sluice pipelines` lists.")],
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, reuse no earlier result.")] = False,
    as_json: Json = False,
) -> None:
    """Run a pipeline on this machine."""
    from sluice import listing, local_run, summary

    chosen = catalog.find_pipeline(pipeline)
    arguments = parse_arguments(chosen, parameter or [])
    console = _console()
    if not as_json:
        listing.show_start(chosen, arguments, console)
    result = local_run.run_pipeline(chosen, arguments, console, quiet=as_json, reuse=not fresh)
    if as_json:
        _print_json(summary.body(result))
    else:
        summary.show(result, console)


@app.command("compile", epilog="Examples: `sluice compile` · `sluice compile lake_to_model --output build`")
def compile_pipelines(
    name: Annotated[str | None, typer.Argument(help="One pipeline; by default all.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the YAML files.")] = Path(
        "build/pipelines"
    ),
    as_json: Json = False,
) -> None:
    """Compile pipelines to KFP's YAML, to upload them to any KFP 2 server."""
    from kfp import compiler

    output.mkdir(parents=True, exist_ok=True)
    written = []
    for each in [name] if name else catalog.pipeline_names():
        pipeline = catalog.find_pipeline(each)
        target = output / f"{pipeline.name}.yaml"
        compiler.Compiler().compile(pipeline.component, str(target))
        written.append(str(target))
    if as_json:
        _print_json(written)
    else:
        _console().print("\n".join(written), highlight=False)


@app.command(
    epilog="Examples: `sluice lineage flights-late` · `sluice lineage flights-late@challenger` · "
    "`sluice lineage flights-late/1 --json`"
)
def lineage(
    model: Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|/VERSION]", help="Without either: the champion.")],
    as_json: Json = False,
) -> None:
    """Answer where a registered model came from: data, sample, split, parameters, code, run, promotions."""
    from sluice import lineage as tracing

    found = tracing.lineage(model)
    if as_json:
        _print_json(found.to_json())
    else:
        tracing.render(found, _console())


@app.command(epilog="Examples: `sluice doctor` · `sluice doctor --json`")
def doctor(as_json: Json = False) -> None:
    """Check that this machine has what Sluice needs; exits with 1 when something is missing."""
    from sluice.doctor import examine

    marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            line = f"{marks[finding.level]} {finding.name:<9} {escape(finding.message)}"
            _console().print(line, highlight=False, soft_wrap=True)
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Examples: `sluice lake flights` · `sluice lake digits ./my-lake`")
def lake(
    name: Annotated[
        str, typer.Argument(help="`flights` (New York City, 2013) or `digits` (handwriting, as PNG files).")
    ],
    address: Annotated[str, typer.Argument(help="Where to; by default `lakes/NAME` in the store.")] = "",
) -> None:
    """Lay out one of the demonstration lakes, as the pipelines expect to find it."""
    from sluice.demo_lakes import lay_out

    _console().print(lay_out(name, address or f"lakes/{name}"), highlight=False)


def main() -> None:
    """Run the command; errors that Sluice understands end in one line on standard error."""
    try:
        app()
    except SluiceError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
