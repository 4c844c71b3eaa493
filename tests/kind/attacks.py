"""Objects that a run may ask for, and the changes by which an attacker would make more of them.

Each attack is one change to an honest object, so that a refusal can have no other reason, with words of that refusal.
"""

import copy
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
ROOT_PASSWORD = "mysql-root-credentials"
SHUT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def step_pod(step: str, executor: str) -> Json:
    """A step's pod as Argo makes it, in short: its own two containers, of the executor's image, and the step's."""
    token = {"name": "exec-sa-token", "mountPath": TOKEN, "readOnly": True}
    own = {"image": executor, "securityContext": SHUT, "volumeMounts": [token]}
    owner = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "attack-abc12",
        "uid": "x",
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "attack-abc12-system-container-impl-1",
            "labels": {"pipelines.kubeflow.org/v2_component": "true", "workflows.argoproj.io/workflow": "attack-abc12"},
            "annotations": {"workflows.argoproj.io/node-id": "attack-abc12-1"},
            "ownerReferences": [owner],
        },
        "spec": {
            "serviceAccountName": "pipeline-runner",
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [{**copy.deepcopy(own), "name": "init", "command": ["argoexec", "init"]}],
            "containers": [
                {**copy.deepcopy(own), "name": "wait", "command": ["argoexec", "wait"]},
                {"name": "main", "image": step, "command": ["python"], "securityContext": SHUT, "volumeMounts": []},
            ],
            "volumes": [
                {"name": "exec-sa-token", "secret": {"secretName": "pipeline-executor.service-account-token"}},
                {"name": "sluice-tmp", "emptyDir": {}},
            ],
        },
    }


def main(pod: Json) -> Json:
    return dict_of(pod["spec"]["containers"][1])


def dict_of(value: Any) -> Json:
    assert isinstance(value, dict)
    return value


def volume(**source: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "loot", **source})


