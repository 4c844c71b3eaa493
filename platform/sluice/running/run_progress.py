"""What a person sees while a pipeline runs: one line a step, and the step's own words beneath it while it works.

KFP's local runner prints everything to standard output. All of it goes to the run's log file; the few lines that mark
a step's begin and end, and the lines that steps address to a person, also reach the terminal.
"""

import contextlib
import io
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from sluice.core.addresses import redacted
from sluice.core.plain_text import lines, uncoloured
from sluice.core.progress import PROGRESS
from sluice.running.terminal import plain

PLAIN_NOTE_SECONDS = 2.0  # where lines cannot be overwritten, a step's words are thinned out
# KFP's own lines begin where a line begins, with the time or this word; what a step prints is set in by blanks.
_KFP = r"\d\d:\d\d:\d\d\.\d{3} - \w+ - "
_BEGIN = re.compile(rf"{_KFP}Executing task '(?P<task>[^']+)'")
_CACHED = re.compile(r"Task (?P<task>\S+) cache hit \(key=")
_END = re.compile(rf"{_KFP}Task '(?P<task>[^']+)' finished with status (?P<status>\w+)")


@contextlib.contextmanager
def captured(log: Path, console: Console, *, quiet: bool = False) -> Iterator["RunOutput"]:
    """Take over standard output and the log of this process for the time of the `with` block."""
    logger = logging.getLogger()
    with contextlib.closing(RunOutput(log, console, quiet=quiet)) as output, contextlib.redirect_stdout(output):
        handler, level, others = logging.StreamHandler(output), logger.level, logger.handlers[:]
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        try:
            yield output
        finally:
            logger.handlers[:] = others
            logger.setLevel(level)


@dataclass
class StepTimes:
    """What became of each step: seconds it took, or None when its result was reused, by step name in order."""

    seconds: dict[str, float | None] = field(default_factory=dict)


class RunOutput(io.TextIOBase):
    """Stands in for standard output while KFP's local runner works.

    Args:
        log: The file that receives every line.
        console: The terminal, or a console that writes to a file where progress is wanted plain.
        quiet: Whether to keep the terminal silent (for `--json`).
    """

    def __init__(self, log: Path, console: Console, *, quiet: bool = False) -> None:
        self.times = StepTimes()
        self._log: TextIO = log.open("w", encoding="utf-8")
        self._console = console
        self._quiet = quiet
        self._rest = ""
        self._task = ""
        self._since = 0.0
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._noted = 0.0

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def write(self, text: str) -> int:
        """Take part of a line, or several; what libraries and KFP say of addresses too loses its logins."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            shown = lines(uncoloured(redacted(line)))
            self._log.write(f"{shown}\n")
            self._read(shown)
        return len(text)

    def flush(self) -> None:
        """Bring the log up to date for whoever reads along."""
        if not self._log.closed:
            self._log.flush()

    def close(self) -> None:
        """End the log and the terminal's live line."""
        self._stop()
        if self._rest:
            self.write("\n")
        self._log.close()
        super().close()

    def _read(self, line: str) -> None:
        if found := _CACHED.match(line):
            self.times.seconds[found["task"]] = None
            self._say(f"[cyan]=[/] {found['task']:<14} [dim]reused: same code, parameters and inputs[/]")
        elif found := _BEGIN.match(line):
            self._begin(found["task"])
        elif found := _END.match(line):
            self._end(found["task"], found["status"] == "SUCCESS")
        elif PROGRESS in line:
            self._note(line.partition(PROGRESS)[2])

    def _begin(self, task: str) -> None:
        self._task, self._since, self._noted = task, time.monotonic(), 0.0
        if not self._quiet and self._console.is_terminal:
            self._spinner.update(text=f"{task} …")
            # Live would put itself before standard output, where this object already stands.
            self._live = Live(self._spinner, console=self._console, transient=True, redirect_stdout=False)
            self._live.start()

    def _end(self, task: str, succeeded: bool) -> None:
        self._stop()
        self.times.seconds[task] = seconds = time.monotonic() - self._since
        mark = "[green]✓[/]" if succeeded else "[red]✗[/]"
        self._say(f"{mark} {task:<14} [dim]{seconds:5.1f} s[/]")

    def _note(self, words: str) -> None:
        if self._live:
            self._spinner.update(text=plain(f"{self._task}: {words}"))
        elif time.monotonic() - self._noted > PLAIN_NOTE_SECONDS:
            self._noted = time.monotonic()
            self._say(f"  [dim]{plain(f'{self._task}: {words}')}[/]")

    def _stop(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, highlight=False, soft_wrap=True)
