"""The admission policies on a real API server: what each lets pass and what it refuses, without a cluster."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.api_server import NAMESPACE, ApiServer, running, until
from tests.charts.rendering import Manifest, manifests, of_kind
from tests.kind.attacks import (
    JOB_ATTACKS,
    JOBSET_ATTACKS,
    POD_ATTACKS,
    WORKFLOW_ATTACKS,
    job_set,
    loot,
    patched,
    step_pod,
    train_job,
    workflow,
)

KINDS = (
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "PersistentVolumeClaim",
    "Secret",
)
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
SETTINGS = ("kfp.driver.inAgent=true", "images.tag=x")
STEP, EXECUTOR = "sluice/python-tabular:x", "quay.io/argoproj/argoexec:v3.7.4"
CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
JOBS = "system:serviceaccount:kube-system:job-controller"


def account(name: str) -> str:
    return f"system:serviceaccount:{NAMESPACE}:{name}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with the chart's CRDs, accounts, rights and policies."""
    whole = manifests(settings=SETTINGS, crds=True)
    with running(tmp_path_factory.mktemp("api")) as server:
        server.apply(list(of_kind(whole, "CustomResourceDefinition")))
        server.apply(list(of_kind(whole, *KINDS)))
        server.apply([controllers()])
        server.apply(list(of_kind(whole, *POLICIES)))
        refused = lambda: server.ask(account("workflow-controller"), "create", body=attacked())  # noqa: E731
        until(lambda: "the label" in refused(), "the policies to hold")
        yield server


def controllers() -> Manifest:
    """Kubernetes' controllers make pods; a server alone may have no rights for them yet."""
    subjects = [
        {"kind": "ServiceAccount", "name": f"{name}-controller", "namespace": "kube-system"}
        for name in ("replicaset", "job")
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "controllers", "namespace": NAMESPACE},
        "roleRef": reference,
        "subjects": subjects,
    }


def attacked() -> Manifest:
    pod = step_pod(STEP, EXECUTOR)
    pod["metadata"]["labels"]["sluice.dev/mysql-client"] = "true"
    return pod


def refuses(said: str, words: str) -> bool:
    return any(each in said for each in words.split("|")) and ("denied request" in said or "PodSecurity" in said)


def test_an_honest_pod_passes(api: ApiServer) -> None:
    assert not api.ask(account("workflow-controller"), "create", body=step_pod(STEP, EXECUTOR))


@pytest.mark.parametrize("attack", POD_ATTACKS)
def test_a_workflow_s_pod_is_refused(api: ApiServer, attack: str) -> None:
    change, words = POD_ATTACKS[attack]
    pod = step_pod(STEP, EXECUTOR)
    change(pod)
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert refuses(said, words), said


def agent() -> Manifest:
    """An agent's pod as Argo makes it, in short: tokens from Secrets, its own program and KFP's driver."""
    pod = step_pod(STEP, EXECUTOR)
    pod["metadata"] |= {"name": "run-abc12-1234567890-agent", "annotations": {}}
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    own = pod["spec"]["containers"][0] | {"name": "main", "command": ["argoexec"], "args": ["agent", "main"]}
    own["volumeMounts"] = [{"name": "own", "mountPath": folder}]
    driver = {key: own[key] for key in ("securityContext",)} | {"name": "kfp-driver", "image": "sluice/kfp-driver:x"}
    driver["volumeMounts"] = [{"name": "driver", "mountPath": folder}]
    tokens = {"own": "pipeline-runner", "driver": "kfp-driver-executor-plugin"}
    pod["spec"] |= {
        "automountServiceAccountToken": False,
        "initContainers": [{**own, "name": "init", "args": ["agent", "init"]}],
        "containers": [driver, own],
        "volumes": [
            {"name": name, "secret": {"secretName": f"{owner}.service-account-token"}} for name, owner in tokens.items()
        ],
    }
    return pod


def test_an_agent_s_pod_passes_from_argo_alone_and_as_it_is(api: ApiServer) -> None:
    argo = account("workflow-controller")
    assert not api.ask(argo, "create", body=agent())
    changed = agent()
    changed["spec"]["containers"][0]["command"] = ["python", "-c", "print(open('/var/run/secrets/x').read())"]
    assert "a workflow's agent holds" in api.ask(argo, "create", body=changed)
    step = agent()
    step["metadata"]["annotations"] = {"workflows.argoproj.io/node-id": "x"}  # as every pod of a template has
    assert "service-account-token" in api.ask(argo, "create", body=step)


