"""The commands that begin and check a project: init, check."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.running.terminal import Json, console, plain, print_json

_MARKS = {"error": "[red]✗[/]", "warning": "[yellow]![/]"}
Name = Annotated[Path, typer.Argument(metavar="NAME", help="The new folder, which is named as the project will be.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE…", help="CSV files of one table, or a Parquet or JSON file.")
]
Predict = Annotated[str, typer.Option("--predict", metavar="COLUMN", help="The column to predict.")]
Ci = Annotated[
    str, typer.Option("--ci", metavar="github|gitlab", help="Write what CI does with it: check, test, run, submit.")
]
Folder = Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The project, or a folder in it; by default here.")]


def init(name: Name, files: Files, predict: Predict, ci: Ci = "", as_json: Json = False) -> None:
    """Make a project out of a data file: look at it, write a folder, and say what was guessed and why."""
    from dataclasses import asdict, replace

    from sluice.project_tools.ci_templates import add_ci, ci_text
    from sluice.project_tools.new_project import init_project

    if ci:
        ci_text(ci)  # a wrong name must not wait for the files
    written = init_project(name, files, predict)
    if ci:
        place = add_ci(written.folder, ci).relative_to(written.folder)
        written = replace(written, files=(*written.files, str(place)))
    if as_json:
        guesses = [asdict(guess) for guess in written.guesses]
        print_json({"folder": str(written.folder), "files": list(written.files), "guesses": guesses})
        return
    terminal = console()
    for guess in written.guesses:
        line = f"{plain(guess.topic):<10} [bold]{plain(guess.choice)}[/]: {plain(guess.reason)}"
        terminal.print(line, highlight=False, soft_wrap=True)
    terminal.print(f"\nwrote {plain(name)}: {', '.join(map(plain, written.files))}", highlight=False, soft_wrap=True)
    terminal.print(f"[dim]next:[/] cd {plain(name)} && sluice check", highlight=False, soft_wrap=True)


def check(folder: Folder = Path(), as_json: Json = False) -> None:
    """Check a project: its file, code, contract and data, each thing with its line; exits with 2 on errors."""
    from sluice.project_tools.project_check import check_project

    checked = check_project(folder)
    if as_json:
        print_json(checked.body())
    else:
        terminal = console()
        for finding in checked.findings:
            terminal.print(f"{_MARKS[finding.level]} {plain(finding)}", highlight=False, soft_wrap=True)
        terminal.print(plain(checked.summary()), highlight=False, soft_wrap=True)
    if checked.errors:
        raise typer.Exit(2)


def add_commands(app: typer.Typer) -> None:
    """Give the commands their places in the `sluice` command."""
    app.command(
        epilog="Examples: `sluice init houses houses.csv --predict price` · "
        "`sluice init churn jan.csv feb.csv --predict left`"
    )(init)
    app.command(epilog="Examples: `sluice check` · `sluice check houses --json | jq .findings`")(check)
