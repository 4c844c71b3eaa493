"""The files of a project's own code, looked at without being run: are they there, and do they have what is named?"""

import ast
from collections.abc import Iterator

from sluice.project.files import Problem, ProjectFile, name_from_here
from sluice.project.values import split_reference
from sluice.project.wording import Place, near


def reference_problems(file: ProjectFile) -> Iterator[Problem]:
    """What is wrong with each `file.py:name` of a project: no such file, no such name in it, no Python."""
    for place, text in _named(file):
        found = split_reference(text)
        if not found:
            continue
        path, name = file.folder / found[0], found[1]
        if not path.is_file():
            others = [each.relative_to(file.folder).as_posix() for each in file.folder.glob("**/*.py")][:200]
            yield file.problem(place, f"{found[0]} is not there{near(found[0], others)}; write the file, or correct it")
            continue
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            yield Problem(name_from_here(path), line, f"no Python: {getattr(error, 'msg', error)}")
            continue
        names = list(_defined(tree.body))
        if name not in names and "*" not in names:
            there = f"; it has {', '.join(names[:12])}" if names else ""
            hint = near(name, names) or there
            yield file.problem(place, f"{found[0]} defines no {name!r}{hint}")
            continue
        if place[:2] == ("train", "candidates"):
            yield from _wrong_settings(file, place, tree, name)


def _wrong_settings(file: ProjectFile, place: Place, tree: ast.Module, name: str) -> Iterator[Problem]:
    """Settings of a candidate that its class does not take as arguments."""
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
        ("prepare",): project.prepare,
        ("split", "by"): project.split.by,
        ("metric",): project.metric,
        ("pipeline",): project.pipeline,
    }
    yield from ((place, text) for place, text in single.items() if text)
    for i, candidate in enumerate(project.train.candidates):
        yield ("train", "candidates", i), candidate.name


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
