"""The pipelines that this installation offers, found by looking, not by a list that someone must keep."""

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from sluice import pipelines
from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check
from sluice.parameters import step_checks

_FUNCTION = "--function_to_execute"  # what stands before a step's name in the command that KFP runs


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline.

    The type is KFP's word: `String`, `Integer`, `Float`, `Boolean`, `List`, `Dict`. Without choices any value will do
    that the steps' own checks take.
    """

    name: str
    type: str
    default: Any
    description: str
    choices: tuple[Any, ...] = ()
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """A pipeline by the name of its module, with KFP's own object behind it."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    component: Any


def pipeline_names() -> list[str]:
    """The names of all pipelines, sorted; nothing is imported."""
    names = (module.name for module in pkgutil.iter_modules(pipelines.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def find_pipeline(name: str) -> Pipeline:
    """Load one pipeline; dashes and underscores mean the same.

    Raises:
        BadInput: There is none of that name.
    """
    wanted, known = name.replace("-", "_"), pipeline_names()
    if wanted not in known:
        raise BadInput(f"pipeline {name!r} is unknown{near(wanted, known)}; `sluice pipelines` lists them")
    module = importlib.import_module(f"sluice.pipelines.{wanted}")
    component, choices = getattr(module, wanted), getattr(module, "CHOICES", {})
    inputs = component.component_spec.inputs or {}
    checks = _checks(component.pipeline_spec)
    parameters = tuple(
        # KFP writes a list's type with that of its items, `List[String]`; the items are the step's to check.
        Parameter(
            key,
            i.type.partition("[")[0],
            i.default,
            i.description or "",
            choices.get(key, ()),
            tuple(checks.get(key, ())),
        )
        for key, i in inputs.items()
    )
    return Pipeline(wanted, (component.description or "").split("\n\n")[0], parameters, component)


def _checks(spec: Any) -> dict[str, list[Check]]:  # noqa: ANN401 - KFP's message PipelineSpec
    """What the steps ask of each parameter of a pipeline that is handed to them as it is."""
    found: dict[str, list[Check]] = {}
    for task in spec.root.dag.tasks.values():
        stated = step_checks(_step(spec, task.component_ref.name))
        for name, source in task.inputs.parameters.items():
            if name in stated and source.component_input_parameter:
                found.setdefault(source.component_input_parameter, []).append(stated[name])
    return found


def _step(spec: Any, component: str) -> str:  # noqa: ANN401 - as above
    """The name of the step's function, which is that of its folder; empty for what is no step of ours."""
    label = spec.components[component].executor_label
    words = spec.deployment_spec["executors"][label]["container"]["args"] if label else ()
    words = list(words)
    return str(words[words.index(_FUNCTION) + 1]) if _FUNCTION in words else ""


def near(word: str, known: list[str]) -> str:
    """` (did you mean 'x'?)` when a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
