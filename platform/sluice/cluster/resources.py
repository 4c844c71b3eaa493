"""What a step's pod may take of a node: said by the chart, by a pipeline, by a project or on the command line.

Of several, the nearest to the run wins, quantity by quantity: command line, project, pipeline, the chart's values for
the step, its values for every step, and what is built in. In the compiled pipeline they are plain values.

Source of the formats: Kubernetes, "Resource Management for Pods and Containers"; kubeflow/pipelines,
api/v2alpha1/pipeline_spec.proto (ResourceSpec) and kubernetes_executor_config.proto, read at 2.14.3 and 2.17.0.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from sluice.core.errors import BadInput
from sluice.core.quantities import amount
from sluice.core.variable_groups.system import SystemVariables
from sluice.project.declaration import NodeShare, Project, Toleration
from sluice.project.values import Bytes, Cores, Count

EVERY = "*"  # instead of a step's name: all steps
SCRATCH, SCRATCH_FOLDER = "sluice-scratch", "/scratch"  # the volume of `disk`, and where it is: TMPDIR of the step
GPU = "nvidia.com/gpu"
_NAMES = {"cpu": ("cpu", "cpu_request"), "memory": ("memory", "memory_request")}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


_Kind = TypeVar("_Kind", bound=BaseModel)


class StepResources(NodeShare):
    """What one step asks for, as a project declares it, also with Kubernetes' own names: `memoryRequest`, `gpuKind`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, validate_default=False)

    def over(self, weaker: "StepResources") -> "StepResources":
        """These, and what `weaker` says where these say nothing.

        Where these set a limit, the weaker request for it is forgotten: it was made for another limit.
        """
        mine = self.model_dump(exclude_none=True)
        theirs = weaker.model_dump(exclude_none=True)
        for limit, request in _NAMES.values():
            if limit in mine:
                theirs.pop(request, None)
            elif request in mine and limit in theirs and amount(mine[request]) > amount(theirs[limit]):
                theirs.pop(limit)
        return StepResources(**{**theirs, **mine})

    def to_container(self) -> dict[str, Any]:
        """KFP's `ResourceSpec` as JSON values."""
        found: dict[str, Any] = {}
        for name, (limit, request) in _NAMES.items():
            most, kept = getattr(self, limit), getattr(self, request) or getattr(self, limit)
            found |= {f"resource{name.title()}Limit": most} if most else {}
            found |= {f"resource{name.title()}Request": kept} if kept else {}
        if self.gpu:
            kind, count = self.gpu_kind or GPU, str(self.gpu)
            # Servers read the one pair of names or the other.
            found["accelerator"] = {"resourceType": kind, "resourceCount": count, "type": kind, "count": count}
        return found

    def to_platform(self) -> dict[str, Any]:
        """What KFP's `KubernetesExecutorConfig` says of the same: nodes, and the volume of `disk`."""
        found: dict[str, Any] = {}
        if self.node_selector:
            found["nodeSelector"] = {"labels": dict(self.node_selector)}
        tolerations = self.tolerations
        if tolerations is None and self.gpu:
            tolerations = (Toleration(key=self.gpu_kind or GPU, operator="Exists", effect="NoSchedule"),)
        if tolerations:
            found["tolerations"] = [_without_blanks(each.model_dump(by_alias=True)) for each in tolerations]
        if self.disk:
            found["genericEphemeralVolume"] = [
                {"volumeName": SCRATCH, "mountPath": SCRATCH_FOLDER, "accessModes": ["ReadWriteOnce"],
                 "size": self.disk, "defaultStorageClass": True}
            ]  # fmt: skip
        return found

    def variables(self) -> dict[str, str]:
        """What the step's environment must say for it to use them."""
        return {SystemVariables.scratch.name: SCRATCH_FOLDER} if self.disk else {}