def spec(**fields: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"].update(fields)


def label(key: str, value: str) -> Callable[[Json], None]:
    return lambda pod: pod["metadata"]["labels"].update({key: value})


def variable(source: Json) -> Callable[[Json], None]:
    return lambda pod: main(pod).update(env=[{"name": "LOOT", "valueFrom": source}])


def container(index: int, **fields: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"]["containers"][index].update(fields)


def mount_token(pod: Json) -> None:
    main(pod)["volumeMounts"].append({"name": "exec-sa-token", "mountPath": TOKEN})


def as_an_agent(pod: Json) -> None:
    """An agent's pod, which mounts the driver's token, with a program of the attacker's."""
    pod["metadata"] |= {"name": "attack-abc12-agent", "annotations": {}}
    secret = {"secretName": "kfp-driver-executor-plugin.service-account-token"}
    own = {**main(pod), "volumeMounts": [{"name": "driver", "mountPath": TOKEN}]}
    pod["spec"] |= {"initContainers": [], "containers": [own], "volumes": [{"name": "driver", "secret": secret}]}


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
COPY = {"kind": "PersistentVolumeClaim", "name": "mysql"}
POD_ATTACKS: dict[str, tuple[Callable[[Json], None], str]] = {
    "the-account-that-reads-all-secrets": (
        spec(serviceAccountName="trainer-controller"),
        "ServiceAccount trainer-contr",
    ),
    "the-account-of-kfp-s-api": (spec(serviceAccountName="ml-pipeline"), "ServiceAccount ml-pipeline"),
    "no-account": (spec(serviceAccountName="default"), "ServiceAccount default"),
    "a-password-in-a-variable": (variable({"secretKeyRef": {"name": ROOT_PASSWORD, "key": "password"}}), ROOT_PASSWORD),
    "all-of-a-secret-as-variables": (
        container(1, envFrom=[{"secretRef": {"name": "mlflow-credentials"}}]),
        "the Secret mlflow-credentials",
    ),
    "a-password-as-a-file": (volume(secret={"secretName": ROOT_PASSWORD}), f"the Secret {ROOT_PASSWORD}"),
    "a-password-in-a-projection": (
        volume(projected={"sources": [{"secret": {"name": "postgresql-credentials"}}]}),
        "the Secret postgresql-credentials",
    ),
    "a-controller-s-token": (
        volume(secret={"secretName": "kfp-driver-executor-plugin.service-account-token"}),
        "the Secret kfp-driver-executor-plugin.service-account-token",
    ),
    "the-executor-s-token-in-the-step": (mount_token, "the executor's token is for Argo's own containers"),
    "the-executor-s-token-under-another-program": (
        container(0, image="sluice/python-tabular:x"),
        "the executor's token is for Argo's own containers",
    ),
    "the-executor-with-another-command": (
        container(0, command=["sh", "-c", "cat /var/run/secrets/*"]),
        "the executor's token is for Argo's own containers",
    ),
    "an-agent-with-a-program-of-its-own": (as_an_agent, "a workflow's agent holds Argo's and KFP's own programs"),
    "a-foreign-image": (container(1, image="docker.io/library/busybox:1"), "the image docker.io/library/busybox:1"),
    "an-image-that-looks-like-ours": (
        container(1, image="evil.example.org/sluice/python-tabular:1"),
        "the image evil.example.org",
    ),
    "a-pull-secret": (spec(imagePullSecrets=[{"name": ROOT_PASSWORD}]), "the image pull secret mysql-root"),
    "a-label-that-opens-the-database": (label("sluice.dev/mysql-client", "true"), "the label sluice.dev/mysql-client"),
    "a-label-that-is-the-api-s": (label("app.kubernetes.io/name", "ml-pipeline"), "the label app.kubernetes.io/name"),
    "another-run-s-workflow": (label("workflows.argoproj.io/workflow", "victim"), "is of the workflow that owns it"),
    "another-run-s-node": (
        lambda pod: pod["metadata"]["annotations"].update({"workflows.argoproj.io/node-id": "victim-1"}),
        "is of the workflow that owns it",
    ),
    "the-cluster-s-priority": (spec(priorityClassName="system-node-critical"), "priorityClassName"),
    "the-database-s-volume": (volume(persistentVolumeClaim={"claimName": "mysql"}), "the volume loot"),
    "a-copy-of-the-database-s-volume": (
        volume(ephemeral={"volumeClaimTemplate": {"spec": {**CLAIM, "dataSource": COPY}}}),
        "the volume loot",
    ),
    "a-driver-s-volume": (
        volume(csi={"driver": "x.example.org", "nodePublishSecretRef": {"name": ROOT_PASSWORD}}),
        "the volume loot",
    ),
    "a-folder-of-the-node": (volume(hostPath={"path": "/etc/kubernetes"}), "hostPath|the volume loot"),
    "the-node-s-network": (spec(hostNetwork=True), "hostNetwork|host namespaces"),
    "the-node-s-processes": (spec(hostPID=True), "hostPID|host namespaces"),
    "the-other-containers-processes": (spec(shareProcessNamespace=True), "shareProcessNamespace"),
    "a-node-by-name": (spec(nodeName="sluice-control-plane"), "may not name their node"),
    "all-of-a-node": (
        container(1, securityContext={"privileged": True}),
        "privileged",
    ),
}


def train_job(**changes: Any) -> Json:
    trainer: Json = {"numNodes": 1, "numProcPerNode": 1, "command": ["python", "-c", "pass"]}
    body: Json = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "attack"},
        "spec": {
            "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": "torch-cpu"},
            "trainer": trainer | changes.pop("trainer", {}),
        },
    }
    body["spec"] |= changes
    return body


def loot(name: str) -> Json:
    return {"env": [{"name": "LOOT", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}}]}


def patched(**pod: Any) -> list[Json]:
    jobs = [{"name": "node", "template": {"spec": {"template": {"spec": pod}}}}]
    return [
        {"manager": "attack.example.org/x", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
    ]


JOB_ATTACKS: dict[str, tuple[Json, str]] = {
    "a-password-in-a-variable": ({"trainer": loot(ROOT_PASSWORD)}, f"the Secret {ROOT_PASSWORD}"),
    "a-password-of-an-initializer": (
        {"initializer": {"dataset": {"storageUri": "s3://x/y", "secretRef": {"name": "mlflow-credentials"}}}},
        "the Secret mlflow-credentials",
    ),
    "another-account": (
        {"runtimePatches": patched(serviceAccountName="trainer-controller")},
        "runtimePatches: serviceAccountName",
    ),
    "another-volume": (
        {"runtimePatches": patched(volumes=[{"name": "x", "secret": {"secretName": ROOT_PASSWORD}}])},
        "runtimePatches: volumes",
    ),
    "a-foreign-image": ({"trainer": {"image": "docker.io/library/busybox:1"}}, "the image docker.io/library/busybox:1"),
    "a-runtime-of-another-kind": (
        {"runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": "torch"}},
        "names a TrainingRuntime of this namespace",
    ),
}


