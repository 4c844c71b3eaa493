"""The functions that a project's own pipeline calls as steps, read from its file without running it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.project.values import split_reference

MODULE, CALL = "sluice.steps.own_step", "call"


@dataclass(frozen=True)
class StepCall:
    """A call of `sluice.steps.own_step.call` with the function's reference written out.

    Attributes:
        reference: `file.py:function`, or the name of an installed package's function.
        line: Where it stands.
    """

    reference: str
    line: int


def step_calls(path: Path) -> list[StepCall]:
    """The calls that a pipeline's file makes, in its order; none where the file is no Python, which others tell.

    Args:
        path: The file.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError):
        return []
    return sorted(_calls(tree), key=lambda each: each.line)


def step_references(folder: Path, pipeline: str) -> list[str]:
    """The references that a project's own pipeline calls as steps, each once.

    Args:
        folder: The project's.
        pipeline: `file.py:name`.

    Raises:
        BadInput: One stands in the pipeline's own file, which cannot be imported in a step.
    """
    found = split_reference(pipeline)
    if not found:
        return []
    calls = step_calls(folder / found[0])
    for each in calls:
        if problem := same_file(each.reference, pipeline):
            raise BadInput(f"{found[0]}:{each.line}: {problem}")
    return list(dict.fromkeys(each.reference for each in calls if split_reference(each.reference)))


def same_file(reference: str, pipeline: str) -> str:
    """Why a step's function cannot stand where the pipeline does, or an empty text."""
    function, flow = split_reference(reference), split_reference(pipeline)
    if not function or not flow or function[0] != flow[0]:
        return ""
    return (
        f"{reference} stands in the file of the pipeline, and in a step KFP has no @dsl.pipeline to import that with; "
        "move the function into a file of its own"
    )


def _calls(tree: ast.AST) -> Iterator[StepCall]:
    by_name = any(isinstance(node, ast.ImportFrom) and node.module == MODULE for node in ast.walk(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        function, second = node.func, node.args[1]
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        text = second.value if isinstance(second, ast.Constant) and isinstance(second.value, str) else ""
        if name == CALL and (split_reference(text) or (by_name and text and isinstance(function, ast.Name))):
            yield StepCall(text, second.lineno)