class MaxResources(_Model):
    """The most that a site lets any step ask for; what is not given has no bound."""

    cpu: Cores | None = None
    memory: Bytes | None = None
    disk: Bytes | None = None
    gpu: Count | None = None

    def check(self, step: str, asked: StepResources) -> None:
        """Hold what was asked for against the site's bounds.

        Raises:
            BadInput: It is more.
        """
        for name in type(self).model_fields:
            most = getattr(self, name)
            for key in (name, f"{name}_request"):
                wanted = getattr(asked, key, None)
                if most is not None and wanted is not None and _number(wanted) > _number(most):
                    raise BadInput(
                        f"steps.{step}.{to_camel(key)}: {wanted} is more than this site gives a step: {most} "
                        "(steps.maxResources of the chart); ask for less"
                    )

    def cut(self, resources: StepResources) -> StepResources:
        """The same, with what nobody asked for cut to the bounds."""
        bounds = {
            key: str(most) if key != "gpu" else most
            for name, most in self.model_dump(exclude_none=True).items()
            for key in (name, f"{name}_request")
            if _number(getattr(resources, key, None) or 0) > _number(most)
        }
        return resources.model_copy(update=bounds) if bounds else resources


NO_RESOURCES, NO_MAXIMUM = StepResources(), MaxResources()


@dataclass(frozen=True)
class ResourcePlan:
    """Who says what of the steps of a run, beside the pipeline itself.

    Attributes:
        chart: The chart's values by step (steps.resourcesByStep).
        asked: The project's by step, and over them those of the command line.
        most: The site's bounds.
    """

    chart: Mapping[str, StepResources] = field(default_factory=dict)
    asked: Mapping[str, StepResources] = field(default_factory=dict)
    most: MaxResources = NO_MAXIMUM

    def of(self, step: str, pipeline: StepResources, built_in: StepResources) -> StepResources:
        """What a step gets.

        Args:
            step: Its name.
            pipeline: What the pipeline says of it.
            built_in: What it gets where nobody says anything.

        Raises:
            BadInput: The pipeline, the project or the command line asks for more than the site gives.
        """
        asked = self.asked_of(step).over(pipeline)
        self.most.check(step, asked)
        return self.most.cut(asked.over(_said(self.chart, step)).over(built_in))

    def asked_of(self, step: str) -> StepResources:
        """What the project and the command line ask for a step."""
        return _said(self.asked, step)

    def check_names(self, steps: Iterable[str]) -> None:
        """Whether a project and a command line name steps that the pipeline has.

        Raises:
            BadInput: One does not.
        """
        known = sorted(set(steps))
        for name in self.asked:
            if name != EVERY and name not in known:
                raise BadInput(
                    f"steps.{name}: the pipeline has no such step{_near(name, known)}; it has {', '.join(known)}"
                )


def _said(by_step: Mapping[str, StepResources], step: str) -> StepResources:
    return by_step.get(step, NO_RESOURCES).over(by_step.get(EVERY, NO_RESOURCES))


def read_resources(given: Mapping[str, Any], where: str = "steps") -> dict[str, StepResources]:
    """Resources by step, as a project's file or the chart's values have them.

    Args:
        given: By step, or `*` for all; each a mapping with the names of `StepResources`.
        where: What stands before a name in messages.

    Raises:
        BadInput: A name or a value is wrong.
    """
    return {step: _read(StepResources, each, f"{where}.{step}") for step, each in given.items()}


def of_project(project: Project) -> dict[str, StepResources]:
    """What a project asks for, by step."""
    return {
        step: StepResources(**asked.model_dump(exclude={"image"}, exclude_none=True))
        for step, asked in project.steps.items()
    }


def images_of(project: Project) -> dict[str, str]:
    """The images that a project names, by step."""
    return {step: asked.image for step, asked in project.steps.items() if asked.image}


def read_maximum(given: Mapping[str, Any], where: str = "steps.maxResources") -> MaxResources:
    """The site's bounds as the chart's values have them.

    Raises:
        BadInput: A name or a value is wrong.
    """
    return _read(MaxResources, given, where)


def _read(kind: type[_Kind], given: Any, where: str) -> _Kind:  # noqa: ANN401 - whatever a file holds
    if not isinstance(given, Mapping):
        raise BadInput(f"{where}: {given!r} where a mapping is wanted, such as {{cpu: '2', memory: 4Gi}}")
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise BadInput(_line(error.errors()[0], kind, where)) from None


def _line(error: Any, kind: type[BaseModel], where: str) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    place = ".".join([where, *map(str, error["loc"])])
    if error["type"] == "extra_forbidden":
        known = [each.alias or name for name, each in kind.model_fields.items()]
        word = str(error["loc"][-1])
        if len(error["loc"]) > 1:
            return f"{place}: there is no such setting"
        return f"{place}: there is no such setting{_near(word, known)}; there are {', '.join(known)}"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"


