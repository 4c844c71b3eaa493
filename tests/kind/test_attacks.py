"""What a run must not become: each attack with the account that an attacker would have, refused by a line that helps.

An attacker here writes pipelines, starts runs through KFP's API, and runs code in a step. Objects that Argo, JobSet and
Trainer would make of what such a one writes are sent with their accounts, as a server-side dry run.
"""

import copy
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from kfp import dsl

from sluice.cluster.step_environment import REGISTER, use_stores
from sluice.components.register import component
from tests.kind.attacks import (
    CLAIM,
    COPY,
    JOB_ATTACKS,
    JOBSET_ATTACKS,
    POD_ATTACKS,
    REGISTER_ATTACKS,
    ROOT_PASSWORD,
    WORKFLOW_ATTACKS,
    Json,
    job_set,
    loot,
    patched,
    register_pod,
    step_pod,
    train_job,
    workflow,
)
from tests.kind.cluster import Cluster

SAYS = ("ValidatingAdmissionPolicy", "PodSecurity")


def ask(cluster: Cluster, account: str, verb: str, body: Json, *words: str) -> subprocess.CompletedProcess[str]:
    """What the API server says to an account of the release's namespace that makes an object; nothing is kept."""
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    command = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, verb, "--as", user]
    command += ["--dry-run=server", "--filename", "-", *words]
    text = json.dumps(body)
    return subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=60)


def images(cluster: Cluster) -> tuple[str, str]:
    """The image of steps, and that of Argo's executor."""
    deployment = cluster.apps.read_namespaced_deployment("workflow-controller", cluster.namespace)
    args = deployment.spec.template.spec.containers[0].args
    return cluster.step_image(), next(word.partition("=")[2] for word in args if word.startswith("--executor-image="))


