"""What every step's container gets beside what the pipeline says: its share of a node, and who it is."""

from collections.abc import Mapping
from typing import Any

from sluice.artifacts.producer import IMAGE, PIPELINE
from sluice.core import step_images

# Requests are what a step needs to go on, limits what it may take; a pipeline's own settings win.
TABULAR_RESOURCES = {
    "resourceCpuRequest": "200m",
    "resourceCpuLimit": "2",
    "resourceMemoryRequest": "512Mi",
    "resourceMemoryLimit": "2Gi",
}
TORCH_RESOURCES = TABULAR_RESOURCES | {"resourceMemoryRequest": "1Gi", "resourceMemoryLimit": "4Gi"}
# Idle threads of BLAS and OpenMP spin; one thread also gives the same numbers on every number of cores.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# A pod's numeric user has no entry in /etc/passwd, and without one Python cannot say who it is.
USER = {"USER": "sluice"}


def complete_executor(container: Mapping[str, Any], pipeline: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    """A container with resources, image and constant environment.

    Args:
        container: Of a pipeline's spec: `PipelineDeploymentConfig.PipelineContainerSpec` as JSON values.
        pipeline: The pipeline's name, as Sluice writes it.
        renamed: The images to use, by those that the pipeline was compiled with.
    """
    image = renamed.get(container["image"], container["image"])
    defaults = TORCH_RESOURCES if container["image"] == step_images.TORCH_IMAGE else TABULAR_RESOURCES
    constants = THREADS | USER | {PIPELINE: pipeline, IMAGE: image}
    own = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    environment = [{"name": name, "value": value} for name, value in sorted((constants | own).items())]
    resources = defaults | container.get("resources", {})
    return {**container, "image": image, "env": environment, "resources": resources}
