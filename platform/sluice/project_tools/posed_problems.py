"""The problem that a project names, as far as it can be told without running anybody's code."""

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference, split_reference
from sluice.problems.registry import FORMS, PROBLEMS, OpenedProblem, open_problem

if TYPE_CHECKING:
    from sluice.project.files import ProjectFile

_MADE_BY = "Problem"


@dataclass(frozen=True)
class Posed:
    """What is known of a problem.

    Attributes:
        form: `binary`, `multiclass` or `regression`; empty where only its code, or the label, can tell.
        metrics: The names of its own metrics; None where only its code can tell.
        problem: It itself, where it is Sluice's own.
    """

    form: str = ""
    metrics: tuple[str, ...] | None = ()
    problem: OpenedProblem | None = None


def posed_problem(file: "ProjectFile") -> Posed:
    """What a project's `label.kind` names.

    A project's own problem is looked for in its file, where `NAME = Problem(like="regression", …)` tells the form.
    """
    name = file.project.label.kind
    if not name:
        return Posed()
    if is_reference(name):
        return Posed(_stated_form(file, name), None)
    if PROBLEMS.origin(name) != "Sluice":
        return Posed("", None)
    try:
        opened = open_problem(name)
    except BadInput:  # two bring it, which is told by its name
        return Posed()
    return Posed(opened.problem.like, tuple(metric.name for metric in opened.problem.metrics), opened)


def _stated_form(file: "ProjectFile", reference: str) -> str:
    found = split_reference(reference)
    try:
        tree = ast.parse((file.folder / found[0]).read_bytes()) if found else None
    except (OSError, SyntaxError, ValueError):  # told where references are looked at
        return ""
    for node in tree.body if tree and found else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and found and target.id == found[1] for target in targets):
                return _like(node.value)
    return ""


def _like(call: ast.Call) -> str:
    if ast.unparse(call.func).rpartition(".")[2] != _MADE_BY:
        return ""
    stated = [each.value for each in call.keywords if each.arg == "like"] or call.args[:1]
    value = stated[0].value if stated and isinstance(stated[0], ast.Constant) else ""
    return value if isinstance(value, str) and value in FORMS else ""