def test_an_honest_step_s_pod_is_admitted(cluster: Cluster) -> None:
    """Or every refusal below would prove nothing."""
    done = ask(cluster, "workflow-controller", "create", step_pod(*images(cluster)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("attack", POD_ATTACKS)
def test_a_workflow_s_pod_is_refused(cluster: Cluster, attack: str) -> None:
    change, said = POD_ATTACKS[attack]
    pod = step_pod(*images(cluster))
    change(pod)
    refused(ask(cluster, "workflow-controller", "create", pod), said)


def launched(cluster: Cluster) -> tuple[str, str, str, str]:
    """The images of the register step, of Argo's executor and of KFP's launcher, and the bucket of KFP's artifacts."""
    own = cluster.core.read_namespaced_config_map("sluice-steps", cluster.namespace).data
    root = cluster.core.read_namespaced_config_map("kfp-launcher", cluster.namespace).data["defaultPipelineRoot"]
    api = cluster.apps.read_namespaced_deployment("ml-pipeline", cluster.namespace)
    env = {each.name: each.value for each in api.spec.template.spec.containers[0].env}
    return own["SLUICE_TORCH_IMAGE"], images(cluster)[1], env["V2_LAUNCHER_IMAGE"], root.split("/")[2]


def test_an_honest_register_step_s_pod_is_admitted(cluster: Cluster) -> None:
    done = ask(cluster, "workflow-controller", "create", register_pod(*launched(cluster)))
    assert done.returncode == 0, done.stderr


# What the API server's own test tries one by one; here one of each kind.
@pytest.mark.parametrize(
    "attack",
    [
        "a-line-more-in-the-step",
        "a-key-as-a-parameter",
        "the-environment-as-an-output",
        "code-that-argo-brings",
        "code-of-a-home",
        "keys-sent-to-another-server",
        "code-over-the-code",
        "a-hook",
        "one-container-more",
        "keys-for-argo-s-container",
    ],
)
def test_nothing_else_has_the_keys_of_the_register_step(cluster: Cluster, attack: str) -> None:
    change, said = REGISTER_ATTACKS[attack]
    pod = register_pod(*launched(cluster))
    change(pod)
    done = ask(cluster, "workflow-controller", "create", pod)
    refused(done, "the Secret sluice-register")
    assert said in done.stderr.partition("here differ: ")[2], done.stderr


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode != 0, f"admitted: {done.stdout}"
    assert any(words in done.stderr for words in said.split("|")), done.stderr
    assert any(words in done.stderr for words in SAYS), done.stderr


def test_a_pod_that_is_there_gets_no_label_and_no_container(cluster: Cluster) -> None:
    """With the account of the controller that may change pods; on a pod that an honest run left or that waits."""
    pods = cluster.core.list_namespaced_pod(cluster.namespace, label_selector="app.kubernetes.io/name=mlflow").items
    name = pods[0].metadata.name
    patch = json.dumps({"metadata": {"labels": {"sluice.dev/mysql-client": "true"}}})
    user = f"system:serviceaccount:{cluster.namespace}:jobset-controller"
    words = ("patch", "pod", name, "--as", user, "--dry-run=server", "--type=merge", "--patch", patch)
    command = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, *words]
    refused(
        subprocess.run(command, check=False, capture_output=True, text=True, timeout=60), "the label sluice.dev/mysql"
    )


def test_an_honest_trainjob_is_admitted_from_the_account_that_trains(cluster: Cluster) -> None:
    where = {"runtimePatches": patched(nodeSelector={"pool": "a"})}
    for changes in ({}, {"trainer": loot("sluice-steps")}, where):
        done = ask(cluster, "pipeline-trainer", "create", train_job(**copy.deepcopy(changes)))
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("attack", JOB_ATTACKS)
def test_a_trainjob_is_refused(cluster: Cluster, attack: str) -> None:
    changes, said = JOB_ATTACKS[attack]
    refused(ask(cluster, "pipeline-trainer", "create", train_job(**copy.deepcopy(changes))), said)


@pytest.mark.parametrize("attack", JOBSET_ATTACKS)
def test_what_trainer_would_make_of_an_odd_runtime_is_refused(cluster: Cluster, attack: str) -> None:
    honest = ask(cluster, "trainer-controller", "create", job_set())
    assert honest.returncode == 0, honest.stderr
    changes, said = JOBSET_ATTACKS[attack]
    refused(ask(cluster, "trainer-controller", "create", job_set(**copy.deepcopy(changes))), said)


def test_an_honest_workflow_is_admitted(cluster: Cluster) -> None:
    done = ask(cluster, "ml-pipeline", "create", workflow())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("attack", WORKFLOW_ATTACKS)
def test_a_workflow_is_refused(cluster: Cluster, attack: str) -> None:
    changes, said = WORKFLOW_ATTACKS[attack]
    refused(ask(cluster, "ml-pipeline", "create", workflow(**copy.deepcopy(changes))), said)


def test_a_schedule_with_another_account_is_refused(cluster: Cluster) -> None:
    body = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "ScheduledWorkflow",
        "metadata": {"name": "attack"},
        "spec": {"serviceAccount": "trainer-controller", "trigger": {"periodicSchedule": {"intervalSecond": 60}}},
    }
    refused(ask(cluster, "ml-pipeline", "create", body), "ServiceAccount trainer-controller")


@pytest.mark.parametrize("account", ["kfp-driver-executor-plugin", "workflow-controller"])
def test_the_database_s_volume_claim_is_neither_deleted_nor_copied(cluster: Cluster, account: str) -> None:
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    command = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, "delete", "pvc", "mysql"]
    command += ["--as", user, "--dry-run=server"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    refused(done, "this volume claim is the platform's")
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "copy"}, "spec": CLAIM}
    assert ask(cluster, account, "create", body).returncode == 0
    refused(ask(cluster, account, "create", {**body, "spec": {**CLAIM, "dataSource": COPY}}), "begins empty")


FORBIDDEN = {
    "pipeline-runner": (
        "create trainjobs.trainer.kubeflow.org",
        "create jobsets.jobset.x-k8s.io",
        "create workflows.argoproj.io",
        "create workflowtaskresults.argoproj.io",
        "create pods",
        "create pods/exec",
        "create serviceaccounts/token",
        "delete persistentvolumeclaims",
        "list secrets",
        f"get secrets/{ROOT_PASSWORD}",
        "get pods",
        "get pods/log",
    ),
    "pipeline-trainer": (
        "create jobsets.jobset.x-k8s.io",
        "create pods",
        "delete pods",
        "create pods/exec",
        f"get secrets/{ROOT_PASSWORD}",
        "create trainingruntimes.trainer.kubeflow.org",
        "patch trainingruntimes.trainer.kubeflow.org",
        "create workflowtaskresults.argoproj.io",
    ),
    "pipeline-executor": (
        "get secrets",
        "get pods",
        "create trainjobs.trainer.kubeflow.org",
        "patch workflows.argoproj.io",
    ),
    "training-worker": ("get secrets", "get pods", "get configmaps", "create trainjobs.trainer.kubeflow.org"),
    "kfp-driver-executor-plugin": ("get secrets", "create pods", "patch workflowtasksets.argoproj.io"),
}


