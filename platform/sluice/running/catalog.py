"""The pipelines that can be run: Sluice's own, those of installed packages, and those of a user's own files."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check
from sluice.core.words import near as near
from sluice.parameters import step_checks, step_parameters
from sluice.pipelines import PIPELINES
from sluice.pipelines import pipeline_names as pipeline_names
from sluice.running import own_pipelines, package_pipelines

_FUNCTION = "--function_to_execute"  # what stands before a step's name in the command that KFP runs
TYPES = ("String", "Integer", "Float", "Boolean", "List", "Dict")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline.

    The type is KFP's word: `String`, `Integer`, `Float`, `Boolean`, `List`, `Dict`. Without choices any value will do
    that the steps' own checks take. One that is required has no default.
    """

    name: str
    type: str
    default: Any
    description: str
    choices: tuple[Any, ...] = ()
    checks: tuple[Check, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Pipeline:
    """A pipeline with KFP's own object behind it.

    Attributes:
        name: That of its module, or of a package's entry point, with `_` for `-`; of a user's own pipeline, that
            which KFP makes of its name.
        summary: What it does, in a sentence.
        parameters: What it can be given.
        component: KFP's object.
        source: The file, and the function in it, of a user's own pipeline; empty for one of this installation.
        package: The installed package that brings it, with its version; empty for Sluice's and a user's own.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    component: Any
    source: str = ""
    package: str = ""

    @property
    def origin(self) -> str:
        """Who brings it."""
        return self.source or self.package or "Sluice"

    @property
    def is_sluices(self) -> bool:
        """Whether Sluice brings it, so that its images hold it and it leaves a report and a result."""
        return not self.source and not self.package

    @property
    def reference(self) -> str:
        """What finds it again, from any folder: its name, or its file."""
        return self.source or self.name


class Handed(NamedTuple):
    """A parameter of a pipeline that one of Sluice's steps is handed as it is: the step, and its own name for it."""

    step: str
    name: str


def find_pipeline(name: str) -> Pipeline:
    """Load one pipeline; dashes and underscores mean the same.

    Args:
        name: Of Sluice's or an installed package's, or a user's `FILE.py`, `FILE.py:NAME` or `FILE.yaml`.

    Raises:
        BadInput: There is none of that name, or the file is none that a pipeline can be read from.
    """
    if own_pipelines.names_file(name):
        own = own_pipelines.load(name)
        return _described(own.name, own.component, own.choices, source=own.source)
    wanted, known = name.replace("-", "_"), PIPELINES.names()
    found = [each for each in known if each.replace("-", "_") == wanted]
    if not found:
        raise BadInput(f"pipeline {name!r} is unknown{near(wanted, known)}; `sluice pipelines` lists them")
    chosen = name if name in found else found[0]
    if chosen in pipeline_names():
        PIPELINES.check_known(chosen)  # a package's of the same name is refused
        module = importlib.import_module(f"sluice.pipelines.{chosen}")
        return _described(chosen, getattr(module, chosen), getattr(module, "CHOICES", {}))
    brought = package_pipelines.load(chosen)
    return _described(wanted, brought.component, brought.choices, package=brought.package)


def find_all() -> tuple[list[Pipeline], dict[str, str]]:
    """All that are installed, Sluice's first, and by its name why a package's cannot be run."""
    names = pipeline_names()
    found, broken = [], {}
    for name in [*names, *(each for each in PIPELINES.names() if each not in names)]:
        try:
            found.append(find_pipeline(name))
        except BadInput as error:
            broken[name] = str(error)
    return found, broken


def _described(
    name: str,
    component: Any,  # noqa: ANN401 - KFP's
    choices: Mapping[str, tuple[Any, ...]],
    *,
    source: str = "",
    package: str = "",
) -> Pipeline:
    spec = component.pipeline_spec
    handed = _handed(spec, spec.root.dag)
    steps = set(steps_of(spec))
    found = []
    for key, stated in (component.component_spec.inputs or {}).items():
        # KFP writes a list's type with that of its items, `List[String]`; the items are the step's to check.
        kind = stated.type.partition("[")[0]
        if kind not in TYPES:
            raise BadInput(f"pipeline {name} takes {key!r}, a {stated.type}, and a run begins with plain values only")
        places = handed.get(key, [])
        checks = [check for each in places if (check := step_checks(each.step, steps).get(each.name))]
        offered = choices.get(key) or next(filter(None, map(_choices, places)), ())
        required = not stated.optional
        words = stated.description or ""
        found.append(Parameter(key, kind, stated.default, words, tuple(offered), tuple(checks), required))
    return Pipeline(name, (component.description or "").split("\n\n")[0], tuple(found), component, source, package)


def parameters_of(pipeline: Pipeline, step: str, name: str) -> list[str]:
    """The parameters of a pipeline that one of Sluice's steps is handed as this parameter of its own."""
    return sorted(key for key, places in handed_of(pipeline).items() if Handed(step, name) in places)


def handed_of(pipeline: Pipeline) -> dict[str, list[Handed]]:
    """By parameter of a pipeline, the steps of ours that are handed it as it is."""
    spec = pipeline.component.pipeline_spec
    return _handed(spec, spec.root.dag)


def _choices(handed: Handed) -> tuple[Any, ...]:
    stated = step_parameters(handed.step)
    return stated.choices().get(handed.name, ()) if stated else ()


def _handed(spec: Any, dag: Any) -> dict[str, list[Handed]]:  # noqa: ANN401 - KFP's messages PipelineSpec and DagSpec
    """By parameter of a pipeline, the steps of ours that are handed it as it is, in pipelines within it too."""
    found: dict[str, list[Handed]] = {}
    for task in dag.tasks.values():
        component = spec.components[task.component_ref.name]
        step = _step(spec, component)
        inner = {} if component.executor_label else _handed(spec, component.dag)
        for name, source in task.inputs.parameters.items():
            if source.component_input_parameter:
                places = [Handed(step, name)] if step else inner.get(name, [])
                found.setdefault(source.component_input_parameter, []).extend(places)
    return found


def steps_of(spec: Any) -> Iterator[str]:  # noqa: ANN401 - KFP's message PipelineSpec
    """The names of the steps of ours that a pipeline runs."""
    return filter(None, (_step(spec, component) for component in spec.components.values()))


def _step(spec: Any, component: Any) -> str:  # noqa: ANN401 - KFP's messages PipelineSpec and ComponentSpec
    """The name of the step's function, which is that of its folder; empty for what is no step of ours."""
    label = component.executor_label
    executor = spec.deployment_spec["executors"][label] if label else {}
    return own_step(executor["container"]) if label and "container" in executor else ""


def own_step(container: Any) -> str:  # noqa: ANN401 - a mapping, or KFP's message Struct
    """The name of the step of ours that a container runs; empty for a user's own, whatever that is called."""
    words = [str(word) for word in container["args"]] if "args" in container else []
    name = words[words.index(_FUNCTION) + 1] if _FUNCTION in words[:-1] else ""
    source = str(list(container["command"])[-1]) if name and "command" in container else ""
    return name if f"from sluice.components.{name}." in source or f"import sluice.components.{name}." in source else ""
