"""Runs in a namespace apart, on a real API server: what the chart's accounts and policies let pass there and refuse."""

import copy
from collections.abc import Iterator

import pytest

from tests.charts.api_server import NAMESPACE, ApiServer, running, until
from tests.charts.rendering import manifests, of_kind
from tests.charts.test_admission_server import EXECUTOR, KINDS, POLICIES, SETTINGS, STEP, attacked, refuses
from tests.kind.attacks import CLAIM, POD_ATTACKS, WORKFLOW_ATTACKS, step_pod, train_job, workflow
from tests.kind.test_attacks import FORBIDDEN

RUNS = "sluice-runs"
HERE, THERE = f"--namespace={NAMESPACE}", f"--namespace={RUNS}"


def platform(name: str) -> str:
    return f"system:serviceaccount:{NAMESPACE}:{name}"


def of_runs(name: str) -> str:
    return f"system:serviceaccount:{RUNS}:{name}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with the chart's CRDs, accounts, rights and policies, and the accounts that namespaces have."""
    whole = manifests(settings=(*SETTINGS, f"runs.namespace={RUNS}"), crds=True)
    own = [item for item in of_kind(whole, *KINDS) if item["metadata"].get("namespace") == RUNS]
    own.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": RUNS}})
    with running(tmp_path_factory.mktemp("api")) as server:
        server.apply(list(of_kind(whole, "CustomResourceDefinition", "Namespace")))
        server.apply([item for item in of_kind(whole, *KINDS) if item not in own])
        done = server.kubectl("apply", THERE, "--filename=-", given=own)
        assert done.returncode == 0, done.stderr
        server.apply(list(of_kind(whole, *POLICIES)))
        argo, pod = platform("workflow-controller"), attacked()
        until(lambda: "the label" in server.ask(argo, "create", THERE, body=pod), "the policies to hold")
        yield server


def test_honest_objects_pass_where_runs_live_and_no_program_makes_them_elsewhere(api: ApiServer) -> None:
    made = (
        ("workflow-controller", step_pod(STEP, EXECUTOR)),
        ("ml-pipeline", workflow()),
        ("ml-pipeline-scheduledworkflow", workflow()),
    )
    for account, body in made:
        assert not api.ask(platform(account), "create", THERE, body=copy.deepcopy(body)), account
        assert "forbidden" in api.ask(platform(account), "create", HERE, body=copy.deepcopy(body)), account
    assert not api.ask(of_runs("pipeline-trainer"), "create", THERE, body=train_job())
    assert "forbidden" in api.ask(of_runs("pipeline-trainer"), "create", HERE, body=train_job())


@pytest.mark.parametrize("attack", POD_ATTACKS)
def test_a_workflow_s_pod_is_refused(api: ApiServer, attack: str) -> None:
    change, words = POD_ATTACKS[attack]
    pod = step_pod(STEP, EXECUTOR)
    change(pod)
    said = api.ask(platform("workflow-controller"), "create", THERE, body=pod)
    absent = f'serviceaccount "{pod["spec"]["serviceAccountName"]}" not found'  # the platform's are elsewhere
    assert refuses(said, words) or absent in said, said


@pytest.mark.parametrize("attack", WORKFLOW_ATTACKS)
def test_a_workflow_is_refused(api: ApiServer, attack: str) -> None:
    changes, words = WORKFLOW_ATTACKS[attack]
    said = api.ask(platform("ml-pipeline"), "create", THERE, body=workflow(**copy.deepcopy(changes)))
    assert refuses(said, words), said


def test_volume_claims_are_held_whichever_side_asks(api: ApiServer) -> None:
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mysql"}, "spec": CLAIM}
    for user in (of_runs("kfp-driver-executor-plugin"), platform("workflow-controller")):
        assert not api.ask(user, "create", THERE, body={**body, "metadata": {"name": "own"}}), user
        assert "no name of the platform's" in api.ask(user, "create", THERE, body=body), user
        assert "forbidden" in api.ask(user, "delete", HERE, "pvc", "mysql"), user


def may(api: ApiServer, user: str, where: str, what: str) -> bool:
    return api.kubectl("auth", "can-i", where, *what.split(), f"--as={user}").stdout.strip() != "no"


@pytest.mark.parametrize("account", FORBIDDEN)
def test_an_account_of_runs_may_do_nothing_where_the_platform_is(api: ApiServer, account: str) -> None:
    more = ("get configmaps/kfp-launcher", "get secrets/object-store-runs", "get pods", "list secrets")
    for what in (*FORBIDDEN[account], *more):
        assert not may(api, of_runs(account), HERE, what), what
    for what in FORBIDDEN[account]:
        assert not may(api, of_runs(account), THERE, what), what
    if account in ("pipeline-runner", "pipeline-trainer"):
        assert may(api, of_runs(account), THERE, "get secrets/object-store-runs"), "or all of this says nothing"


def test_kfp_ends_what_it_scheduled_before_and_nothing_else_of_its_old_place(api: ApiServer) -> None:
    kfp = platform("ml-pipeline")
    allowed = {verb for verb in ("get", "list", "create", "patch", "delete", "update")
               if may(api, kfp, HERE, f"{verb} scheduledworkflows.kubeflow.org")}  # fmt: skip
    assert allowed == {"get", "patch", "delete"}
    for what in ("get secrets", "get pods", "create workflows.argoproj.io", "delete pods", "get configmaps"):
        assert not may(api, kfp, HERE, what), what