def owned(kind: str, *, labels: dict[str, str], account_name: str = "mysql") -> Manifest:
    """A pod of the platform: with labels, Secrets and volumes that no run may have."""
    pod = step_pod(STEP, "docker.io/library/mariadb:11")
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "x", "controller": True}
    pod["metadata"] |= {"labels": labels, "ownerReferences": [owner]}
    pod["spec"]["serviceAccountName"] = account_name
    pod["spec"]["volumes"] = [{"name": "exec-sa-token", "secret": {"secretName": "mysql-credentials"}}]
    return pod


def test_the_platform_s_pods_pass_from_kubernetes_own_controllers_alone(api: ApiServer) -> None:
    labels = {"app.kubernetes.io/name": "mysql"}
    assert not api.ask(CONTROLLER, "create", body=owned("ReplicaSet", labels=labels))
    assert not api.ask(JOBS, "create", body=owned("Job", labels=labels))
    # the same from Argo's account, with an owner that only says so
    said = api.ask(account("workflow-controller"), "create", body=owned("ReplicaSet", labels=labels))
    assert "ServiceAccount mysql" in said or "denied request" in said
    # a TrainJob's pods are made by the same controller as the setup Job's
    training = labels | {"jobset.sigs.k8s.io/jobset-name": "x"}
    assert "denied request" in api.ask(JOBS, "create", body=owned("Job", labels=training))


def test_who_may_change_the_policies_is_not_held(api: ApiServer) -> None:
    done = api.kubectl("create", "--dry-run=server", "--filename=-", given=[attacked()])
    assert done.returncode == 0, done.stderr


def test_an_update_is_held_for_what_it_changes(api: ApiServer) -> None:
    """A pod from before the policies may still be marked as done; it may not be given what it had not."""
    old = attacked()
    old["metadata"]["name"] = "old"
    api.apply([old])
    argo = account("workflow-controller")
    done = ("pod", "old", "--type=merge", '--patch={"metadata":{"labels":{"workflows.argoproj.io/completed":"true"}}}')
    assert not api.ask(argo, "patch", *done)
    more = ("pod", "old", "--type=merge", '--patch={"metadata":{"labels":{"sluice.dev/kfp-client":"true"}}}')
    assert "the label sluice.dev/kfp-client" in api.ask(argo, "patch", *more)


def test_an_honest_trainjob_passes(api: ApiServer) -> None:
    where: dict[str, Any] = {"runtimePatches": patched(nodeSelector={"pool": "a"})}
    for changes in ({}, {"trainer": loot("sluice-steps")}, where):
        assert not api.ask(account("pipeline-trainer"), "create", body=train_job(**copy.deepcopy(changes)))


@pytest.mark.parametrize("attack", JOB_ATTACKS)
def test_a_trainjob_is_refused(api: ApiServer, attack: str) -> None:
    changes, words = JOB_ATTACKS[attack]
    said = api.ask(account("pipeline-trainer"), "create", body=train_job(**copy.deepcopy(changes)))
    assert refuses(said, words), said


@pytest.mark.parametrize("attack", JOBSET_ATTACKS)
def test_a_jobset_is_refused(api: ApiServer, attack: str) -> None:
    assert not api.ask(account("trainer-controller"), "create", body=job_set())
    changes, words = JOBSET_ATTACKS[attack]
    said = api.ask(account("trainer-controller"), "create", body=job_set(**copy.deepcopy(changes)))
    assert refuses(said, words), said


def test_an_honest_workflow_passes(api: ApiServer) -> None:
    assert not api.ask(account("ml-pipeline"), "create", body=workflow())
    assert not api.ask(
        account("ml-pipeline"), "create", body=workflow(executor={"serviceAccountName": "pipeline-executor"})
    )


@pytest.mark.parametrize("attack", WORKFLOW_ATTACKS)
def test_a_workflow_is_refused(api: ApiServer, attack: str) -> None:
    changes, words = WORKFLOW_ATTACKS[attack]
    said = api.ask(account("ml-pipeline"), "create", body=workflow(**copy.deepcopy(changes)))
    assert refuses(said, words), said


def test_claims_of_the_platform_stay(api: ApiServer) -> None:
    driver = account("kfp-driver-executor-plugin")
    assert "the platform's" in api.ask(driver, "delete", "pvc", "mysql")
