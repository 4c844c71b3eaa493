"""Names that a component takes from outside its function: KFP carries the function's source to the step, nothing else.

The step's program begins with `import kfp`, `from kfp import dsl`, `from kfp.dsl import *` and `from typing import *`,
followed by the function without its decorators. Whatever else it names must be in it, or it fails with a NameError when
it has already been given a machine. Source: `kfp.dsl.component_factory` of KFP's SDK 2.17.
"""

import ast
import builtins
import functools
import importlib.util
import symtable
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_ARTIFACTS = ("Input", "Output")  # KFP imports the artifact's class that stands in one
_ALWAYS = frozenset({"kfp", "dsl", "__name__", "__file__", "__doc__", "__builtins__"})


@dataclass(frozen=True)
class OutsideName:
    """A name that a component uses and that its step will not know.

    Attributes:
        component: The function's name.
        name: The name.
        line: Where it is first used.
        statement: The import at the top of the file that brings it there; empty where it is no import's.
    """

    component: str
    name: str
    line: int
    statement: str = ""

    def __str__(self) -> str:
        """What is wrong, and the way out."""
        way_out = (
            f"write `{self.statement}` inside"
            if self.statement
            else ("define it inside, or move the work into another file and call that (sluice.steps.own_step.call)")
        )
        return (
            f"component {self.component!r} uses {self.name!r} from outside its function, and KFP takes the function "
            f"alone along; {way_out}"
        )


def outside_names(source: bytes, file: str) -> list[OutsideName]:
    """The names that the components of a file take from outside their functions, each once a component.

    Args:
        source: The file's content; of one that is no Python, which others tell, there are none.
        file: Its name.
    """
    try:
        tree = ast.parse(source, file)
        table = symtable.symtable(source.decode("utf-8-sig"), file, "exec")
    except (SyntaxError, ValueError):
        return []
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    imports = dict(_imports(tree.body))
    scopes = {(scope.get_name(), scope.get_lineno()): scope for scope in _scopes(table)}
    found: list[OutsideName] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or (helpers := _helpers(node)) is None:
            continue
        along = [node, *(functions[name] for name in helpers if name in functions)]
        known = _known() | {function.name for function in along}
        for function in along:
            used = _globals(scopes[function.name, function.lineno]) | _of_signature(function)
            found += [
                OutsideName(node.name, name, _line(function, name), imports.get(name, ""))
                for name in sorted(used - known)
            ]
    return list(dict.fromkeys(found))


def _helpers(node: ast.FunctionDef) -> list[str] | None:
    """Of a component, the further functions that it has KFP take along; None for what is no component."""
    for decorator in node.decorator_list:
        called, keywords = (decorator.func, decorator.keywords) if isinstance(decorator, ast.Call) else (decorator, [])
        if ast.unparse(called) in ("component", "dsl.component", "kfp.dsl.component"):
            more = [each.value for each in keywords if each.arg == "additional_funcs"]
            return [each.id for value in more for each in ast.walk(value) if isinstance(each, ast.Name)]
    return None


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _scopes(child)


def _globals(scope: symtable.SymbolTable) -> set[str]:
    """The names that a function, and what is defined in it, look up in the module."""
    symbols = scope.get_symbols()
    made = {each.get_name() for each in symbols if each.is_declared_global() and each.is_assigned()}
    inner = set().union(*map(_globals, scope.get_children()))
    used = {each.get_name() for each in symbols if each.is_global() and each.is_referenced()}
    return (used | inner) - made


def _of_signature(function: ast.FunctionDef) -> set[str]:
    """The names that are looked up when the function is defined: those of its defaults and annotations."""
    given = function.args
    annotations = [each.annotation for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    told = [each for each in annotations if each and not isinstance(each, ast.Name) and not _is_artifact(each)]
    defaults = [*given.defaults, *filter(None, given.kw_defaults)]
    parts = [*told, *defaults, *([function.returns] if function.returns else [])]
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


def _is_artifact(annotation: ast.expr) -> bool:
    named = ast.unparse(annotation.value) if isinstance(annotation, ast.Subscript) else ""
    return named.rpartition(".")[2] in _ARTIFACTS


def _line(function: ast.FunctionDef, name: str) -> int:
    uses = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    decorators = {node.lineno for each in function.decorator_list for node in ast.walk(each) if hasattr(node, "lineno")}
    return min((line for line in uses if line not in decorators), default=function.lineno)


def _imports(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that a file's own imports bring, each with a statement for it alone."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _imports([*node.body, *node.orelse])
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            name = alias.asname or alias.name.partition(".")[0]
            told = ast.ImportFrom(node.module, [alias], node.level) if isinstance(node, ast.ImportFrom) else None
            yield name, ast.unparse(told or ast.Import([alias]))


@functools.cache
def _known() -> frozenset[str]:
    """What a step's program knows without the function."""
    return frozenset({*dir(builtins), *typing.__all__, *_ALWAYS, *_offered_by_kfp()})


def _offered_by_kfp() -> Iterator[str]:
    """What `from kfp.dsl import *` brings in a step; read from the file, for to import it takes a second."""
    spec = importlib.util.find_spec("kfp")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for node in ast.parse((Path(place) / "dsl/__init__.py").read_bytes()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield from ast.literal_eval(node.value)
