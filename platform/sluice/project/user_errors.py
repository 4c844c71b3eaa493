"""What a user's own code raises, told in one line that names the file and the line of theirs."""

import difflib
import errno
import linecache
import re
import sys
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sluice.core.addresses import redacted
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError, TimeIsUp
from sluice.core.lifeline import Stopped
from sluice.core.plain_text import lines
from sluice.project.imports import syntax_error

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class ProjectPlace:
    """Where a project's files lie.

    Attributes:
        folder: The folder that their code names.
        files: Their paths in the project.
        package: What their modules' names begin with; messages leave it out.
    """

    folder: Path
    files: Collection[str]
    package: str

    def file(self, path: str) -> str:
        """The project's file behind the path that a frame names, or an empty text."""
        start = f"{self.folder}/"
        name = path.removeprefix(start)
        return name if path.startswith(start) and name in self.files else ""

    def plain(self, text: str) -> str:
        """A text of Python's without the package's name and the folder."""
        text = text.replace(f"from '{self.package}' (unknown location)", "from the project's folder")
        return re.sub(rf"{re.escape(self.package)}\.?", "", text).replace(f"{self.folder}/", "")


def told(
    error: BaseException, what: str, place: ProjectPlace, *, importing: bool = False, log: bool = False
) -> SluiceError | None:
    """The one line; None for what must pass as it is: our own errors, a deadline, a run that is being ended, Ctrl-C.

    Args:
        error: What was raised.
        what: What was being done.
        place: Whose lines are the user's.
        importing: Whether the file was being imported.
        log: Print the traceback to standard error, from the user's first line on.
    """
    if isinstance(error, SluiceError | Stopped | TimeIsUp | GeneratorExit):
        return None
    where = last_line(error.__traceback__, place)
    if isinstance(error, KeyboardInterrupt) and not _raises_it(where, place):
        return None
    if log:
        _log(error, place)
    if isinstance(error, SyntaxError) and (file := place.file(error.filename or "")):
        return BadInput(f"{what}: {syntax_error(error, file)}")
    at = f"{where}: " if where else ""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _FULL):
        return EnvironmentFault(f"{what}: {at}{_named(error, place)}; give it more, or have it need less")
    if isinstance(error, SystemExit):
        hint = "; put what only runs as a program under `if __name__ == '__main__':`" if importing else ""
        return BadInput(f"{what}: {at}it ends the program ({_named(error, place)}){hint}")
    if isinstance(error, ModuleNotFoundError) and error.name:
        return BadInput(f"{what}: {at}{_missing(place.plain(error.name), place)}")
    return BadInput(f"{what}: {at}{_named(error, place)}")


def last_line(trace: TracebackType | None, place: ProjectPlace) -> str:
    """`file:line` of the innermost frame that is the user's, or an empty text."""
    found = ""
    for frame, line in traceback.walk_tb(trace):
        if file := place.file(frame.f_code.co_filename):
            found = f"{file}:{line}"
    return found


def _missing(module: str, place: ProjectPlace) -> str:
    known = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in place.files]
    close = difflib.get_close_matches(module, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "add its file, or run where the package is installed"
    return f"there is no module {module!r}, neither in the project's code nor installed here; {hint}"


def _named(error: BaseException, place: ProjectPlace) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's own __str__
        text = "(its text cannot be shown)"
    said = place.plain(text).strip()
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _raises_it(where: str, place: ProjectPlace) -> bool:
    """Whether the user's own line raises KeyboardInterrupt; else a person has pressed Ctrl-C."""
    file, _, line = where.rpartition(":")
    return bool(file) and "KeyboardInterrupt" in linecache.getline(str(place.folder / file), int(line))


def _log(error: BaseException, place: ProjectPlace) -> None:
    trace = error.__traceback__
    while trace and not place.file(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    shown = traceback.TracebackException(type(error), error, trace or error.__traceback__)
    own = str(Path(__file__).with_name("code.py"))  # what stands between two of the user's files
    shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if frame.filename != own])
    sys.stderr.write(lines(redacted(place.plain("".join(shown.format())))))
