"""The chart's login before the release, on a cluster: who has not logged in sees nothing of KFP and MLflow.

Everything stands as the chart writes it (kfp.login=oidc); only the provider, the image and how many replicas there are
is the test's own. The ingress controller, which ends TLS, is played by a pod of its namespace.
"""

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kind.cluster import ROOT, Cluster
from tests.kind.test_network_policies import SHUT
from tests.kind.test_release import helm
from tests.login_provider import CLIENT, SECRET, words

IMAGE = "sluice.local/oauth2-proxy:7.15.6"
PROVIDER_IMAGE = "sluice.local/mock-oidc:0.1.0"
OUTSIDE = "ingress-nginx"  # the namespace of the entry points
PROVIDER = f"provider.{OUTSIDE}.svc.cluster.local:443"
ISSUER = f"http://{PROVIDER}/oidc"
PORT = 8443  # of the provider's pod
SECURITY = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
Json = dict[str, Any]


def pod(name: str, image: str, *words: str) -> Json:
    """A pod that runs an image's program, or what words say."""
    main = {
        "name": "main",
        "image": image,
        "args": list(words),
        "securityContext": SHUT,
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
    }
    spec = {"restartPolicy": "Never", "securityContext": SECURITY, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def with_file(name: str, image: str, program: Path, *words: str) -> list[Json]:
    """A pod that runs a file of the tests with the standard library."""
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"run.py": program.read_text()},
    }
    made = pod(name, image, *words)
    main = made["spec"]["containers"][0]
    main |= {"command": ["python", "/files/run.py"], "volumeMounts": [{"name": "files", "mountPath": "/files"}]}
    made["spec"]["volumes"] = [{"name": "files", "configMap": {"name": name}}]
    return [files, made]


LOGIN = {
    "kfp": {
        "login": "oidc",
        "apiServer": {"service": {"type": "ClusterIP", "nodePort": 0}},
        "ui": {"service": {"type": "ClusterIP", "nodePort": 0}},
    },
    "mlflow": {"service": {"type": "ClusterIP", "nodePort": 0}},
    "auth": {
        "oidc": {
            "issuerUrl": ISSUER,
            "allowHttp": True,
            "existingSecret": "login",
            "emailDomains": ["example.org"],
            "providerPorts": [PORT],  # of the pod, behind its Service's 443: not all nodes let it take that
            "image": {"repository": IMAGE.split(":")[0], "tag": IMAGE.split(":")[1]},
            "replicas": 1,
        }
    },
    "networkPolicy": {
        "entryPoints": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OUTSIDE}}}]
    },
}


def secret() -> Json:
    """The Secret that the chart is told of."""
    keys = {"client-id": CLIENT, "client-secret": SECRET, "cookie-secret": random_key()}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "data": data}


def random_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def rendered(cluster: Cluster, folder: Path, values: Json) -> Iterator[Json]:
    """The release's policies and its login, as the chart renders them with its values and these."""
    present, own = folder / "release.yaml", folder / "own.yaml"
    present.write_text(helm(cluster, "get", "values", "sluice", "--output", "yaml"))
    own.write_text(yaml.safe_dump(values))
    served = ("--api-versions", "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy")
    place = ("template", "sluice", str(ROOT / "charts/sluice"), "--namespace", cluster.namespace)
    text = helm(None, *place, *served, "--values", str(present), "--values", str(own))
    for each in yaml.load_all(text, Loader=yaml.CSafeLoader):
        part = (each or {}).get("metadata", {}).get("labels", {}).get("app.kubernetes.io/component")
        if each and (each["kind"] == "NetworkPolicy" or part == "login"):
            yield each


