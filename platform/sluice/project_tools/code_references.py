"""The files of a project's own code, looked at without being run: are they there, and do they have what is named?"""

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sluice.core.errors import BadInput
from sluice.extending.step_functions import STEP_FUNCTIONS
from sluice.project.declaration import Candidate, GateCheck, ReportSection
from sluice.project.declaration_errors import Place, near
from sluice.project.files import FileProblem, ProjectFile, name_from_here
from sluice.project.step_calls import same_file, step_calls
from sluice.project.values import split_reference
from sluice.project_tools.component_names import outside_names


def reference_problems(file: ProjectFile) -> Iterator[FileProblem]:
    """What is wrong with each `file.py:name` of a project: no such file, no such name in it, no Python."""
    for place, text in _named(file):
        wrong = list(_problems(file, text, partial(file.problem, place)))
        yield from wrong
        if place[:2] == ("train", "candidates") and not wrong:
            yield from _wrong_settings(file, place, text)
    flow = split_reference(file.project.pipeline)
    path = file.folder / (flow[0] if flow else "")
    if flow and path.is_file():
        for used in outside_names(path.read_bytes(), str(path)):
            yield FileProblem(name_from_here(path), used.line, str(used))
    for each in step_calls(path) if flow else ():
        shown = partial(FileProblem, name_from_here(path), each.line)
        if problem := same_file(each.reference, file.project.pipeline) or _unknown_step(each.reference):
            yield shown(problem)
        else:
            yield from _problems(file, each.reference, shown)


def _unknown_step(name: str) -> str:
    """Why a package's step cannot be called, or an empty text; a project's own is looked for in its file."""
    try:
        STEP_FUNCTIONS.check_known(name)
    except BadInput as error:
        return str(error)
    return ""


def _problems(file: ProjectFile, text: str, problem: Callable[[str], FileProblem]) -> Iterator[FileProblem]:
    """What is wrong with a reference, told at the place that names it; for a text that is none, nothing."""
    found = split_reference(text)
    if not found:
        return
    path, name = file.folder / found[0], found[1]
    if not path.is_file():
        others = [each.relative_to(file.folder).as_posix() for each in file.folder.glob("**/*.py")][:200]
        yield problem(f"{found[0]} is not there{near(found[0], others)}; write the file, or correct it")
        return
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        yield FileProblem(name_from_here(path), line, f"no Python: {getattr(error, 'msg', error)}")
        return
    names = list(_defined(tree.body))
    if name not in names and "*" not in names:
        there = f"; it has {', '.join(names[:12])}" if names else ""
        yield problem(f"{found[0]} defines no {name!r}{near(name, names) or there}")


def _wrong_settings(file: ProjectFile, place: Place, text: str) -> Iterator[FileProblem]:
    """Settings of a candidate that its class does not take as arguments."""
    found = split_reference(text)
    if not found:
        return
    name, tree = found[1], ast.parse((file.folder / found[0]).read_bytes())
    defined = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    taken = _arguments(defined) if defined else None
    if taken is None:
        return
    for setting in file.project.train.candidates[int(place[2])].settings:
        if setting not in taken:
            known = near(setting, taken) or (f"; it takes {', '.join(taken)}" if taken else "; it takes none")
            yield file.problem((*place, name), f"{name} takes no argument {setting!r}{known}")


def _arguments(defined: ast.ClassDef) -> list[str] | None:
    """The arguments that a class is made with; None where the text alone does not say."""
    for node in defined.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            return None if given.kwarg else [each.arg for each in (*given.args[1:], *given.kwonlyargs)]
    return None if defined.bases or defined.decorator_list or defined.keywords else []


def _named(file: ProjectFile) -> Iterator[tuple[Place, str]]:
    project = file.project
    single: dict[Place, str | None] = {
        ("label", "kind"): project.label.kind,
        ("prepare",): project.prepare,
        ("sample", "by"): project.sample.by,
        ("split", "by"): project.split.by,
        ("metric",): project.metric,
        ("pipeline",): project.pipeline,
    }
    yield from ((place, text) for place, text in single.items() if text)
    yield from (((("sources", name), source.name)) for name, source in project.sources.items())
    lists: dict[Place, Sequence[Candidate | GateCheck | ReportSection]] = {
        ("train", "candidates"): project.train.candidates,
        ("gate", "checks"): project.gate.checks,
        ("report", "sections"): project.report.sections,
    }
    for place, entries in lists.items():
        yield from (((*place, i), entry.name) for i, entry in enumerate(entries))


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a module's top level defines; `*` where another module's names come in unseen."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.If() | ast.Try():
                yield from _defined([*node.body, *node.orelse])
                for handler in getattr(node, "handlers", ()):
                    yield from _defined(handler.body)
