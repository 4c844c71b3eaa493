"""A pipeline as a KFP server takes it: the pipeline's spec, and the platform's spec that Kubernetes needs beside it.

KFP's compiler knows neither where a cluster keeps its stores nor what a step may use of a node, and of a parameter's
choices it cannot tell. All that is added here, to what the compiler made, so that the pipelines stay the same on a
laptop and on a cluster.

Source of the formats: kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto and
kubernetes_platform/proto/kubernetes_executor_config.proto, read at 2.14.3 and 2.17.0.
"""

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from sluice.cluster.executors import complete_executor
from sluice.cluster.fusing import fuse
from sluice.cluster.step_environment import platform_config, secret_for
from sluice.core import step_images
from sluice.core.digests import sha256_json
from sluice.core.settings import image
from sluice.running.catalog import Pipeline

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
    pipeline: Pipeline, found: Mapping[str, str] | None = None, *, choices: bool = True, fused: bool = False
) -> ClusterSpec:
    """Compile a pipeline for a KFP server.

    Args:
        pipeline: Which.
        found: The step images, as `sluice.core.step_images.step_images` gives them; by default those of this process.
        choices: Write the parameters' choices down; a server before 2.16 refuses a spec that has them.
        fused: All steps in one pod, instead of a pod or two for each.

    Raises:
        BadInput: A step image's name is none.
    """
    from google.protobuf import json_format

    spec = json_format.MessageToDict(pipeline.component.pipeline_spec)
    platform = json_format.MessageToDict(pipeline.component.platform_spec)
    if fused:
        spec, platform = fuse(spec, pipeline.name), {}
    spec["pipelineInfo"]["description"] = description(pipeline, fused=fused)
    if choices:
        _write_choices(spec, pipeline)
    own = {}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "container" in executor:
            executor["container"] = complete_executor(executor["container"], pipeline.name, _renamed(found))
            own[label] = platform_config(_present(platform, label), secret_for(label))
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


def _write_choices(spec: dict[str, Any], pipeline: Pipeline) -> None:
    stated = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for parameter in pipeline.parameters:
        if parameter.choices:
            stated[parameter.name]["literals"] = list(parameter.choices)


def _renamed(found: Mapping[str, str] | None) -> dict[str, str]:
    """The images to write, by those that are written now."""
    here = {step_images.TABULAR: step_images.TABULAR_IMAGE, step_images.TORCH: step_images.TORCH_IMAGE}
    wanted = found or step_images.step_images(os.environ)
    return {here[name]: image(f"{name}, or {_PLACES}", wanted.get(name, reference)) for name, reference in here.items()}


def _present(platform: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What the pipeline itself has asked of Kubernetes for one of its executors."""
    kubernetes = platform.get("platforms", {}).get("kubernetes", {})
    return dict(kubernetes.get("deploymentSpec", {}).get("executors", {}).get(label, {}))
