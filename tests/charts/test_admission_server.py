"""The admission policies on a real API server: what each lets pass and what it refuses, without a cluster."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.charts.api_server import NAMESPACE, ApiServer, running, until
from tests.charts.rendering import Manifest, manifests, named, of_kind
from tests.kind.attacks import (
    JOB_ATTACKS,
    JOBSET_ATTACKS,
    KNOWN,
    POD_ATTACKS,
    REGISTER_ATTACKS,
    WORKFLOW_ATTACKS,
    ingest_pod,
    job_set,
    known_run,
    loot,
    patched,
    register_pod,
    step_pod,
    train_job,
    with_input,
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
OWN = (
    "admission.images={ghcr.io/acme/own}",
    "admission.registering[0].image=ghcr.io/acme/own:1",
    "admission.registering[0].args={python,-m,acme.register}",
    "admission.registering[1].image=sluice/python-torch:0.0.8",
)
SOURCES = ("steps.sources.SALES.secretName=sales-database", "steps.sources.SALES.key=url")
SETTINGS = ("kfp.driver.inAgent=true", "images.tag=x", *OWN, *SOURCES)
STEP, EXECUTOR = "sluice/python-tabular:x", "quay.io/argoproj/argoexec:v3.7.18"
TORCH, LAUNCHER = "sluice/python-torch:x", "ghcr.io/kubeflow/kfp-launcher:2.17.0"
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
        argo, pod = account("workflow-controller"), attacked()
        until(lambda: "the label" in server.ask(argo, "create", body=pod), "the policies to hold")
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


@pytest.mark.long  # tests/kind/test_attacks.py makes the same attacks on a cluster
@pytest.mark.parametrize("attack", POD_ATTACKS)
def test_a_workflow_s_pod_is_refused(api: ApiServer, attack: str) -> None:
    change, words = POD_ATTACKS[attack]
    pod = step_pod(STEP, EXECUTOR)
    change(pod)
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert refuses(said, words), said


def as_argo_is_told(pod: Manifest) -> Manifest:
    """With what the chart has Argo lay over the pods of steps (templates/argo/configmap.yaml)."""
    data = named(manifests(settings=SETTINGS), "ConfigMap", "workflow-controller-configmap")["data"]
    laid, patch = (
        yaml.safe_load(data["mainContainer"]),
        yaml.safe_load(data["workflowDefaults"])["spec"]["podSpecPatch"],
    )
    wait, main = pod["spec"]["containers"]
    own = {each["name"] for each in main["env"]}
    main["env"] += [each for each in laid["env"] if each["name"] not in own]
    for each in laid["volumeMounts"]:
        if each not in main["volumeMounts"]:
            main["volumeMounts"].append(each)
            wait["volumeMounts"].append({**each, "mountPath": f"/mainctrfs{each['mountPath']}"})
    there = {each["name"] for each in pod["spec"]["volumes"]}
    pod["spec"]["volumes"] += [each for each in yaml.safe_load(patch)["volumes"] if each["name"] not in there]
    secret = yaml.safe_load(data["artifactRepository"])["s3"].get("caSecret")
    if secret:
        pod["spec"]["volumes"].append({"name": secret["name"], "secret": {"secretName": secret["name"]}})
        for each in (wait, pod["spec"]["initContainers"][0]):
            each["volumeMounts"].append({"name": secret["name"], "mountPath": f"/argo/secret/{secret['name']}"})
    return pod


def test_what_the_chart_lays_over_the_register_step_passes(api: ApiServer) -> None:
    pod = as_argo_is_told(register_pod(TORCH, EXECUTOR, LAUNCHER))
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert not said, said
    trusted = next((each for each in pod["spec"]["volumes"] if each["name"] == "sluice-trusted"), None)
    assert trusted, "TLS is on by default"
    trusted["configMap"]["name"] = "mine"
    assert "its volumes" in api.ask(account("workflow-controller"), "create", body=pod)


def test_the_register_step_s_pod_passes(api: ApiServer) -> None:
    for run in KNOWN["registers"]:
        pod = register_pod(TORCH, EXECUTOR, LAUNCHER)
        pod["spec"]["containers"][1]["args"] = run
        said = api.ask(account("workflow-controller"), "create", body=pod)
        assert not said, said


@pytest.mark.parametrize("attack", REGISTER_ATTACKS)
def test_nothing_else_has_the_keys_of_the_register_step(api: ApiServer, attack: str) -> None:
    change, words = REGISTER_ATTACKS[attack]
    pod = register_pod(TORCH, EXECUTOR, LAUNCHER)
    change(pod)
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert "the Secret sluice-register" in said, said
    assert words in said.partition("here differ: ")[2], said


def test_only_steps_that_ingest_have_the_address_of_a_database(api: ApiServer) -> None:
    argo, images = account("workflow-controller"), (TORCH, EXECUTOR, LAUNCHER)
    assert not api.ask(argo, "create", body=ingest_pod(*images))
    for run in KNOWN["ingests"]:
        if run[0] == "python":  # a fused pipeline ingests and registers
            both = register_pod(*images)
            both["spec"]["containers"][1]["env"].append(ingest_pod(*images)["spec"]["containers"][1]["env"][-1])
            both["spec"]["containers"][1]["args"] = run
            assert not api.ask(argo, "create", body=both)
            both["spec"]["containers"][1]["args"] = known_run("register")
            assert "differ: its image or command line" in api.ask(argo, "create", body=both)
    for place in ("containers", "initContainers"):
        pod = step_pod(STEP, EXECUTOR)
        pod["spec"][place][-1]["env"] = [ingest_pod(*images)["spec"]["containers"][1]["env"][-1]]
        assert "the Secret sales-database" in api.ask(argo, "create", body=pod)


ALIKE = ("a-line-more-in-the-step", "a-key-as-a-parameter", "the-environment-as-an-output", "code-of-a-home", "a-hook")


@pytest.mark.parametrize("attack", ALIKE)
def test_nothing_but_steps_that_ingest_has_them(api: ApiServer, attack: str) -> None:
    change, words = REGISTER_ATTACKS[attack]
    pod = ingest_pod(TORCH, EXECUTOR, LAUNCHER)
    change(pod)
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert "the Secret sales-database" in said, said
    assert words in said.partition("here differ: ")[2], said


def test_no_other_account_makes_the_register_step_s_pod(api: ApiServer) -> None:
    said = api.ask(JOBS, "create", body=register_pod(TORCH, EXECUTOR, LAUNCHER))
    assert "here differ: who makes the pod" in said, said


def test_the_administrator_lists_other_steps_that_register(api: ApiServer) -> None:
    argo = account("workflow-controller")
    pod = register_pod("sluice/python-torch:0.0.8", EXECUTOR, LAUNCHER)
    assert not api.ask(argo, "create", body=pod)
    own = register_pod("ghcr.io/acme/own:1", EXECUTOR, LAUNCHER)
    own["spec"]["containers"][1]["args"] = ["python", "-m", "acme.register"]
    assert not api.ask(argo, "create", body=own)
    own["spec"]["containers"][1]["args"] += ["--and-more"]
    assert "here differ: its image or command line" in api.ask(argo, "create", body=own)
    pod["spec"]["containers"][1]["args"] = ["python", "-m", "acme.register"]
    assert "here differ: its image or command line" in api.ask(argo, "create", body=pod)


def test_a_step_with_many_words_still_registers(api: ApiServer) -> None:
    """The policy's terms have a bound of what they may cost."""
    pod = register_pod(TORCH, EXECUTOR, LAUNCHER)
    with_input("inputs", "parameterValues", "features", value=["x" * 60] * 400)(pod)
    said = api.ask(account("workflow-controller"), "create", body=pod)
    assert not said, said


