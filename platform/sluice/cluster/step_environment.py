"""How a step's pod learns where the stores are: from a Secret and a ConfigMap of the release, never from the spec."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice.artifacts.producer import RUN
from sluice.cluster.resources import NO_RESOURCES, StepResources
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.storage.locations import STORE
from sluice.storage.s3 import ENDPOINTS, KEYS, REGIONS
from sluice.storage.tries import TRIES_VARIABLE

if TYPE_CHECKING:
    from kfp import dsl

NAME = "sluice-steps"  # of the Secret and of the ConfigMap
REGISTER = "sluice-register"  # the Secret of the one step that makes versions, moves aliases and records promotions
PEOPLE = "sluice-people"  # that of commands typed outside the cluster
ACCOUNTS = (NAME, REGISTER, PEOPLE)
RUNS_NAMESPACE = (
    ClusterVariables.runs_namespace.name
)  # in the ConfigMap where pods of runs live apart (runs.namespace of the chart)
REGISTERING = ("register", "all-steps")  # a fused pipeline's one task registers too
SECRET_KEYS = (*KEYS, TrackingVariables.username.name, TrackingVariables.password.name)
# Its client's own settings: large artifacts go straight to the object store, which steps reach; how often it tries.
MLFLOW = (
    TrackingVariables.uri.name,
    TrackingVariables.direct_upload.name,
    TrackingVariables.direct_download.name,
    TrackingVariables.retries.name,
)
CONFIG_KEYS = (STORE, TRIES_VARIABLE, ENDPOINTS[1], REGIONS[0], *MLFLOW)
# Of the ConfigMap: the object store and MLflow for who is no pod of a run.
DIRECT, DIRECT_TRACKING = ClusterVariables.store.name, ClusterVariables.tracking.name
RUN_LABEL = "metadata.labels['pipeline/runid']"  # KFP sets it on every pod of a run, of a recurring one too


def use_stores(task: "dsl.PipelineTask", secret: str = NAME) -> "dsl.PipelineTask":
    """Give a step of a pipeline of your own the release's object store and MLflow, as Sluice's steps have them.

    Its code finds the variables that boto3, MLflow and `sluice.storage.locations.default_store` read, and its run's id
    in SLUICE_RUN. Neither an address nor a key stands in the compiled pipeline.

    Args:
        task: Of a component, called inside a pipeline.
        secret: The name of the Secret with its accounts: that of the steps, which log runs and add datasets and models;
            REGISTER for a step that makes versions of models and moves their aliases, which the release must list
            (admission.registering).

    Returns:
        The same task.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import common

    # Not by KFP's own functions: since 2.16 they write a field that servers of 2.14 refuse.
    message = common.get_existing_kubernetes_config_as_message(task)
    ours = {key: value for key, value in _ours(secret).items() if key.endswith("AsEnv")}
    message.MergeFrom(json_format.ParseDict(ours, type(message)()))
    task.platform_config["kubernetes"] = json_format.MessageToDict(message)
    return task


def secret_for(executor: str) -> str:
    """The name of the Secret with the accounts of an executor, by KFP's label of it, such as `exec-register`."""
    return REGISTER if _label(executor) in REGISTERING else NAME


def step_of(executor: str) -> str:
    """The step's name by KFP's label of its executor: `exec-train-distributed-2` is of `train_distributed`."""
    return _label(executor).replace("-", "_")


def _label(executor: str) -> str:
    return re.sub(r"-[0-9]+$", "", executor.removeprefix("exec-"))  # KFP numbers equal names


def platform_config(
    present: Mapping[str, Any], secret: str = NAME, resources: StepResources = NO_RESOURCES
) -> dict[str, Any]:
    """Kubernetes' part of an executor: `KubernetesExecutorConfig` as JSON values.

    Args:
        present: What the pipeline itself has asked for, in the same form; it is kept, and where only one value can
            stand it wins, but over nodes and volumes that `resources` says.
        secret: The name of the Secret with its accounts.
        resources: What the step gets, the pipeline's own among it.

    Returns:
        The whole, read by KFP's own message once, so that no misspelt field is left to a server to find.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes

    message = json_format.ParseDict(_ours(secret), kubernetes.KubernetesExecutorConfig())
    nodes = resources.to_platform()
    kept = {key: value for key, value in present.items() if key not in nodes or key == "genericEphemeralVolume"}
    if "tolerations" in nodes:  # those that a pipeline's parameter says are no part of `resources`
        kept["tolerations"] = [each for each in present.get("tolerations", []) if "tolerationJson" in each]
    for each in (kept, nodes):
        message.MergeFrom(json_format.ParseDict(each, kubernetes.KubernetesExecutorConfig()))
    whole: dict[str, Any] = json_format.MessageToDict(message)
    return whole


def _ours(name: str) -> dict[str, Any]:
    secret = [{"secretKey": key, "envVar": key} for key in SECRET_KEYS]
    config = [{"configMapKey": key, "envVar": key} for key in CONFIG_KEYS]
    # Servers read the name from the one field or from the other.
    accounts, places = ({"runtimeValue": {"constant": constant}} for constant in (name, NAME))
    return {
        "secretAsEnv": [{"secretName": name, "secretNameParameter": accounts, "keyToEnv": secret}],
        "configMapAsEnv": [{"configMapName": NAME, "configMapNameParameter": places, "keyToEnv": config}],
        "fieldPathAsEnv": [{"name": RUN, "fieldPath": RUN_LABEL}],
        "imagePullPolicy": "IfNotPresent",
    }
