"""Parts of the platform fail while it works: what was begun ends well or says why, and nothing is lost.

Every outage is made by Kubernetes own means: a Deployment scaled to nothing, a node restarted, the release uninstalled.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sluice.storage.stores import Store
from tests.examples import FLIGHTS
from tests.kind.cluster import ROOT, Cluster
from tests.kind.test_release import helm
from tests.kind.test_runs import QUICK

pytestmark = pytest.mark.usefixtures("lake")
CACHED = dict(word.split("=", 1) for word in QUICK[1::2])
ANOTHER = CACHED | {"candidates": "heuristic,logistic-regression"}
OUTAGE_SECONDS = 60.0 if os.environ.get("SLUICE_LONG") == "1" else 20.0
RUN_SECONDS = 1200.0
BACK_SECONDS = 420.0


@contextmanager
def outage(cluster: Cluster, *deployments: str) -> Iterator[None]:
    """No pod of these Deployments, from the start of the block to its end; then all is Ready again."""
    cluster.kubectl("scale", "deployment", *deployments, "--replicas=0")
    try:
        selector = f"app.kubernetes.io/name in ({','.join(deployments)})"
        cluster.until(
            lambda: not cluster.kubectl("get", "pods", "--selector", selector, "--output", "name").strip(),
            120,
            f"{', '.join(deployments)} to be gone",
        )
        yield
    finally:
        cluster.kubectl("scale", "deployment", *deployments, "--replicas=1")
    cluster.ready()


@contextmanager
def setting(cluster: Cluster, name: str, value: str) -> Iterator[None]:
    """Steps that start inside find another value of a variable."""
    before = cluster.core.read_namespaced_config_map("sluice-steps", cluster.namespace).data[name]

    def put(text: str) -> None:
        patch = json.dumps({"data": {name: text}})
        cluster.kubectl("patch", "configmap", "sluice-steps", "--type=merge", "--patch", patch)

    put(value)
    try:
        yield
    finally:
        put(before)


@contextmanager
def changed_lake(store: Store) -> Iterator[None]:
    """One row less in the lake: KFP's cache must not serve results of the old data under the same names."""
    victim = next(key for key in store.keys("lakes/flights/weather/") if key.endswith(".csv"))
    before = store.get_bytes(victim)
    store.put_bytes(victim, b"".join(before.splitlines(keepends=True)[:-1]))
    try:
        yield
    finally:
        store.put_bytes(victim, before)


def succeeded(cluster: Cluster, run: str) -> int:
    """How many steps of a run have succeeded; a step's driver is no step."""
    tasks = cluster.tasks(run).items()
    return sum(state == "SUCCEEDED" and name != "root" and not name.endswith("-driver") for name, state in tasks)


def progressed(cluster: Cluster, run: str, steps: int = 0) -> None:
    """Wait until more than so many steps of a run have succeeded, so that what follows happens in its midst."""
    cluster.until(lambda: succeeded(cluster, run) > steps, 600, f"a step of {run} after {steps} others")


def kept(store: Store, mlflow_client: Any, cluster: Cluster) -> dict[str, Any]:
    """What must outlive every fault: datasets and models, versions and aliases in the registry, KFP's pipelines."""
    models = mlflow_client.search_registered_models()
    pipelines = cluster.kfp.list_pipelines(page_size=100).pipelines or []
    return {
        "objects": len([key for key in store.keys("datasets/") if key.endswith("manifest.json")]),
        "versions": sorted((v.name, v.version) for v in mlflow_client.search_model_versions()),
        "aliases": sorted((m.name, alias, version) for m in models for alias, version in m.aliases.items()),
        "pipelines": sorted(str(p.pipeline_id) for p in pipelines),
    }


def last_a_while(cluster: Cluster) -> None:
    end = time.monotonic() + OUTAGE_SECONDS
    cluster.until(lambda: time.monotonic() >= end, OUTAGE_SECONDS + 10, "the outage to have lasted a while")