WAYS = ("variable", "variables", "volume", "projection", "pull")
NOISE = [
    {"name": "A", "value": "x"},
    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "sluice-steps", "key": "k"}}},
]


def steal(pod: Manifest, secret: str, way: str, kind: str, place: int, before: int) -> None:
    """Name a Secret somewhere in a pod, among things that are allowed."""
    spec = pod["spec"]
    containers = spec.setdefault(kind, [])
    while len(containers) <= place:
        containers.append({**copy.deepcopy(spec["containers"][1]), "name": f"more-{kind.lower()}-{len(containers)}"})
    noise = NOISE[:before]
    if way == "variable":
        loot = {"name": "LOOT", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k", "optional": True}}}
        containers[place]["env"] = [*noise, loot]
    elif way == "variables":
        containers[place]["envFrom"] = [{"secretRef": {"name": name}} for name in ["sluice-steps"] * before + [secret]]
    elif way == "volume":
        spec["volumes"].append({"name": "loot", "secret": {"secretName": secret, "optional": True}})
    elif way == "projection":
        sources = [{"configMap": {"name": "x"}}] * before + [{"secret": {"name": secret}}]
        spec["volumes"].append({"name": "loot", "projected": {"sources": sources}})
    else:
        spec["imagePullSecrets"] = [{"name": secret}]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    way=st.sampled_from(WAYS),
    kind=st.sampled_from(["initContainers", "containers"]),
    place=st.integers(0, 3),
    before=st.integers(0, 2),
    secret=st.sampled_from(["mysql-root-credentials", "my-sluice-steps", "sluice-steps2", "trainer-webhook-cert"]),
)
def test_no_place_of_a_pod_names_a_secret_of_the_platform(
    api: ApiServer, way: str, kind: str, place: int, before: int, secret: str
) -> None:
    argo = account("workflow-controller")
    pods = [step_pod(STEP, EXECUTOR) for _ in range(2)]
    for pod, name in zip(pods, ("sluice-steps", secret), strict=True):
        steal(pod, name, way, kind, place, before)
    if way != "pull":  # no Secret pulls images by default
        assert not api.ask(argo, "create", body=pods[0])
    said = api.ask(argo, "create", body=pods[1])
    assert f"ecret {secret}" in said, said
    assert "denied request" in said


