"""Pipelines that a user brings: a Python file that KFP's SDK describes them in, or the YAML that it compiles.

The file is run as Python would run it by name: its folder comes first among the places that imports are looked for in,
for as long as it is read. What it prints goes to standard error, where it cannot disturb `--json`.
"""

import contextlib
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.words import near

PYTHON, YAML = (".py",), (".yaml", ".yml")
CHOICES = "CHOICES"
_REFERENCE = re.compile(r"(?P<path>.+?\.(?:py|yaml|yml))(?::(?P<name>.*))?", re.DOTALL)
WAY_OUT = "a pipeline is a function under @dsl.pipeline"


@dataclass(frozen=True)
class OwnPipeline:
    """A pipeline of the user's.

    Attributes:
        name: KFP's name of it, in letters that a folder's name may have, with `_` for `-`.
        component: KFP's own object.
        source: Where it stands, `/path/to/file.py:function`: the reference that finds it again from any folder.
        choices: What the file offers as CHOICES for its parameters.
    """

    name: str
    component: Any
    source: str
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def names_file(reference: str) -> bool:
    """Whether a word names a file, `FILE.py`, `FILE.py:NAME` or `FILE.yaml`, and none of the installed pipelines."""
    return _REFERENCE.fullmatch(reference) is not None


def load(reference: str) -> OwnPipeline:
    """Read the pipeline that a reference means.

    Args:
        reference: `FILE.py` where the file has one pipeline, `FILE.py:NAME`, or `FILE.yaml`.

    Raises:
        BadInput: There is no such file; it breaks when it is read, and the message names file and line; or it has no
            pipeline, several of which none is named, or none of that name.
    """
    found = _REFERENCE.fullmatch(reference)
    path, name = Path(found["path"] if found else reference).expanduser().absolute(), (found and found["name"]) or ""
    if not path.is_file():
        raise BadInput(f"{path} is no file; give the file of a pipeline, or a name that `sluice pipelines` lists")
    if path.suffix in YAML:
        if name:
            raise BadInput(f"{path} is a compiled pipeline, which is one alone; leave {':' + name!r} out")
        return _compiled(path)
    module = _run(path)
    chosen, component = _choose(module, path, name)
    return OwnPipeline(_own_name(component), component, f"{path}:{chosen}", dict(getattr(module, CHOICES, {})))


def functions(source: str) -> dict[str, Any]:
    """The Python functions behind the components that a file of pipelines knows, by their names; none for YAML.

    Args:
        source: As `OwnPipeline.source`.

    Raises:
        BadInput: The file breaks when it is read.
    """
    found = _REFERENCE.fullmatch(source)
    path = Path(found["path"]) if found else Path(source)
    if path.suffix not in PYTHON:
        return {}
    known = [getattr(value, "python_func", None) for value in vars(_run(path)).values()]
    return {str(function.__name__): function for function in known if callable(function)}


def _run(path: Path) -> ModuleType:
    """The file as a module, under a name that nobody else imports."""
    name = f"sluice_own_{path.stem}_{sha256_bytes(str(path).encode())[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    with _reading(path, name, module), redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The default base_image", category=FutureWarning)
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _reading(path: Path, name: str, module: ModuleType) -> Iterator[None]:
    """What an import finds meanwhile, and what is said of a file that breaks.

    The file's folder comes last: a `pandas.py` beside it must not stand in for what Sluice and KFP import.
    """
    sys.modules[name] = module
    sys.path.append(str(path.parent))
    try:
        yield
    except SyntaxError as error:
        raise BadInput(f"{error.filename or path}:{error.lineno or 1}: {error.msg}") from None
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # whatever a user's file raises, an exit too
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}:{_line(error, path)}: {type(error).__name__}: {error}") from None
    finally:
        _take_last(sys.path, str(path.parent))


def _take_last(places: list[str], place: str) -> None:
    """Take the last of a path's equal entries away; the file itself may have changed the path."""
    for position in reversed(range(len(places))):
        if places[position] == place:
            del places[position]
            return


def _line(error: BaseException, path: Path) -> int:
    """The line of the file that was on its way when it broke."""
    trail = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(trail) if frame.filename == str(path)), 1)


def _choose(module: ModuleType, path: Path, name: str) -> tuple[str, Any]:
    from kfp.dsl.base_component import BaseComponent
    from kfp.dsl.graph_component import GraphComponent

    steps = {key: value for key, value in vars(module).items() if isinstance(value, BaseComponent)}
    graphs = {key: value for key, value in steps.items() if isinstance(value, GraphComponent)}
    if name:
        if name not in steps:
            hint = near(name, [*graphs, *steps]) or _offer(graphs)
            raise BadInput(f"{path} has no pipeline {name!r}{hint}")
        return name, steps[name]
    own = {key: value for key, value in graphs.items() if value.pipeline_func.__module__ == module.__name__}
    different = {id(value): (key, value) for key, value in reversed((own or graphs).items())}
    if not different:
        raise BadInput(f"{path}:1: no pipeline stands in this file; {WAY_OUT}")
    if len(different) > 1:
        ordered = sorted(different.values(), key=lambda entry: _first_line(entry[1]))
        places = ", ".join(f"{key} (line {_first_line(value)})" for key, value in ordered)
        first = _first_line(ordered[0][1])
        raise BadInput(f"{path}:{first}: several pipelines stand here, {places}; name one: {path.name}:NAME")
    return next(iter(different.values()))


def _first_line(component: Any) -> int:  # noqa: ANN401 - KFP's
    return int(component.pipeline_func.__code__.co_firstlineno)


def _offer(graphs: Mapping[str, Any]) -> str:
    return f"; it has {', '.join(graphs)}" if graphs else f"; {WAY_OUT}"


def _compiled(path: Path) -> OwnPipeline:
    from kfp import components

    try:
        text = path.read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no UTF-8 (byte {error.start}); compile the pipeline again") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise BadInput(f"{path}:{line}: no YAML ({getattr(error, 'problem', error)}); compile it again") from None
    first = documents[0] if documents else None
    if not isinstance(first, dict) or not {"pipelineInfo", "root", "deploymentSpec"} <= set(first):
        raise BadInput(f"{path}:1: no compiled pipeline of KFP 2 (it lacks pipelineInfo, root or deploymentSpec)")
    try:
        component = components.load_component_from_text(text)
        return OwnPipeline(_own_name(component), component, str(path))
    except Exception as error:  # noqa: BLE001 - whatever KFP's reader stumbles over
        raise BadInput(f"{path}: KFP cannot read it: {type(error).__name__}: {error}; compile it again") from None


def _own_name(component: Any) -> str:  # noqa: ANN401 - KFP's
    name = str(component.pipeline_spec.pipeline_info.name)
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:60] or "pipeline"
