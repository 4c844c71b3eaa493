"""A pipeline as a KFP server takes it: the pipeline's spec, and the platform's spec that Kubernetes needs beside it.

KFP's compiler knows neither where a cluster keeps its stores nor what a step may use of a node, and of a parameter's
choices it cannot tell. All that is added here, to what the compiler made, so that the pipelines stay the same on a
laptop and on a cluster.

Source of the formats: kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto and
kubernetes_platform/proto/kubernetes_executor_config.proto, read at 2.14.3 and 2.17.0.
"""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from sluice.cluster.executors import built_in_resources, complete_executor, with_image
from sluice.cluster.fusing import TASK, fuse
from sluice.cluster.resources import EVERY, ResourcePlan, StepResources, from_container, largest
from sluice.cluster.step_environment import NAME, platform_config, secret_for, step_of
from sluice.core import step_images as known_images
from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_kinds import image
from sluice.core.words import near
from sluice.running.catalog import Pipeline, own_step

DIGEST_CHARACTERS = 10
_PLACES = "SLUICE_IMAGES and SLUICE_IMAGE_TAG"


@dataclass(frozen=True)
class ClusterSpec:
    """What is uploaded.

    Attributes:
        name: The pipeline's name in KFP.
        description: What it does and what each of its parameters means.
        pipeline: The pipeline's spec, JSON values.
        platform: The platform's spec, JSON values.
    """

    name: str
    description: str
    pipeline: dict[str, Any]
    platform: dict[str, Any]

    @property
    def version(self) -> str:
        """Sluice's version and the start of a digest of all that is in here: other content, other version."""
        digest = sha256_json([self.pipeline, self.platform])[:DIGEST_CHARACTERS]
        return f"{importlib.metadata.version('sluice')}-{digest}"

    def documents(self) -> dict[str, Any]:
        """Both specs in the form in which a run carries them."""
        return {"pipeline_spec": self.pipeline, "platform_spec": self.platform}

    def to_yaml(self) -> str:
        """Two YAML documents, as KFP's upload and its UI take them."""
        return yaml.safe_dump_all([self.pipeline, self.platform], sort_keys=True, allow_unicode=True, width=120)


def compile_for_cluster(
    pipeline: Pipeline,
    found: Mapping[str, str] | None = None,
    *,
    choices: bool = True,
    fused: bool = False,
    resources: ResourcePlan = ResourcePlan(),  # noqa: B008 - frozen, and empty
    step_images: Mapping[str, str] = MappingProxyType({}),
) -> ClusterSpec:
    """Compile a pipeline for a KFP server.

    Args:
        pipeline: Which.
        found: The step images, as `sluice.core.step_images.step_images` gives them; by default those of this process.
        choices: Write the parameters' choices down; a server before 2.16 refuses a spec that has them.
        fused: All steps in one pod, instead of a pod or two for each. It gets the largest of what its steps get.
        resources: What others than the pipeline say of its steps' share of a node.
        step_images: Images that a project names for its steps, by step or `*` for all; each holds Sluice.

    Raises:
        BadInput: A step image's name is none; a pipeline of the user's own, which no image holds, is to be fused;
            resources are asked for that the site does not give; they, or an image, are for a step that the pipeline
            does not have.
    """
    from google.protobuf import json_format

    spec = json_format.MessageToDict(pipeline.component.pipeline_spec)
    platform = json_format.MessageToDict(pipeline.component.platform_spec)
    if fused and not pipeline.is_sluices:
        raise BadInput(f"{pipeline.source or pipeline.name} cannot run fused: no image holds it; leave --fused out")
    given = _resources(spec, platform, resources)
    if fused:
        whole = largest([*given.values()])
        spec, platform = fuse(spec, pipeline.name), {}
        given = {label: whole.over(built_in_resources(each["container"])) for label, each in _executors(spec)}
    spec["pipelineInfo"]["description"] = description(pipeline, fused=fused)
    if choices:
        _write_choices(spec, pipeline)
    own = {}
    named = _named_images(step_images, [step_of(label) for label, _ in _executors(spec)])
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "container" in executor:
            asked = resources.asked_of(step_of(label))
            secret = _secret(label, executor)
            executor["container"] = complete_executor(
                executor["container"], pipeline.name, _renamed(found), given[label], asked
            )
            if step_of(label) in named:
                executor["container"] = with_image(executor["container"], named[step_of(label)])
            own[label] = platform_config(_present(platform, label), secret, given[label])
    spec = json.loads(json.dumps(spec, sort_keys=True))
    kubernetes = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": own}}}}
    return ClusterSpec(spec["pipelineInfo"]["name"], spec["pipelineInfo"]["description"], spec, kubernetes)


def description(pipeline: Pipeline, *, fused: bool = False) -> str:
    """What KFP's UI shows above its form, which itself shows no word about a parameter."""
    how = " All steps run in one pod." if fused else ""
    lines = [f"{pipeline.summary}{how}", ""]
    for parameter in pipeline.parameters:
        one_of = f" One of: {', '.join(map(str, parameter.choices))}." if parameter.choices else ""
        lines.append(f"{parameter.name}: {parameter.description}{one_of}")
    return "\n".join(lines)


def _secret(label: str, executor: Mapping[str, Any]) -> str:
    """The Secret of an executor; a user's own step gets that of all, whatever it is called."""
    ours = own_step(executor["container"]) or label == f"exec-{TASK}"
    return secret_for(label) if ours else NAME


def _executors(spec: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Label and content of the executors that are containers."""
    return [(label, each) for label, each in spec["deploymentSpec"]["executors"].items() if "container" in each]


def _resources(spec: Mapping[str, Any], platform: Mapping[str, Any], plan: ResourcePlan) -> dict[str, StepResources]:
    """What each executor gets, by its label."""
    plan.check_names(step_of(label) for label, _ in _executors(spec))
    return {
        label: plan.of(
            step_of(label),
            from_container(each["container"], _present(platform, label)),
            built_in_resources(each["container"]),
        )
        for label, each in _executors(spec)
    }


def _write_choices(spec: dict[str, Any], pipeline: Pipeline) -> None:
    stated = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for parameter in pipeline.parameters:
        if parameter.choices:
            stated[parameter.name]["literals"] = list(parameter.choices)


def _renamed(found: Mapping[str, str] | None) -> dict[str, str]:
    """The images to write, by those that are written now."""
    here = {known_images.TABULAR: known_images.TABULAR_IMAGE, known_images.TORCH: known_images.TORCH_IMAGE}
    wanted = found or known_images.step_images(settings().images)
    return {here[name]: image(f"{name}, or {_PLACES}", wanted.get(name, reference)) for name, reference in here.items()}


def _named_images(images: Mapping[str, str], steps: Sequence[str]) -> dict[str, str]:
    """The image of each step that a project names one for.

    Raises:
        BadInput: It names one for a step that the pipeline does not have.
    """
    for name in images:
        if name not in (EVERY, *steps):
            raise BadInput(f"steps.{name}: the pipeline has no such step{near(name, steps)}; it has {', '.join(steps)}")
    return {step: images.get(step, images.get(EVERY, "")) for step in steps if step in images or EVERY in images}


def _present(platform: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What the pipeline itself has asked of Kubernetes for one of its executors."""
    kubernetes = platform.get("platforms", {}).get("kubernetes", {})
    return dict(kubernetes.get("deploymentSpec", {}).get("executors", {}).get(label, {}))
