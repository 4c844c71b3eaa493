"""How the commands write: tables and progress for people, one JSON document for programs."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

PIPE_WIDTH = 240
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]


def console() -> Console:
    """The terminal; a file or a pipe is given room, so that nothing is cut off for whoever reads or greps it later."""
    found = Console(file=sys.stdout)
    return found if found.is_terminal else Console(file=sys.stdout, width=PIPE_WIDTH)


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201 - this is the command's output
