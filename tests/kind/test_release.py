"""The release itself: everything Ready and restricted, Secrets kept, pipelines uploaded once, upgrade and rollback."""

import http.client
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import program
from tests.kind.cluster import ROOT, Cluster


def helm(cluster: Cluster | None, *words: str) -> str:
    """What helm says in a release's namespace, or without a cluster; the test fails where it fails."""
    place = ["--kube-context", cluster.context, "--namespace", cluster.namespace] if cluster else []
    command = [program("helm"), *place, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_namespace_enforces_the_restricted_standard(cluster: Cluster) -> None:
    labels = cluster.core.read_namespace(cluster.namespace).metadata.labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not cluster.unready()


def test_a_server_side_dry_run_of_the_manifest_warns_of_nothing(cluster: Cluster) -> None:
    dry_run(cluster, helm(cluster, "get", "manifest", "sluice"))


# Of the other sizing, tests/charts hold the manifest against the schemas.
@pytest.mark.parametrize("sizing", ["production", pytest.param("small", marks=pytest.mark.long)])
def test_a_server_side_dry_run_of_each_sizing_warns_of_nothing(cluster: Cluster, sizing: str) -> None:
    here = cluster.beside(f"sizing-{sizing}")
    try:
        words = ("--values", str(ROOT / f"charts/sluice/values-{sizing}.yaml"), "--namespace", here.namespace)
        dry_run(here, helm(None, "template", "sluice", str(ROOT / "charts/sluice"), *words))
    finally:
        cluster.kubectl("delete", "namespace", here.namespace, "--wait=false")


def dry_run(cluster: Cluster, manifest: str) -> None:
    """kubectl prints a warning for every field that the API server drops and every pod that breaks the standard."""
    command = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, "--warnings-as-errors"]
    command += ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "--filename", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=manifest, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def refused(cluster: Cluster, *words: str) -> str:
    """What a command in a container of a Deployment says that must not succeed."""
    command = ["kubectl", "--context", cluster.context, "--namespace", cluster.namespace, "exec", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode, done.stdout
    return done.stdout + done.stderr


def test_the_databases_take_no_login_without_tls(cluster: Cluster) -> None:
    connect = 'import psycopg2; psycopg2.connect(host="postgresql", dbname="mlflow", sslmode="disable")'
    said = refused(cluster, "deployment/mlflow", "--container", "mlflow", "--", "python", "-c", connect)
    assert "no encryption" in said
    ask = "mariadb-admin --no-defaults --skip-ssl --protocol=tcp --host=127.0.0.1 --user=sluice status"
    assert "insecure transport are prohibited" in refused(cluster, "deployment/mysql", "--", *ask.split())


def test_the_store_and_mlflow_take_no_request_without_tls(cluster: Cluster) -> None:
    for port, path in ((9000, "/minio/health/live"), (5000, "/health")):
        trust = ssl.create_default_context(cafile=cluster.authority())
        with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", timeout=10, context=trust) as answer:
            assert answer.status == 200
        with pytest.raises((urllib.error.HTTPError, http.client.HTTPException, OSError)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)


def test_the_pipelines_stand_in_kfp_once_and_ready_to_start(cluster: Cluster) -> None:
    found = {p.display_name: p for p in cluster.kfp.list_pipelines(page_size=100).pipelines or []}
    assert {"supervised", "supervised-images"} <= set(found)
    for name, pipeline in found.items():
        versions = cluster.kfp.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
        names = [version.display_name for version in versions]
        assert len(names) == len(set(names)), name
        spec = versions[0].pipeline_spec
        root = spec.get("pipeline_spec", spec)["root"]
        parameters = root.get("inputDefinitions", {}).get("parameters", {})
        for parameter, definition in parameters.items():
            assert "defaultValue" in definition, f"{name}: {parameter} has no default, so Start stays grey"
        assert pipeline.description, name


State = tuple[dict[str, dict[str, str]], dict[str, int]]
CERTIFICATES = ("sluice-authority", "sluice-ca", "minio-tls", "mysql-tls", "postgresql-tls", "mlflow-tls")


def state(cluster: Cluster) -> State:
    """What no upgrade may change: the Secrets, and how many versions each pipeline has.

    That an upgrade and a rollback with the same chart keep it, test_model_server sees.
    """
    secrets = ("mlpipeline-minio-artifact", "mysql-credentials", "postgresql-credentials", "mlflow-credentials")
    pipelines = cluster.kfp.list_pipelines(page_size=100).pipelines or []
    versions = {
        p.display_name: len(cluster.kfp.list_pipeline_versions(p.pipeline_id).pipeline_versions) for p in pipelines
    }
    return {name: cluster.secret(name) for name in (*secrets, *CERTIFICATES)}, versions


@pytest.fixture
def previous_chart(tmp_path: Path) -> Path:
    """The chart as the commit before the present one has it."""
    words = ["git", "archive", "--output", str(tmp_path / "chart.tar"), "HEAD^", "charts/sluice"]
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no previous chart ({done.stderr.strip()}); clone with history: git fetch --unshallow")
    subprocess.run(["tar", "-xf", "chart.tar"], cwd=tmp_path, check=True)
    return tmp_path / "charts/sluice"


def test_an_upgrade_from_the_previous_commit_s_chart_keeps_all(cluster: Cluster, previous_chart: Path) -> None:
    before, values = state(cluster), previous_chart.parent / "values.yaml"
    known = yaml.safe_load((previous_chart / "values.yaml").read_text())
    given = yaml.safe_load(helm(cluster, "get", "values", "sluice", "--output", "yaml"))
    values.write_text(yaml.safe_dump({name: value for name, value in given.items() if name in known}))
    wait = ("--values", str(values), "--wait", "--wait-for-jobs", "--timeout", "5m")
    helm(cluster, "upgrade", "sluice", str(previous_chart), *wait)
    cluster.ready()
    helm(cluster, "upgrade", "sluice", "charts/sluice", *wait)
    cluster.ready()
    assert state(cluster) == before


def test_a_recurring_run_starts_on_its_own(cluster: Cluster) -> None:
    pipeline = next(
        p for p in cluster.kfp.list_pipelines(page_size=100).pipelines or [] if p.display_name == "supervised"
    )
    experiment = cluster.kfp.create_experiment(f"recurring-{secrets.token_hex(4)}")  # no run of another test is in it
    version = cluster.kfp.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
    job = cluster.kfp.create_recurring_run(
        experiment.experiment_id,
        "every-ten-seconds",
        interval_second=10,
        max_concurrency=1,
        no_catchup=True,
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    try:
        runs = cluster.until(
            lambda: cluster.kfp.list_runs(experiment_id=experiment.experiment_id).runs,
            90,
            "the schedule to start a run",
        )
        assert runs[0].pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    finally:
        cluster.kfp.disable_recurring_run(job.recurring_run_id)
        cluster.kfp.delete_recurring_run(job.recurring_run_id)  # its workflows go with it


def test_no_secret_value_stands_in_the_manifest_outside_of_secrets(cluster: Cluster) -> None:
    values = {v for name in ("mlpipeline-minio-artifact", "mysql-credentials") for v in cluster.secret(name).values()}
    pods = cluster.kubectl("get", "pods,configmaps,deployments,jobs", "-o", "json")
    assert not [value for value in values if len(value) > 12 and value in pods]