def parse_settings(words: Iterable[str]) -> dict[str, StepResources]:
    """Resources by step from a command line: `train.memory=4Gi`, `train.nodeSelector.pool=gpu`, `*.cpu=1`.

    Raises:
        BadInput: A word is not of this form, or its name or value is wrong.
    """
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        place, separator, value = word.partition("=")
        step, _, name = place.partition(".")
        if not (separator and step and name and value):
            raise BadInput(f"--resources {word}: write STEP.NAME=VALUE, such as train.memory=4Gi")
        own = found.setdefault(step.replace("-", "_"), {})
        first, _, label = name.partition(".")
        if first in ("nodeSelector", "node_selector") and label:
            own.setdefault("nodeSelector", {})[label] = value
        elif first == "tolerations":
            raise BadInput(f"--resources {word}: tolerations stand in the project's file, under steps.{step}")
        else:
            own[name] = int(value) if name == "gpu" and value.isdigit() else value
    return read_resources(found, "--resources")


def layered(*by_step: Mapping[str, StepResources]) -> dict[str, StepResources]:
    """Several, the first the strongest: for each step what each says, under those before it."""
    steps = {step: None for each in by_step for step in each}
    found = {}
    for step in steps:
        whole = NO_RESOURCES
        for each in reversed(by_step):
            # All steps, as the stronger one says, goes before one step, as the weaker one says.
            whole = _said(each, step).over(whole)
        found[step] = whole
    return found


def from_container(container: Mapping[str, Any], platform: Mapping[str, Any]) -> StepResources:
    """What a pipeline itself says of one of its executors, in KFP's two formats.

    What KFP fills in while the pipeline runs (a placeholder) is no value that can be compared, and is left alone.
    """
    given = container.get("resources", {})
    found = {
        "cpu": given.get("resourceCpuLimit"),
        "memory": given.get("resourceMemoryLimit"),
        "cpu_request": given.get("resourceCpuRequest"),
        "memory_request": given.get("resourceMemoryRequest"),
    }
    accelerator = given.get("accelerator", {})
    count = str(accelerator.get("resourceCount") or accelerator.get("count") or "")
    if count.isdigit():
        found |= {"gpu": int(count), "gpu_kind": accelerator.get("resourceType") or accelerator.get("type")}
    labels = platform.get("nodeSelector", {}).get("labels")
    tolerations = [each for each in platform.get("tolerations", []) if "tolerationJson" not in each]
    found |= {"node_selector": labels, "tolerations": _plain(tolerations) or None}
    known = {key: value for key, value in found.items() if value is not None and "{{" not in str(value)}
    return _read(StepResources, known, "pipeline")


def largest(several: Iterable[StepResources]) -> StepResources:
    """Of each quantity the largest, for steps that run one after another in one pod.

    Raises:
        BadInput: They ask for different kinds of GPUs, or for nodes that differ.
    """
    found: dict[str, Any] = {}
    for each in several:
        for name, value in each.model_dump(exclude_none=True).items():
            if name not in found:
                found[name] = value
            elif name == "node_selector" and all(found[name].get(key, text) == text for key, text in value.items()):
                found[name] = found[name] | value
            elif name == "tolerations":
                found[name] = (*found[name], *(one for one in value if one not in found[name]))
            elif name in ("node_selector", "gpu_kind") and found[name] != value:
                raise BadInput(
                    f"steps ask for different nodes ({to_camel(name)} {found[name]} and {value}): "
                    "they cannot run in one pod; submit without --fused"
                )
            elif name not in ("node_selector", "gpu_kind"):
                found[name] = max(found[name], value, key=_number)
    return StepResources(**found)


def _number(value: str | int) -> Decimal:
    return amount(value) if isinstance(value, str) else Decimal(value)


def _plain(tolerations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tolerations as KFP writes them, whose seconds are text as all 64-bit numbers of protobuf are."""
    return [
        {**each, **({"tolerationSeconds": int(each["tolerationSeconds"])} if "tolerationSeconds" in each else {})}
        for each in tolerations
    ]


def _without_blanks(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value not in ("", None)}


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
