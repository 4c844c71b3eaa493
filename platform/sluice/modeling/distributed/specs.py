"""The TrainJob as a dictionary: what of it is ours to say, and what is the TrainingRuntime's."""

from collections.abc import Mapping
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.variable_groups.stores import S3Variables
from sluice.modeling.distributed.job_settings import JOB, Job, Running

GROUP, VERSION, TRAINJOBS, RUNTIMES = "trainer.kubeflow.org", "v1alpha1", "trainjobs", "trainingruntimes"
SECRET = "sluice-steps"  # noqa: S105 - its name
SECRET_KEYS = (S3Variables.access_key.name, S3Variables.secret_key.name)
FRAMEWORK = "trainer.kubeflow.org/framework"
OWN_IMAGE = "sluice.dev/own-image"
"""The annotation of a runtime whose image must stay; by default workers run in the step's image: the same code."""
LONGEST_NAME = 48
"""A longer name, with what JobSet adds to it, is too long for a pod: the job would stall with only an event."""
MADE_BY = "sluice.dev/made-by"
"""The annotation with the pod that made a TrainJob: the chart lets no pod of another run change it."""
_GPU = "nvidia.com/gpu"
_NODE = "node"


def train_job(
    name: str,
    job: Job,
    running: Running,
    runtime: Mapping[str, Any],
    environment: Mapping[str, str],
    pod: Mapping[str, Any],
    owners: list[dict[str, Any]],
) -> dict[str, Any]:
    """The TrainJob of a job.

    Args:
        name: At most 48 characters.
        job: What the workers are told.
        running: The runtime, and the deadline.
        runtime: The TrainingRuntime's object.
        environment: Variables of the workers that hold no secrets.
        pod: The step's own pod, or an empty mapping outside a cluster.
        owners: References to what takes the TrainJob along when it is deleted.

    Returns:
        The object without a namespace. Credentials are named, not copied: they come from the Secret sluice-steps.

    Raises:
        BadInput: The runtime is no TrainingRuntime for torch.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{name!r} has more than {LONGEST_NAME} characters")
    container = trainer_container(runtime, running.runtime)
    values = {**environment, JOB: job.to_json()}
    env: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in sorted(values.items())]
    env += [{"name": key, "valueFrom": _from_secret(key)} for key in SECRET_KEYS]
    trainer = {"numNodes": job.learning.workers, "numProcPerNode": processes_per_node(container), "env": env}
    image = own_image(pod)
    if image and runtime["metadata"].get("annotations", {}).get(OWN_IMAGE) != "true":
        trainer["image"] = image
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": _labels(pod), "annotations": _maker(pod), "ownerReferences": owners},
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": running.runtime},
            "trainer": trainer,
            # The step ends the job itself; this bounds what a step that was killed leaves behind.
            "activeDeadlineSeconds": running.timeout_seconds,
        },
    }


def trainer_container(runtime: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The container that trains.

    Raises:
        BadInput: The runtime has none, or is for another framework.
    """
    framework = runtime["metadata"].get("labels", {}).get(FRAMEWORK, "torch")
    if framework != "torch":
        raise BadInput(f"runtime {name!r} is for {framework}; train_distributed trains a torch network")
    for replicated in runtime["spec"]["template"]["spec"]["replicatedJobs"]:
        for container in replicated["template"]["spec"]["template"]["spec"]["containers"]:
            if container["name"] == _NODE:
                found: Mapping[str, Any] = container
                return found
    raise BadInput(f"runtime {name!r} has no container named {_NODE!r}, which Kubeflow Trainer asks for")


def processes_per_node(container: Mapping[str, Any]) -> int:
    """One for each GPU that a worker gets, else one: Trainer's own guess would be the number of CPUs."""
    return max(1, int(container.get("resources", {}).get("limits", {}).get(_GPU, 1)))


def workflow_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A reference to the owner of the step's pod, Argo's Workflow, or to the pod itself where nothing owns it."""
    meta = pod["metadata"]
    own = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    found = (meta.get("ownerReferences") or [own])[0]
    return {key: found[key] for key in ("apiVersion", "kind", "name", "uid")}


def reference_to(budget: Mapping[str, Any]) -> dict[str, Any]:
    """A reference to a PodDisruptionBudget."""
    meta = budget["metadata"]
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "name": meta["name"], "uid": meta["uid"]}


def own_image(pod: Mapping[str, Any]) -> str:
    """The image of the step's own container, empty outside a cluster."""
    containers = pod["spec"]["containers"] if pod else []
    main = [c for c in containers if c["name"] == "main"] or containers
    return str(main[0]["image"]) if main else ""


def _labels(pod: Mapping[str, Any]) -> dict[str, str]:
    run = (pod["metadata"].get("labels") or {}).get("pipeline/runid", "") if pod else ""
    return {"app.kubernetes.io/part-of": "sluice", **({"pipeline/runid": run} if run else {})}


def _maker(pod: Mapping[str, Any]) -> dict[str, str]:
    return {MADE_BY: pod["metadata"]["name"]} if pod else {}


def _from_secret(key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": SECRET, "key": key, "optional": True}}
