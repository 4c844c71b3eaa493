"""A project's folder as the custom resources that a cluster takes: what is committed for GitOps, or applied at once."""

import re
from typing import Any

from sluice.cluster.fusing import SUFFIX
from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.operator.parts import API_VERSION, NAME
from sluice.running.project_runs import LAKE, ProjectOrder

Json = dict[str, Any]


def resources_of(project: ProjectOrder, namespace: str, *, fused: bool = True, name: str = "") -> list[Json]:
    """A Project, and a ContinuousTraining that only trains when it is asked to: its triggers are for a person to add.

    Args:
        project: What its run takes; its code and its data have been handed over.
        namespace: Where the resources go.
        fused: Runs have all steps in one pod.
        name: Of both; empty for the project's own.

    Raises:
        BadInput: The name is none that Kubernetes takes.
    """
    declared = project.file.project
    name = name or re.sub(r"[^a-z0-9]+", "-", declared.name.lower()).strip("-")
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} is no name of a resource: small letters, digits and -, at most 63; give --name")
    parameters = dict(project.arguments)
    address = parameters.pop(LAKE, None)
    digests = sorted({archive.digest for archive in project.code.values()})
    code = digests[0] if len(digests) == 1 else sha256_json(digests)
    lakes = [{"name": LAKE, "address": address, "parameter": LAKE}] if address else []
    pipeline = f"{project.pipeline.name}{SUFFIX if fused else ''}"
    spec: Json = {"code": code, "pipelines": [{"name": pipeline, "parameters": parameters}]}
    training: Json = {"project": name, "model": declared.name}
    return [
        _resource("Project", name, namespace, {**spec, **({"lakes": lakes} if lakes else {})}),
        _resource("ContinuousTraining", name, namespace, training),
    ]


def _resource(kind: str, name: str, namespace: str, spec: Json) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
