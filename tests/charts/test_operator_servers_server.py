"""ModelServer against a real API server, with the rights of the chart: what is made of it, and what is not."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from sluice.cluster.model_server_site import Site
from sluice.operator.on_cluster.conditions import NO_POD
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi
from sluice.operator.on_cluster.model_servers import ModelServers
from sluice.operator.on_cluster.process_settings import KubernetesPlace
from sluice.operator.on_cluster.watchers import RegistryWatcher
from sluice.serving.registered import open_registry
from sluice.storage.locations import default_store
from tests.charts.api_server import NAMESPACE, ApiServer, until
from tests.charts.operator_process import account

pytestmark = pytest.mark.xdist_group("api_server")
Json = dict[str, Any]
GUESTS = (
    ("keda.sh", "v1alpha1", "ScaledObject"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("monitoring.coreos.com", "v1", "PodMonitor"),
)
WHOLE: Json = {
    "model": "late",
    "autoscaling": {"by": "keda", "prometheus": "http://prometheus"},
    "route": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
    "podMonitor": {"enabled": True},
    "monitor": {"enabled": True},
    "canary": {"watch": True},
}


@dataclass
class Made:
    """The reconciler, as the operator's account, and the server that it talks to."""

    api: ApiServer
    servers: ModelServers

    def server(self, name: str, spec: Json) -> None:
        """Make or change a ModelServer, and let it be reconciled."""
        metadata = {"name": name, "namespace": NAMESPACE}
        body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ModelServer", "metadata": metadata, "spec": spec}
        self.api.apply([body])
        self.servers.reconcile(name)

    def get(self, kind: str, name: str) -> Json:
        done = self.api.kubectl("get", kind, name, "--output=yaml")
        return dict(yaml.safe_load(done.stdout)) if done.returncode == 0 else {}

    def condition(self, name: str, kind: str) -> Json:
        found = self.get("modelserver", name)["status"]["conditions"]
        return next(each for each in found if each["type"] == kind)


@pytest.fixture(scope="module")
def made(operator_api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """With a registry that is away."""
    api, home = operator_api, tmp_path_factory.mktemp("home")
    _, token = account(api, home)
    place = KubernetesPlace(
        server=f"https://127.0.0.1:{api.port}", token_file=str(token), ca_file=str(api.home / "certs/apiserver.crt")
    )
    site = Site(NAMESPACE, "sluice", dict.fromkeys(("server", "tabular"), "image"), "http://store", "http://mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        client = KubernetesApi(place)
        registry = RegistryWatcher(open_registry, default_store)
        yield Made(api, ModelServers(client, NAMESPACE, site, registry, lambda: True))


def definition(group: str, version: str, kind: str) -> Json:
    """A kind of another project, whose fields are left open: what is built for it is held elsewhere."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    versions = [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1"},
        },
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": versions},
    }


def test_what_the_cluster_has_no_kind_for_is_told_and_the_rest_is_made(made: Made) -> None:
    made.server("whole", WHOLE)
    told = made.condition("whole", "Complete")
    assert told["status"] == "False"
    assert "the cluster has no ScaledObject: install KEDA, or set autoscaling.by to cpu" in told["message"]
    assert "no HTTPRoute" in told["message"]
    assert "no PodMonitor" in told["message"]
    assert made.condition("whole", "Ready")["reason"] == "RegistryAway"  # which speaks against no champion
    for kind, name in (("deployment", "model-whole"), ("service", "model-whole"), ("cronjob", "model-whole-monitor")):
        assert made.get(kind, name), kind
    made.api.apply([definition(*each) for each in GUESTS])
    for group, version, kind in GUESTS:
        path = f"--raw=/apis/{group}/{version}/namespaces/{NAMESPACE}/{kind.lower()}s"
        until(lambda path=path: made.api.kubectl("get", path).returncode == 0, f"the kind {kind}")
    made.servers.reconcile("whole")  # as it asks to be, a few seconds later
    assert made.condition("whole", "Complete")["status"] == "True"
    for _, _, kind in GUESTS:
        found = made.get(kind, "model-whole")
        assert found["metadata"]["ownerReferences"][0]["name"] == "whole", kind
    made.server("whole", {"model": "late"})
    assert not any(made.get(kind, "model-whole") for _, _, kind in GUESTS)
    assert not made.get("deployment", "model-whole-canary")
    assert made.get("deployment", "model-whole")


def test_its_own_token_is_made_once_and_told_nowhere(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    made.server("own", {"model": "late"})
    secret = made.get("secret", "model-own-tokens")
    token = base64.b64decode(secret["data"]["tokens"]).decode()
    assert len(token) >= 40
    assert secret["metadata"]["ownerReferences"][0]["kind"] == "ModelServer"
    made.server("own", {"model": "late", "replicas": 3})
    assert made.get("secret", "model-own-tokens")["data"] == secret["data"]
    whole = made.api.kubectl("get", "modelservers,deployments,configmaps,events", "--output=yaml").stdout
    assert token not in whole
    assert secret["data"]["tokens"] not in whole
    assert token not in "".join(capfd.readouterr())
    made.api.kubectl("delete", "secret", "model-own-tokens")
    made.servers.reconcile("own")  # no pod can begin without it
    assert made.get("secret", "model-own-tokens")["data"] != secret["data"]


def test_a_secret_that_is_named_is_left_to_its_owner(made: Made) -> None:
    made.server("named", {"model": "late", "tokens": {"existingSecret": "mine"}})
    assert not made.get("secret", "model-named-tokens")
    volumes = made.get("deployment", "model-named")["spec"]["template"]["spec"]["volumes"]
    assert "mine" in str(volumes)


def test_the_operator_reads_and_changes_no_secret(made: Made) -> None:
    me = f"--as=system:serviceaccount:{NAMESPACE}:sluice-operator"
    for verb in ("get", "list", "watch", "update", "patch", "delete"):
        assert made.api.kubectl("auth", "can-i", verb, "secrets", me).stdout.strip() == "no", verb


def test_servers_that_somebody_else_made_are_left_alone(made: Made) -> None:
    labels = {"app": "mine"}
    container = {"name": "c", "image": "i"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": pod}
    head = {"name": "model-theirs", "namespace": NAMESPACE}
    made.api.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}])
    made.server("theirs", {"model": "late"})
    told = made.condition("theirs", "Ready")
    assert told["reason"] == "NotValid"
    assert "is there and not this ModelServer's" in told["message"]
    assert told["reason"] != NO_POD  # so no champion is taken back for it
    assert made.get("deployment", "model-theirs")["spec"]["selector"]["matchLabels"] == labels
