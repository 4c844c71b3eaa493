"""How the commands write: tables and progress for people, one JSON document for programs.

What a text holds is shown, never obeyed: names from a lake reach a terminal through here alone.
"""

import json
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from sluice.core.plain_text import lines, one_line

PIPE_WIDTH = 240
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]
_NOT_PLAIN = re.compile(r"[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


class Terminal(Console):
    """Rich's console, whose texts cannot move the cursor, clear the screen or turn the direction of writing."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich renders it, with hidden characters written out; its own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(lines(segment.text), segment.style)


def console(file: TextIO | None = None) -> Terminal:
    """The terminal; a file or a pipe is given room, so that nothing is cut off for whoever reads or greps it later.

    Args:
        file: By default standard output.
    """
    found = Terminal(file=file or sys.stdout)
    return found if found.is_terminal else Terminal(file=file or sys.stdout, width=PIPE_WIDTH)


def plain(text: object) -> str:
    """A text for rich's markup: on one line, and no markup itself, whoever chose its letters."""
    return escape(one_line(str(text)))


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON
    """Print a value as JSON, in letters that standard output can write."""
    text = json.dumps(value, indent=2, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))
    print(_NOT_PLAIN.sub(lambda match: json.dumps(match[0])[1:-1], text))  # noqa: T201 - this is the command's output