def job_set(**pod: Any) -> Json:
    """A JobSet as Trainer makes it, in short."""
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    node = {"name": "node", "image": "sluice/python-torch:x", "securityContext": SHUT}
    own = {"serviceAccountName": "training-worker", "restartPolicy": "Never", "securityContext": security}
    template = {"metadata": {"labels": pod.pop("labels", {})}, "spec": {**own, "containers": [node], **pod}}
    job = {"name": "node", "template": {"spec": {"template": template}}}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "attack"},
        "spec": {"replicatedJobs": [job]},
    }


JOBSET_ATTACKS: dict[str, tuple[Json, str]] = {
    "the-account-that-reads-all-secrets": (
        {"serviceAccountName": "trainer-controller"},
        "ServiceAccount trainer-contr",
    ),
    "the-account-of-steps": ({"serviceAccountName": "pipeline-runner"}, "ServiceAccount pipeline-runner"),
    "a-step-s-network": (
        {"labels": {"pipelines.kubeflow.org/v2_component": "true"}},
        "the label pipelines.kubeflow.org",
    ),
    "the-database-s-network": ({"labels": {"sluice.dev/postgresql-client": "true"}}, "the label sluice.dev/postgresql"),
    "a-token": ({"automountServiceAccountToken": True}, "workers of a TrainJob mount no token"),
    "kfp-s-keys": (
        {"volumes": [{"name": "x", "secret": {"secretName": "object-store-runs"}}]},
        "the Secret object-store-runs",
    ),
}


def workflow(**changes: Any) -> Json:
    template: Json = {"name": "main", "container": {"image": "sluice/python-tabular:x", "command": ["true"]}}
    template |= changes.pop("template", {})
    own: Json = {"entrypoint": "main", "serviceAccountName": "pipeline-runner", "templates": [template]}
    body: Json = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "attack"}}
    status = changes.pop("status", None)
    body["spec"] = own | changes
    return body | ({"status": status} if status else {})


WORKFLOW_ATTACKS: dict[str, tuple[Json, str]] = {
    "another-account": ({"serviceAccountName": "trainer-controller"}, "ServiceAccount trainer-controller"),
    "no-account": ({"serviceAccountName": "default"}, "ServiceAccount default"),
    "the-account-that-trains": ({"serviceAccountName": "pipeline-trainer"}, "ServiceAccount pipeline-trainer"),
    "the-drivers-account": ({"serviceAccountName": "kfp-driver-executor-plugin"}, "ServiceAccount kfp-driver"),
    "a-template-s-account": ({"template": {"serviceAccountName": "mlflow"}}, "ServiceAccount mlflow"),
    "the-executor-s-account": (
        {"executor": {"serviceAccountName": "trainer-controller"}},
        "executor.serviceAccountName",
    ),
    "another-run-s-label": (
        {"workflowMetadata": {"labels": {"pipeline/runid": "another"}}},
        "the label pipeline/runid is KFP's",
    ),
    "another-run-s-label-from-an-expression": (
        {"workflowMetadata": {"labelsFrom": {"pipeline/runid": {"expression": "'another'"}}}},
        "the label pipeline/runid is KFP's",
    ),
    "an-object-made-for-it": ({"template": {"resource": {"action": "create", "manifest": "x"}}}, "(resource)"),
    "a-copy-of-the-database-s-volume": (
        {"volumeClaimTemplates": [{"metadata": {"name": "x"}, "spec": {**CLAIM, "dataSource": COPY}}]},
        "volumeClaimTemplates",
    ),
    "a-budget-over-the-platform": (
        {"podDisruptionBudget": {"minAvailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "mysql"}}}},
        "podDisruptionBudget",
    ),
    "the-database-s-claim-to-be-deleted": (
        {"status": {"persistentVolumeClaims": [{"name": "x", "persistentVolumeClaim": {"claimName": "mysql"}}]}},
        "status.persistentVolumeClaims",
    ),
}
