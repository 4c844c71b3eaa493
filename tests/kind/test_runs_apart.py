"""Runs in a namespace apart from the platform's credentials: a release switches to it, is attacked there, and back.

The policies of admission are opened for a password of the platform's, as an administrator might do by mistake: it is
out of the runs' reach nevertheless, since no pod can name what is not in its namespace.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl

from tests.kind.attacks import ROOT_PASSWORD, train_job
from tests.kind.cluster import ROOT, Cluster
from tests.kind.test_attacks import FORBIDDEN, ask, submit, with_config
from tests.kind.test_network_policies import PROBE
from tests.kind.test_release import helm

RUNS = "sluice-runs"
# Two upgrades of the release: tests/charts/test_runs_apart_server.py makes the attacks on an API server.
pytestmark = pytest.mark.long
SWITCH = {"runs": {"namespace": RUNS}, "admission": {"secrets": [ROOT_PASSWORD]}}
GONE_SECONDS = 180


@pytest.fixture(scope="module")
def scheduled(cluster: Cluster) -> str:
    """A recurring run that was made before the release switched; its id."""
    pipelines = cluster.kfp.list_pipelines(page_size=100).pipelines or []
    pipeline = next(p.pipeline_id for p in pipelines if p.display_name == "supervised")
    version = cluster.kfp.list_pipeline_versions(pipeline).pipeline_versions[0].pipeline_version_id
    experiment = cluster.kfp.create_experiment("recurring").experiment_id
    job = cluster.kfp.create_recurring_run(
        experiment, "every-day", interval_second=86400, no_catchup=True, pipeline_id=pipeline, version_id=version
    )
    return str(job.recurring_run_id)


@pytest.fixture(scope="module")
def apart(cluster: Cluster, scheduled: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The namespace of runs, while the release has one; after it the release as it was."""
    folder = tmp_path_factory.mktemp("values")
    before, switch = folder / "before.yaml", folder / "switch.yaml"
    before.write_text(helm(cluster, "get", "values", "sluice", "--output", "yaml"))
    switch.write_text(yaml.safe_dump(SWITCH))
    try:
        upgrade(cluster, before, switch)
        yield Cluster(cluster.name, RUNS)
    finally:
        upgrade(cluster, before)
        cluster.kubectl("wait", "--for=delete", f"namespace/{RUNS}", f"--timeout={GONE_SECONDS}s")
        assert "torch-cpu" in cluster.kubectl("get", "trainingruntimes", "-o", "name")


def upgrade(cluster: Cluster, *values: Path) -> None:
    """To these values and no others, as one does who keeps them in files."""
    files = [word for path in values for word in ("--values", str(path))]
    wait = ("--wait", "--wait-for-jobs", "--timeout", "8m")
    helm(cluster, "upgrade", "sluice", str(ROOT / "charts/sluice"), *files, *wait)
    cluster.ready()


def pods(cluster: Cluster, run: str) -> list[Any]:
    return list(cluster.core.list_namespaced_pod(cluster.namespace, label_selector=f"pipeline/runid={run}").items)


def test_a_run_lives_apart_from_the_platform(cluster: Cluster, apart: Cluster) -> None:
    """Through KFP, the object store and MLflow and back; its driver runs in the workflow's agent."""
    assert "Succeeded" in helm(cluster, "test", "sluice", "--timeout", "5m")
    found = re.search(r"run (\S+) started", cluster.kubectl("logs", "job/sluice-check"))
    assert found
    assert [pod.metadata.name for pod in pods(apart, found[1]) if "impl" in pod.metadata.name]
    assert not pods(cluster, found[1])


def test_what_was_scheduled_before_can_still_be_deleted(cluster: Cluster, apart: Cluster, scheduled: str) -> None:
    assert cluster.kubectl("get", "scheduledworkflows", "-o", "name").strip()
    assert not apart.kubectl("get", "scheduledworkflows", "-o", "name").strip()
    cluster.kfp.disable_recurring_run(scheduled)
    cluster.kfp.delete_recurring_run(scheduled)
    assert not cluster.kubectl("get", "scheduledworkflows", "-o", "name").strip()


def test_secrets_that_stand_with_the_runs_are_these(cluster: Cluster, apart: Cluster) -> None:
    found = {item.metadata.name for item in apart.core.list_namespaced_secret(RUNS).items}
    tokens = {f"{name}.service-account-token" for name in ("pipeline-runner", "pipeline-executor")}
    tokens.add("kfp-driver-executor-plugin.service-account-token")
    assert found == {"sluice-steps", "sluice-register", "object-store-runs", "sluice-ca"} | tokens
    for name in ("sluice-steps", "sluice-register", "object-store-runs"):
        assert apart.secret(name) == cluster.secret(name), name