@pytest.mark.parametrize("account", FORBIDDEN)
def test_the_accounts_of_runs_may_do_little(cluster: Cluster, account: str) -> None:
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    can = [
        what
        for what in FORBIDDEN[account]
        if cluster.kubectl("auth", "can-i", *what.split(), "--as", user, check=False).strip() != "no"
    ]
    assert not can


def submit(cluster: Cluster, task: Callable[[str], Any], *, name: str, **options: Any) -> str:
    """Start a run of one step; its id."""

    @dsl.pipeline(name=name)
    def attack() -> None:
        task(cluster.step_image()).set_caching_options(False)

    return str(cluster.kfp.create_run_from_pipeline_func(attack, **options).run_id)


def said_by(cluster: Cluster, run: str) -> str:
    """What a run's workflow says of its nodes, as KFP's page shows it."""
    found = json.loads(cluster.kubectl("get", "workflows", "-l", f"pipeline/runid={run}", "-o", "json"))["items"]
    nodes = [node.get("message", "") for item in found for node in item["status"].get("nodes", {}).values()]
    return "\n".join([*nodes, *(item["status"].get("message", "") for item in found)])


def idle(image: str) -> Any:
    @dsl.component(base_image=image, install_kfp_package=False)
    def step() -> None:
        pass

    return step()


def with_config(**config: Any) -> Callable[[str], Any]:
    """A step with Kubernetes' settings as kfp-kubernetes writes them, without the fields that 2.14 refuses."""

    def make(image: str) -> Any:
        task = idle(image)
        task.platform_config["kubernetes"] = config
        return task

    return make


def constant(value: str) -> Json:
    return {"runtimeValue": {"constant": value}}


PIPELINES: dict[str, tuple[Callable[[str], Any], str]] = {
    "a-password-in-a-variable": (
        with_config(
            secretAsEnv=[
                {
                    "secretName": ROOT_PASSWORD,
                    "secretNameParameter": constant(ROOT_PASSWORD),
                    "keyToEnv": [{"secretKey": "password", "envVar": "LOOT"}],
                }
            ]
        ),
        f"the Secret {ROOT_PASSWORD}",
    ),
    "a-token-as-a-file": (
        with_config(
            secretAsVolume=[
                {
                    "secretName": "trainer-webhook-cert",
                    "secretNameParameter": constant("trainer-webhook-cert"),
                    "mountPath": "/loot",
                }
            ]
        ),
        "the Secret trainer-webhook-cert",
    ),
    "a-label": (
        with_config(podMetadata={"labels": {"sluice.dev/mysql-client": "true"}}),
        "the label sluice.dev/mysql-client",
    ),
    "a-foreign-image": (lambda _: idle("docker.io/library/busybox:1"), "the image docker.io/library/busybox:1"),
}


