"""Where model servers run: what all objects of one installation have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.core.variable_groups.stores import S3Variables, StoreVariables
from sluice.core.variable_groups.tracking import TrackingVariables

Json = dict[str, Any]
USER = 65532
CA_FILE = "/etc/sluice/ca/ca.crt"
RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Site:
    """An installation, as its parts must know it.

    Attributes:
        namespace: Where the objects are.
        release: Its name: the label by which Services and policies find pods.
        labels: More labels of all objects: version, and who manages them.
        images: References by name: `server`, `tabular`, `torch`.
        store: The bucket.
        store_url: Where the store answers.
        region: The store's.
        store_secrets: The Secret with `accesskey` and `secretkey`, by account: `serving`, `monitoring`, `register`;
            none where pods have identities.
        mlflow_url: Where MLflow answers.
        mlflow_secret: The Secret of its accounts, with `ACCOUNT-username` and `ACCOUNT-password`; empty where nobody
            logs in.
        ca_config_map: Whom clients trust, besides the system's authorities; empty for nobody.
        store_tls, mlflow_tls: Whether these two are trusted by that.
        entry_points: Who may reach what is exposed outside the cluster (NetworkPolicyPeers); empty for anyone.
        policies: Whether NetworkPolicies are made.
        pull_policy: When nodes pull images.
    """

    namespace: str
    release: str
    images: Mapping[str, str]
    store_url: str
    mlflow_url: str
    labels: Mapping[str, str] = field(default_factory=dict)
    store: str = "sluice"
    region: str = "us-east-1"
    store_secrets: Mapping[str, str] = field(default_factory=dict)
    mlflow_secret: str = ""
    ca_config_map: str = ""
    store_tls: bool = False
    mlflow_tls: bool = False
    entry_points: Sequence[Json] = ()
    policies: bool = True
    pull_policy: str = "IfNotPresent"

    def selector(self, name: str) -> Json:
        """The labels that Services and policies find pods by."""
        return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": self.release}

    def labelled(self, name: str) -> Json:
        """All labels of an object."""
        own = {"app.kubernetes.io/component": "models", "app.kubernetes.io/part-of": "sluice"}
        return {**self.selector(name), **own, **self.labels}

    def head(self, api: str, kind: str, name: str) -> Json:
        """The beginning of an object."""
        metadata = {"name": name, "namespace": self.namespace, "labels": self.labelled(name)}
        return {"apiVersion": api, "kind": kind, "metadata": metadata}

    def pod(self, account: str) -> Json:
        """What every pod has: Pod Security's restricted standard, and no token of the Kubernetes API's."""
        return {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }

    def client_labels(self, name: str) -> Json:
        """The labels of a pod that may reach the store and MLflow."""
        clients = {f"sluice.dev/{what}-client": "true" for what in ("object-store", "mlflow")}
        return {**self.labelled(name), **clients}

    def env(self, store_account: str, mlflow_account: str, *, slim: bool) -> list[Json]:
        """Where store and registry are, whose accounts are used, and whom to trust.

        Args:
            store_account: A name of `store_secrets`.
            mlflow_account: An account of MLflow's.
            slim: Whether nothing but Sluice's own code asks; else boto3, MLflow and programs of Go's do, too.
        """
        found: list[Json] = [
            {"name": StoreVariables.address.name, "value": f"sluice+s3://{self.store}"},
            {"name": S3Variables.endpoint.names[1], "value": self.store_url},
            {"name": S3Variables.region.name, "value": self.region},
        ]
        if secret := self.store_secrets.get(store_account, ""):
            keys = {S3Variables.access_key.name: "accesskey", S3Variables.secret_key.name: "secretkey"}
            found += [from_secret(name, secret, key) for name, key in keys.items()]
        found.append({"name": TrackingVariables.uri.name, "value": self.mlflow_url})
        if self.mlflow_secret:
            found += [
                from_secret(field.name, self.mlflow_secret, f"{mlflow_account}-{what}")
                for what, field in (("username", TrackingVariables.username), ("password", TrackingVariables.password))
            ]
        return [*found, {"name": "HOME", "value": "/tmp"}, *self._trust(slim=slim)]  # noqa: S108 - an emptyDir

    def _trust(self, *, slim: bool) -> list[Json]:
        if not self.ca_config_map:
            return []
        found = {StoreVariables.authority.name: CA_FILE}
        if not slim:
            found = {"SSL_CERT_DIR": "/etc/ssl/certs:/etc/pki/tls/certs:/etc/sluice/ca", **found}
            if self.store_tls:
                found |= {S3Variables.other_authority.name: CA_FILE, S3Variables.other_checksums.name: "when_required"}
            if self.mlflow_tls:
                found |= {ClusterVariables.tracking_authority.name: CA_FILE}
        return [{"name": name, "value": value} for name, value in found.items()]

    def volumes(self, mounted: Mapping[str, tuple[str, Json]]) -> tuple[list[Json], list[Json]]:
        """Mounts of a container and volumes of its pod, the authority's with them.

        Args:
            mounted: The path and the volume's source, by the volume's name; what is no emptyDir is read only.
        """
        whole = dict(mounted)
        if self.ca_config_map:
            items = [{"key": "ca.crt", "path": "ca.crt"}]
            source = {"configMap": {"name": self.ca_config_map, "items": items}}
            whole["sluice-trusted"] = ("/etc/sluice/ca", source)
        mounts = [
            {"name": name, "mountPath": path} | ({} if "emptyDir" in source else {"readOnly": True})
            for name, (path, source) in whole.items()
        ]
        return mounts, [{"name": name, **source} for name, (_, source) in whole.items()]


def from_secret(name: str, secret: str, key: str) -> Json:
    """A variable that a Secret holds."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