def agent() -> Manifest:
    """An agent's pod as Argo makes it, in short: tokens from Secrets, its own program and KFP's driver."""
    pod = step_pod(STEP, EXECUTOR)
    pod["metadata"] |= {"name": "attack-abc12-1234567890-agent", "annotations": {}}
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


STEP_POD = "supervised-x7k2p-system-container-impl-42"


def belonging(kind: str, *names: str, pod: str = STEP_POD) -> Manifest:
    """A TrainJob with owners, made by a pod."""
    group = {"Workflow": "argoproj.io/v1alpha1", "PodDisruptionBudget": "policy/v1"}.get(kind, "v1")
    body = train_job()
    references = [{"apiVersion": group, "kind": kind, "name": name, "uid": "x"} for name in names]
    made = {"sluice.dev/made-by": pod}
    body["metadata"] |= {"name": "owned", "ownerReferences": references, "annotations": made}
    return body


def test_a_step_gives_its_trainjobs_to_its_own_run(api: ApiServer) -> None:
    for kind in ("Workflow", "PodDisruptionBudget"):
        assert not api.ask(
            account("pipeline-trainer"), "create", body=belonging(kind, "supervised-x7k2p"), pod=STEP_POD
        )


@pytest.mark.parametrize(
    ("kind", "owners", "pod"),
    [
        ("Workflow", ("supervised-other",), STEP_POD),
        ("PodDisruptionBudget", ("supervised-other",), STEP_POD),
        ("Workflow", ("supervised-x7k2p",), ""),
        ("Workflow", ("supervised",), STEP_POD),
        ("Workflow", ("supervised-x7k2p",), "supervised-x7k2p-evil-a1b2c-system-container-impl-42"),
        ("Workflow", ("supervised-x7k2p-system-container-impl-42",), STEP_POD),
        ("Workflow", ("supervised-x7k2p", "supervised-other"), STEP_POD),
        ("Pod", ("supervised-x7k2p",), STEP_POD),
    ],
)
def test_a_step_gives_no_trainjob_to_another_run(api: ApiServer, kind: str, owners: tuple[str, ...], pod: str) -> None:
    said = api.ask(account("pipeline-trainer"), "create", body=belonging(kind, *owners, pod=pod), pod=pod)
    assert refuses(said, "belongs to nothing but the Workflow of the run"), said


def test_a_step_takes_no_trainjob_from_another_run(api: ApiServer) -> None:
    api.apply([belonging("Workflow", "supervised-other", pod=STEP_POD.replace("x7k2p", "other"))])
    owners = belonging("Workflow", "supervised-x7k2p")["metadata"]["ownerReferences"]
    taken = f"--patch={json.dumps({'metadata': {'ownerReferences': owners}})}"
    for verb, *words in (("patch", "trainjob", "owned", "--type=merge", taken), ("delete", "trainjob", "owned")):
        said = api.ask(account("pipeline-trainer"), verb, *words, pod=STEP_POD)
        assert refuses(said, "is another run's"), said
        assert not api.ask(account("pipeline-trainer"), verb, *words[:-1], words[-1].replace("x7k2p", "other"),
                           pod=STEP_POD.replace("x7k2p", "other"))  # fmt: skip


@pytest.mark.long  # tests/kind/test_attacks.py makes the same attacks on a cluster
@pytest.mark.parametrize("attack", JOB_ATTACKS)
def test_a_trainjob_is_refused(api: ApiServer, attack: str) -> None:
    changes, words = JOB_ATTACKS[attack]
    said = api.ask(account("pipeline-trainer"), "create", body=train_job(**copy.deepcopy(changes)))
    assert refuses(said, words), said