def test_a_run_on_a_changed_lake_outlives_its_agent_and_a_while_without_store_gateway_metadata_and_database(
    cluster: Cluster, store: Store
) -> None:
    """And whoever follows it sees it succeed, though the way to the object store led to a pod that is gone.

    Its parameters are those of the runs that KFP has in its cache (test_runs), and no step is reused: the lake differs.
    """
    other = cluster.submit(FLIGHTS, ANOTHER, options=("--fresh",))
    with changed_lake(store), ThreadPoolExecutor(1) as pool:  # to the end: it is read again after the outage
        run = cluster.submit(FLIGHTS, CACHED)
        followed = pool.submit(cluster.sluice, "follow", run, "supervised", check=False, timeout=RUN_SECONDS)
        progressed(cluster, run)
        agents = ("pods", "--selector", f"pipeline/runid={run},workflows.argoproj.io/component=agent")
        assert "deleted" in cluster.kubectl("delete", *agents, "--wait=false")
        with outage(cluster, "minio"):
            cluster.sluice("cancel", other)  # takes KFP alone
            last_a_while(cluster)
            assert cluster.state(run) == "RUNNING", cluster.tasks(run)
            there = succeeded(cluster, run)
        progressed(cluster, run, there)  # a step tries for two minutes, and shall not need them for both outages
        with outage(cluster, "metadata-grpc", "mysql", "run-gateway"):  # and not the store: steps try for two minutes
            last_a_while(cluster)
        cluster.until(lambda: answers(cluster), BACK_SECONDS, "KFP's API to answer")
        assert cluster.wait(run, RUN_SECONDS) == "SUCCEEDED", cluster.tasks(run)
        done = followed.result(RUN_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ train" in done.stdout
    assert not re.search("^= ", done.stdout, re.MULTILINE), done.stdout
    # Argo ends a cancelled workflow as failed, and KFP 2.14 takes that over.
    assert cluster.wait(other, RUN_SECONDS) in ("CANCELED", "FAILED")


def test_without_mlflow_a_run_ends_with_the_reason_and_registers_nothing(
    cluster: Cluster, store: Store, mlflow_client: Any
) -> None:
    before = kept(store, mlflow_client, cluster)
    with setting(cluster, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"):  # steps try for two minutes otherwise, all in turn
        run = cluster.submit(FLIGHTS, ANOTHER)  # what is reused of an earlier run needs no MLflow
        progressed(cluster, run)
        without_mlflow(cluster, run)
    after = kept(store, mlflow_client, cluster)
    assert (after["versions"], after["aliases"]) == (before["versions"], before["aliases"])


def without_mlflow(cluster: Cluster, run: str) -> None:
    with outage(cluster, "mlflow"):
        another = cluster.sluice("submit", FLIGHTS, "-p", "lake=lakes/flights", check=False)
        assert another.returncode == 1
        assert len(another.stderr.strip().splitlines()) == 1, another.stderr
        assert "Service mlflow" in another.stderr
        assert cluster.wait(run, RUN_SECONDS) == "FAILED"
        assert "[sluice] error: MLflow at https://run-gateway." in cluster.run_logs(run)


@pytest.mark.long  # minutes; another database is away in the run above
def test_without_postgresql_mlflow_is_not_ready_and_comes_back_with_its_data(
    cluster: Cluster, store: Store, mlflow_client: Any
) -> None:
    before = kept(store, mlflow_client, cluster)
    with outage(cluster, "postgresql"):
        cluster.until(lambda: "mlflow 0/1" in cluster.unready(), 90, "MLflow to say that it cannot serve")
        doctor = cluster.sluice("doctor", "--cluster", "--json", check=False)
        assert doctor.returncode == 1
        found = [(each["name"], each["level"], each["message"]) for each in json.loads(doctor.stdout)]
        levels = {name: level for name, level, _ in found}
        assert (levels["kfp"], levels["s3"], levels["mlflow"]) == ("ok", "ok", "error"), found
        assert [message for name, _, message in found if name == "workloads" and "Deployment postgresql" in message]
    assert kept(store, mlflow_client, cluster) == before


@pytest.mark.long  # minutes; the new install below finds all data, too
def test_restarted_nodes_come_back_with_all_data(cluster: Cluster, store: Store, mlflow_client: Any) -> None:
    before = kept(store, mlflow_client, cluster)
    nodes = [f"{cluster.name}-worker", f"{cluster.name}-control-plane"]
    subprocess.run(["docker", "restart", *nodes], check=True, capture_output=True, timeout=300)
    cluster.until(lambda: Cluster.exists(cluster.name), BACK_SECONDS, "the API server after the restart")
    cluster.until(lambda: nodes_ready(cluster) == len(nodes), BACK_SECONDS, "both nodes to be Ready")
    cluster.ready(BACK_SECONDS)
    cluster.until(lambda: answers(cluster), BACK_SECONDS, "KFP's API to answer from outside")
    cluster.until(lambda: tracks(mlflow_client), BACK_SECONDS, "MLflow to answer from outside")
    assert kept(store, mlflow_client, cluster) == before
    assert "Succeeded" in helm(cluster, "test", "sluice", "--timeout", "5m")


def test_an_uninstall_keeps_the_data_and_a_new_install_finds_it(
    cluster: Cluster, store: Store, mlflow_client: Any, tmp_path: Path
) -> None:
    before, secrets = kept(store, mlflow_client, cluster), credentials(cluster)
    values = tmp_path / "values.yaml"
    values.write_text(helm(cluster, "get", "values", "sluice", "--output", "yaml"))
    helm(cluster, "uninstall", "sluice", "--wait", "--timeout", "5m")
    assert not cluster.apps.list_namespaced_deployment(cluster.namespace).items
    helm(
        cluster, "install", "sluice", str(ROOT / "charts/sluice"), "--values", str(values), "--wait", "--timeout", "5m"
    )
    cluster.ready()
    cluster.until(lambda: answers(cluster), BACK_SECONDS, "KFP's API to answer from outside")
    assert credentials(cluster) == secrets
    assert kept(store, mlflow_client, cluster) == before


def credentials(cluster: Cluster) -> dict[str, dict[str, str]]:
    names = ("mlpipeline-minio-artifact", "mysql-credentials", "postgresql-credentials", "mlflow-credentials")
    return {name: cluster.secret(name) for name in names}


def nodes_ready(cluster: Cluster) -> int:
    form = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
    return cluster.kubectl("get", "nodes", "--output", form, check=False).split().count("True")


def tracks(mlflow_client: Any) -> bool:
    """MLflow's pod may be Ready before the restarted node lets anybody in from outside."""
    try:
        mlflow_client.search_registered_models(max_results=1)
    except Exception:  # noqa: BLE001 - whatever a server on its way up says
        return False
    return True


def answers(cluster: Cluster) -> bool:
    """KFP keeps two idle connections to its database; one that ended with its server makes one request fail."""
    try:
        return all(cluster.kfp.list_pipelines(page_size=1) for _ in range(3))
    except Exception:  # noqa: BLE001 - whatever a server on its way up says
        return False