@pytest.fixture
def outside(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The namespace of the ingress controller, with a provider in it, and the release behind the example."""
    load_images()
    before = yaml.safe_dump_all(rendered(cluster, tmp_path, {}))
    behind = list(rendered(cluster, tmp_path, LOGIN))
    made = yaml.safe_dump_all([secret(), *behind])
    own = yaml.safe_dump_all([secret(), *(each for each in behind if "login" in each["metadata"]["name"])])
    here = cluster.beside(OUTSIDE)
    try:
        provider = pod("provider", PROVIDER_IMAGE, *words(f":{PORT}", ISSUER))
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "provider"}}
        service["spec"] = {"selector": {"app": "provider"}, "ports": [{"port": 443, "targetPort": PORT}]}
        here.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all([provider, service]))
        cluster.kubectl("apply", "--filename", "-", stdin=made)
        for name in ("kfp", "mlflow"):
            cluster.kubectl("rollout", "status", f"deployment/login-{name}", "--timeout=120s")
        yield here
    finally:
        cluster.kubectl("delete", "--filename", "-", "--ignore-not-found", "--wait=false", stdin=own, check=False)
        cluster.kubectl("apply", "--filename", "-", stdin=before, check=False)
        cluster.kubectl("delete", "namespace", OUTSIDE, "--wait=false", check=False)


def load_images() -> None:
    """Put the images of the login and of its provider on the nodes, which they are not in; skip where none are."""
    images = (IMAGE, PROVIDER_IMAGE)
    names = [image.rpartition("/")[2].partition(":")[0] for image in images]
    build = ["python3", str(ROOT / "platform/hermetic/build.py"), "--only", *names]
    if os.environ.get("HERMETIC"):  # they are none of the images that a cluster takes
        subprocess.run(build, check=True, timeout=900, capture_output=True)
    for image in images:
        there = subprocess.run(["docker", "image", "inspect", image], check=False, capture_output=True)
        if there.returncode:
            pytest.skip(f"no image {image}: `python3 platform/hermetic/build.py --only {' '.join(names)}` builds it")
        command = ["python3", str(ROOT / "platform/kind/cluster.py"), "load", image]
        subprocess.run(command, check=True, timeout=300, env=os.environ)


def test_nobody_gets_past_the_login(cluster: Cluster, outside: Cluster) -> None:
    account = cluster.secret("sluice-people")
    # platform/hermetic cannot build KFP's pages: who has logged in is led to where they would be.
    has_pages = bool(cluster.kubectl("get", "service", "ml-pipeline-ui", "--ignore-not-found", "--output", "name"))
    domain = f"{cluster.namespace}.svc.cluster.local"
    where = {
        "kfp": f"login-kfp.{domain}:4180",
        "host": "pipelines.example.org",
        "mlflow": f"login-mlflow.{domain}:4180",
        "mlflow host": "mlflow",  # one that the release's MLflow answers to
        "provider": PROVIDER,
        "account": f"{account['MLFLOW_TRACKING_USERNAME']}:{account['MLFLOW_TRACKING_PASSWORD']}",
        "direct": f"ml-pipeline.{domain}:8888 mlflow.{domain}:5000" + has_pages * f" ml-pipeline-ui.{domain}:80",
    }
    visitor = with_file("visitor", cluster.step_image(), ROOT / "tests/kind/login_visitor.py", json.dumps(where))
    outside.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(visitor))
    ended = ("Succeeded", "Failed")
    outside.until(lambda: phase(outside, "visitor") in ended, 180, "the visitor to end")
    log = outside.kubectl("logs", "visitor")
    seen = json.loads(next(line for line in log.splitlines() if line.startswith("SEEN ")).removeprefix("SEEN "))
    pages, api, mlflow = seen.pop("pages"), seen.pop("api"), seen.pop("mlflow's pages")
    assert seen == {
        "api without a login": 401,
        "api with a claim": 401,
        "pages without a login": 302,
        "mlflow without a login": 302,
        "mlflow's api without a login": 401,  # MLflow's own answer
        "a stranger": 403,
        "a stranger's call": 401,
        "past the proxy": dict.fromkeys(where["direct"].split(), "closed"),
    }
    assert (pages[0], api[0], mlflow[0]) == (200 if has_pages else 404, 200, 200), (pages, api, mlflow)
    assert "pipelines" in api[1] or api[1] == "{}"
    assert not has_pages or "Kubeflow" in pages[1] or "<html" in pages[1].lower()


def phase(cluster: Cluster, name: str) -> str:
    return str(cluster.core.read_namespaced_pod(name, cluster.namespace).status.phase)