def as_pod(name: str) -> str:
    """What the API server knows of a token that is bound to a pod."""
    return f"--as-user-extra=authentication.kubernetes.io/pod-name={name}"


def test_a_trainjob_is_its_own_run_s(api: ApiServer) -> None:
    """Another run's step has the same account; a later try of the same step is another pod of its workflow."""
    trainer, mine = account("pipeline-trainer"), "run-abc12-system-container-impl-1"
    again, other = "run-abc12-system-container-impl-22", "run-xyz98-system-container-impl-1"
    job = train_job()
    job["metadata"] |= {"name": "mine", "annotations": {"sluice.dev/made-by": mine}}
    assert not api.ask(trainer, "create", as_pod(mine), body=job)
    for liar in (other, again):
        assert "names the pod that makes it" in api.ask(trainer, "create", as_pod(liar), body=job)
    nobody_s = copy.deepcopy(job) | {"metadata": {"name": "mine"}}
    assert "names the pod that makes it" in api.ask(trainer, "create", as_pod(mine), body=nobody_s)
    api.apply([job, nobody_s | {"metadata": {"name": "a-person-s"}}])
    change = ("trainjob", "mine", "--type=merge", '--patch={"metadata":{"labels":{"x":"y"}}}')
    steal = (
        "trainjob",
        "mine",
        "--type=merge",
        f'--patch={{"metadata":{{"annotations":{{"sluice.dev/made-by":"{other}"}}}}}}',
    )
    for pod in (mine, again):
        assert not api.ask(trainer, "patch", *change, as_pod(pod))
        assert not api.ask(trainer, "delete", "trainjob", "mine", as_pod(pod))
        assert "stays that of the pod" in api.ask(trainer, "patch", *steal, as_pod(pod))
    for name in ("mine", "a-person-s"):
        said = api.ask(trainer, "delete", "trainjob", name, as_pod(other))
        assert f"TrainJob {name} is another run's" in said
    assert "is another run's" in api.ask(trainer, "patch", *change, as_pod(other))
    assert "stays that of the pod" in api.ask(trainer, "patch", *steal, as_pod(other))
    assert not api.ask(account("trainer-controller"), "patch", *change, as_pod("trainer-controller-1"))
    assert api.kubectl("delete", "trainjob", "mine").returncode == 0


@pytest.mark.long  # tests/kind/test_attacks.py makes the same attacks on a cluster
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


@pytest.mark.long  # tests/kind/test_attacks.py makes the same attacks on a cluster
@pytest.mark.parametrize("attack", WORKFLOW_ATTACKS)
def test_a_workflow_is_refused(api: ApiServer, attack: str) -> None:
    changes, words = WORKFLOW_ATTACKS[attack]
    said = api.ask(account("ml-pipeline"), "create", body=workflow(**copy.deepcopy(changes)))
    assert refuses(said, words), said


def test_claims_of_the_platform_stay(api: ApiServer) -> None:
    driver = account("kfp-driver-executor-plugin")
    assert "the platform's" in api.ask(driver, "delete", "pvc", "mysql")


def test_only_agents_say_how_tasks_ended(api: ApiServer) -> None:
    """A step has a token of the same account, but one that its pod is bound to, as the API server sees."""
    tasks = {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskSet", "metadata": {"name": "run-abc12"}}
    api.apply([tasks | {"spec": {}}, *kubectl_s_own_rights()])
    patch = ("workflowtaskset", "run-abc12", "--subresource=status", "--type=merge", '--patch={"status":{"nodes":{}}}')
    bound = "--as-user-extra=authentication.kubernetes.io/pod-name=run-abc12-system-container-impl-1"
    runner = account("pipeline-runner")
    assert not api.ask(runner, "patch", *patch)
    assert "only a workflow's agent says" in api.ask(runner, "patch", *patch, bound)
    assert not api.ask(account("workflow-controller"), "patch", *patch, bound)


def kubectl_s_own_rights() -> list[Manifest]:
    """It reads what it is about to patch, which agents do not."""
    metadata = {"name": "kubectl", "namespace": NAMESPACE}
    rule = {"apiGroups": ["argoproj.io"], "resources": ["workflowtasksets/status"], "verbs": ["get"]}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata}
    subjects = [
        {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
        for name in ("pipeline-runner", "workflow-controller")
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "kubectl"}
    binding = {"kind": "RoleBinding", "roleRef": reference, "subjects": subjects}
    return [{**kind, "kind": "Role", "rules": [rule]}, {**kind, **binding}]