@pytest.mark.parametrize("attack", ["a-program-of-one-s-own", "a-key-as-a-parameter"])
def test_a_pipeline_gets_no_keys_of_the_register_step(
    cluster: Cluster, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through KFP: a step that is called the same, and the release's own that would print a key as a parameter."""
    image = launched(cluster)[0]

    @dsl.component(base_image=image, install_kfp_package=False)
    def judge(evaluation: dsl.Output[dsl.Artifact]) -> None:
        from pathlib import Path

        Path(evaluation.path).write_text("{}")

    @dsl.component(base_image=image, install_kfp_package=False)
    def register() -> None:
        import os

        print(sorted(os.environ))

    monkeypatch.setattr(component.register.component_spec.implementation.container, "image", image)

    @dsl.pipeline(name=f"attack-register-{attack}")
    def attacked() -> None:
        if attack == "a-key-as-a-parameter":
            evaluation = judge().set_caching_options(False).outputs["evaluation"]
            task = component.register(splits="$(AWS_SECRET_ACCESS_KEY)", models="x", evaluation=evaluation)
        else:
            task = register()
        use_stores(task.set_caching_options(False), REGISTER)

    run = str(cluster.kfp.create_run_from_pipeline_func(attacked, enable_caching=False).run_id)
    assert cluster.wait(run, 300) == "FAILED"
    said = said_by(cluster, run)
    assert "are for those steps as this release compiles them" in said, said
    assert ("its image or command line" if attack == "a-program-of-one-s-own" else "KFP's launcher") in said, said


@pytest.mark.parametrize("attack", PIPELINES)
def test_a_pipeline_of_kfp_gets_no_such_pod(cluster: Cluster, attack: str) -> None:
    task, said = PIPELINES[attack]
    run = submit(cluster, task, name=f"attack-{attack}", enable_caching=False)
    assert cluster.wait(run, 300) == "FAILED"
    assert said in said_by(cluster, run), said_by(cluster, run)


def test_a_run_names_no_account_of_the_platform(cluster: Cluster) -> None:
    """KFP's API itself says why."""
    with pytest.raises(Exception, match="ServiceAccount trainer-controller"):
        submit(cluster, idle, name="attack-account", service_account="trainer-controller")


SCRIPT = """
import json, os, ssl, urllib.request, urllib.error
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
token, namespace = (open(f"{folder}/{name}").read() for name in ("token", "namespace"))
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
argo = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}"
train = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{namespace}"
MERGE = "application/merge-patch+json"
def ask(method, path, body=None, kind="application/json"):
    request = urllib.request.Request(host + path, method=method, data=json.dumps(body).encode() if body else None)
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", kind)
    try:
        return urllib.request.urlopen(request, context=context, timeout=20).status
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.loads(error.read()).get('message', '')}"
workflow = os.environ["ARGO_NODE_ID"].rsplit("-", 1)[0]
core = f"/api/v1/namespaces/{namespace}"
said = {
    "secrets": ask("GET", f"{core}/secrets"),
    "password": ask("GET", f"{core}/secrets/mysql-root-credentials"),
    "pods": ask("GET", f"{core}/pods"),
    "trainjobs": ask("POST", f"{train}/trainjobs", {"kind": "TrainJob"}),
    "results": ask("POST", f"{argo}/workflowtaskresults", {"kind": "WorkflowTaskResult", "metadata": {"name": "x"}}),
    "tasks": ask("PATCH", f"{argo}/workflowtasksets/{workflow}/status", {"status": {"nodes": {}}}, MERGE),
    "settings": ask("GET", f"{core}/configmaps/kfp-launcher"),
}
print("SAID", json.dumps(said))
"""


def with_its_token(image: str) -> Any:
    @dsl.container_component
    def step() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image=image, command=["python", "-c", SCRIPT])

    return step()


def test_a_step_s_own_token_opens_nothing(cluster: Cluster) -> None:
    run = submit(cluster, with_its_token, name="attack-token", enable_caching=False)
    assert cluster.wait(run, 300) == "SUCCEEDED", said_by(cluster, run)
    (line,) = [line for line in cluster.run_logs(run).splitlines() if "SAID {" in line]
    said = json.loads(line[line.index("{") :])
    assert said.pop("settings") == 200, "the token works"
    assert "only a workflow's agent says" in str(said.pop("tasks"))
    assert all(str(each).startswith("403 ") for each in said.values()), said


def test_a_workflow_of_argo_s_own_is_held_as_kfp_s_are(cluster: Cluster) -> None:
    """KFP 2.14 takes Argo's own format through its API of old; 2.17 is told to refuse it."""
    body = workflow(serviceAccountName="trainer-controller")
    body["metadata"] = {"generateName": "attack-"}
    spec_ = {"workflow_manifest": json.dumps(body)}
    with pytest.raises(Exception, match=r"ServiceAccount trainer-controller|v1|V1|not supported|invalid"):
        cluster.kfp._run_api.api_client.call_api(
            "/apis/v1beta1/runs",
            "POST",
            body={"name": "attack", "pipeline_spec": spec_},
            auth_settings=["Bearer"],
            response_type="object",
        )
