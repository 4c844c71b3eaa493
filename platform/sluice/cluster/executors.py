"""What every step's container gets beside what the pipeline says: its share of a node, and who it is."""

from collections.abc import Mapping
from typing import Any

from sluice.artifacts.producer import IMAGE, PIPELINE
from sluice.cluster.resources import NO_RESOURCES, StepResources
from sluice.core import step_images
from sluice.core.variable_groups.system import SystemVariables

# What a step gets where nobody says anything: requests are what it needs to go on, limits what it may take.
TABULAR_RESOURCES = StepResources(cpu="2", cpu_request="200m", memory="2Gi", memory_request="512Mi")
TORCH_RESOURCES = StepResources(cpu="2", cpu_request="200m", memory="4Gi", memory_request="1Gi")
# Idle threads of BLAS and OpenMP spin; one thread also gives the same numbers on every number of cores.
THREADS = {SystemVariables.threads.name: "1", SystemVariables.blas_threads.name: "1"}
# A pod's numeric user has no entry in /etc/passwd, and without one Python cannot say who it is.
USER = {SystemVariables.pod_user.name: "sluice"}


def built_in_resources(container: Mapping[str, Any]) -> StepResources:
    """What a container of a pipeline's spec gets where nobody says anything."""
    return TORCH_RESOURCES if container["image"] == step_images.TORCH_IMAGE else TABULAR_RESOURCES


def complete_executor(
    container: Mapping[str, Any],
    pipeline: str,
    renamed: Mapping[str, str],
    resources: StepResources = NO_RESOURCES,
    asked: StepResources = NO_RESOURCES,
) -> dict[str, Any]:
    """A container with resources, image and constant environment.

    Args:
        container: Of a pipeline's spec: `PipelineDeploymentConfig.PipelineContainerSpec` as JSON values.
        pipeline: The pipeline's name, as Sluice writes it.
        renamed: The images to use, by those that the pipeline was compiled with.
        resources: What it gets.
        asked: What of these a project or a command line asks for.
    """
    image = renamed.get(container["image"], container["image"])
    constants = THREADS | USER | resources.variables() | {PIPELINE: pipeline, IMAGE: image}
    own = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    environment = [{"name": name, "value": value} for name, value in sorted((constants | own).items())]
    whole = with_resources(container.get("resources", {}), resources, asked)
    return {**container, "image": image, "env": environment, "resources": whole}


def with_image(container: Mapping[str, Any], image: str) -> dict[str, Any]:
    """A complete container with another image, which its environment repeats."""
    environment = [{**each, "value": image} if each["name"] == IMAGE else each for each in container["env"]]
    return {**container, "image": image, "env": environment}


def with_resources(present: Mapping[str, Any], resources: StepResources, asked: StepResources) -> dict[str, Any]:
    """KFP's `ResourceSpec` with what a step gets.

    What KFP fills in while the pipeline runs, from a parameter of it, stays unless somebody nearer asks for another.
    """
    whole, nearer = resources.to_container(), asked.to_container()
    for key, value in present.items():
        if "{{" in str(value) and key not in nearer:
            whole[key] = value
    return whole
