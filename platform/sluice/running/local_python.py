"""Has KFP's local runner start each step with this very Python, wherever that and the run's folders lie.

A step's command is a shell script that calls `python3`. KFP 2.17 writes the interpreter's path in its place: unquoted,
so a blank or a `$` in the path breaks the script, and in every other argument too, so a home `/data/python3/lake` is
not found.

A component that lists packages begins with another script, which calls pip. On this machine nothing is installed behind
the user's back: what is asked for must be there, which is looked at before the first step, and that script is left out.
"""

import importlib.metadata
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from sluice.core.errors import BadInput
from sluice.running.step_packages import WITH_VALUE

_CALL = "python3 -m kfp.dsl.executor_main"
_SHELL = ["sh", "-ec"]
_PIP = "-m pip "


def with_python(command: Sequence[str], executable: str) -> list[str]:
    """A step's command with the interpreter in the place of `python3` in the script's call, and nowhere else.

    Args:
        command: `sh -ec SCRIPT CODE ARGUMENT …`, or `sh -c INSTALLING sh -ec SCRIPT CODE ARGUMENT …`.
        executable: The interpreter's path.
    """
    words = list(command)
    if _installs(words):
        words = words[3:]
    return [
        word.replace(_CALL, _CALL.replace("python3", shlex.quote(executable))) if number == 2 else word
        for number, word in enumerate(words)
    ]


def check_runs_here(executors: Mapping[str, Any]) -> None:
    """See that each step of a pipeline can run on this machine, before the first one does.

    Args:
        executors: Of a compiled pipeline, by label: `ExecutorSpec` as JSON values.

    Raises:
        BadInput: A step is a program of a container image, or asks for packages that are not installed here.
    """
    for label, executor in executors.items():
        if "container" not in executor:
            continue
        container, step = executor["container"], label.removeprefix("exec-")
        command = [str(word) for word in container.get("command", [])]
        if not any(_CALL in word for word in command):
            raise BadInput(
                f"step {step!r} runs a program of the image {container.get('image')!r}, and on this machine only "
                "components of Python functions run; `sluice submit` runs it on a cluster"
            )
        lacking = _lacking(command, _installed()) if _installs(command) else []
        if lacking:
            raise BadInput(
                f"step {step!r} asks for {', '.join(lacking)}, which this Python does not have; install it beside "
                "Sluice, or run the pipeline by `sluice submit` on a cluster"
            )


def _installed() -> dict[str, str]:
    """The version of each package by its normalized name, read anew: a notebook goes on while pip installs."""
    return {canonicalize_name(each.name): each.version for each in importlib.metadata.distributions()}


def _installs(command: Sequence[str]) -> bool:
    return len(command) > 5 and _PIP in command[2] and list(command[3:5]) == _SHELL


def _lacking(command: Sequence[str], installed: Mapping[str, str]) -> list[str]:
    """The requirements that the installing script names and this Python does not meet."""
    lacking = []
    for part in command[2].replace("\n", "&&").split("&&"):
        before, found, words = part.partition(f"{_PIP}install ")
        if found and "python" in before:
            lacking += [word for word in _named(shlex.split(words)) if not _met(word, installed)]
    return lacking


def _named(words: Sequence[str]) -> Iterator[str]:
    """What pip is asked for, without its options."""
    rest = iter(words)
    for word in rest:
        if word in WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-") and word not in ('"$0"', "$0", "$@"):
            yield word


def _met(word: str, installed: Mapping[str, str]) -> bool:
    """Whether a requirement is met; KFP's own is, whatever its version, since this KFP's runner starts the step."""
    try:
        wanted = Requirement(word)
        name = canonicalize_name(wanted.name)
        if name == "kfp" or (wanted.marker and not wanted.marker.evaluate()):
            return True
        found = installed.get(name)
        return found is not None and not wanted.url and wanted.specifier.contains(Version(found), prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return False


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
