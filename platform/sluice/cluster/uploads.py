"""Puts the pipelines into KFP: each with its fused sister, a new version only when something in it is new."""

from collections.abc import Iterator, Mapping

from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.resources import ResourcePlan
from sluice.cluster.spec import ClusterSpec, compile_for_cluster
from sluice.running.catalog import find_pipeline, pipeline_names


def all_specs(
    found: Mapping[str, str],
    *,
    choices: bool,
    resources: ResourcePlan = ResourcePlan(),  # noqa: B008 - frozen, and empty
) -> Iterator[ClusterSpec]:
    """Every pipeline compiled, then fused.

    Args:
        found: The step images by variable, as `sluice.core.step_images.step_images` gives them.
        choices: Whether the server takes `literals`.
        resources: What the site gives steps: as `sluice submit` has it, so that both compile the same version.

    Raises:
        BadInput: A pipeline asks for more than the site gives.
    """
    for name in pipeline_names():
        pipeline = find_pipeline(name)
        for fused in (False, True):
            yield compile_for_cluster(pipeline, found, choices=choices, fused=fused, resources=resources)


def upload(api: KfpApi, spec: ClusterSpec) -> bool:
    """Make the pipeline if it is not there, and add this version if that is not there; whether anything was new.

    Raises:
        BadInput: The server refuses it.
        EnvironmentFault: The server does not answer.
    """
    pipeline = api.pipeline(spec.name) or api.create_pipeline(spec)
    if spec.version in api.versions(pipeline):
        return False
    api.upload_version(pipeline, spec)
    return True
