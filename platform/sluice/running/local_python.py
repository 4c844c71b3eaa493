"""Has KFP's local runner start each step with this very Python, wherever that and the run's folders lie.

A step's command is a shell script that calls `python3`. KFP 2.17 writes the interpreter's path in its place: unquoted,
so a blank or a `$` in the path breaks the script, and in every other argument too, so a home `/data/python3/lake` is
not found.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_CALL = "python3 -m kfp.dsl.executor_main"


def with_python(command: Sequence[str], executable: str) -> list[str]:
    """A step's command with the interpreter in the place of `python3` in the script's call, and nowhere else.

    Args:
        command: `sh -ec SCRIPT CODE ARGUMENT …`.
        executable: The interpreter's path.
    """
    return [
        word.replace(_CALL, _CALL.replace("python3", shlex.quote(executable))) if number == 2 else word
        for number, word in enumerate(command)
    ]


@contextmanager
def this_python() -> Iterator[None]:
    """KFP's runner does so for the time of the `with` block."""
    from kfp.local import subprocess_task_handler

    before = subprocess_task_handler.replace_python_executable
    subprocess_task_handler.replace_python_executable = with_python
    try:
        yield
    finally:
        subprocess_task_handler.replace_python_executable = before