def test_doctor_looks_at_both(cluster: Cluster, apart: Cluster) -> None:
    told = json.loads(cluster.sluice("doctor", "--cluster", "--json").stdout)
    assert f"they live in namespace {RUNS}" in json.dumps(told)
    assert not [each for each in told if each["level"] == "error"], told


def test_a_password_of_the_platform_is_not_there_and_the_run_can_be_cancelled(cluster: Cluster, apart: Cluster) -> None:
    key = {"secretKey": "password", "envVar": "LOOT"}
    secret = {"runtimeValue": {"constant": ROOT_PASSWORD}}
    steal = with_config(secretAsEnv=[{"secretName": ROOT_PASSWORD, "secretNameParameter": secret, "keyToEnv": [key]}])
    run = submit(cluster, steal, name="attack-apart", enable_caching=False)

    def waits() -> str:
        states = [c.state.waiting for p in pods(apart, run) for c in p.status.container_statuses or []]
        return next((f"{state.reason}: {state.message}" for state in states if state and state.message), "")

    said = cluster.until(waits, 120, "the step's pod to want the Secret")
    assert said == f'CreateContainerConfigError: secret "{ROOT_PASSWORD}" not found'
    assert "is being cancelled" in cluster.sluice("cancel", run).stdout
    # Argo ends a cancelled workflow as failed, and KFP 2.14 takes that over.
    assert cluster.wait(run, 120) in ("CANCELED", "FAILED")
    cluster.until(
        lambda: not [pod for pod in pods(apart, run) if pod.status.phase in ("Pending", "Running")], 60, "no pod of it"
    )


@pytest.mark.parametrize("account", FORBIDDEN)
def test_the_accounts_of_runs_may_do_little_where_they_live_and_nothing_elsewhere(
    cluster: Cluster, apart: Cluster, account: str
) -> None:
    user = f"system:serviceaccount:{RUNS}:{account}"
    here = [what for what in FORBIDDEN[account] if may(apart, user, what)]
    everything = {"get configmaps/kfp-launcher", "get secrets/object-store-runs", "get pods", "list trainingruntimes"}
    elsewhere = [what for what in {*FORBIDDEN[account], *everything} if may(cluster, user, what)]
    assert (here, elsewhere) == ([], [])


def may(cluster: Cluster, user: str, what: str) -> bool:
    return cluster.kubectl("auth", "can-i", *what.split(), "--as", user, check=False).strip() != "no"


INSIDE = "sluice.svc.cluster.local"
WANTED = {
    f"run-gateway.{INSIDE}:9000": "open",
    f"run-gateway.{INSIDE}:8887": "open",
    f"minio-service.{INSIDE}:9000": "closed",
    f"run-gateway.{INSIDE}:5000": "open",
    f"mlflow.{INSIDE}:5000": "closed",
    f"metadata-grpc-service.{INSIDE}:8080": "open",
    f"ml-pipeline.{INSIDE}:8888": "closed",
    f"mysql.{INSIDE}:3306": "closed",
    f"postgresql.{INSIDE}:5432": "closed",
}


def probe(image: str) -> Any:
    @dsl.container_component
    def step() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image=image, command=["python", "-c", PROBE, json.dumps(WANTED)])

    return step()


def test_a_step_reaches_what_it_needs_and_no_database(cluster: Cluster, apart: Cluster) -> None:
    run = submit(cluster, probe, name="attack-network", enable_caching=False)
    assert cluster.wait(run, 180) == "SUCCEEDED"
    (line,) = [line for line in apart.run_logs(run).splitlines() if line.startswith("{")]
    assert json.loads(line) == WANTED


def test_jobs_are_trained_where_the_step_is(cluster: Cluster, apart: Cluster) -> None:
    """What train_distributed makes there is admitted, and held to the same policies."""
    assert "torch-cpu" in apart.kubectl("get", "trainingruntimes", "-o", "name")
    assert "torch-cpu" not in cluster.kubectl("get", "trainingruntimes", "-o", "name")
    honest = ask(apart, "pipeline-trainer", "create", train_job())
    assert honest.returncode == 0, honest.stderr
    refused = ask(apart, "pipeline-trainer", "create", train_job(trainer={"image": "docker.io/library/busybox:1"}))
    assert "the image docker.io/library/busybox:1" in refused.stderr
    elsewhere = ask(cluster, "pipeline-trainer", "create", train_job())
    assert "forbidden" in elsewhere.stderr, "there is no such account with the platform any more"
