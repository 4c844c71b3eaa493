"""Kubernetes, as the commands that look at a cluster use it: one client, and errors in one line.

Source: kubernetes-client/python 30.1; Kubernetes API conventions for what the status codes mean.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.core.errors import BadInput, EnvironmentFault

NAMESPACE = "sluice"
TIMEOUT = (5, 20)  # seconds to connect, seconds to answer
FORBIDDEN, UNKNOWN_USER, ABSENT = 403, 401, 404


@dataclass(frozen=True)
class Target:
    """Which cluster: a namespace, and a context of the kubeconfig or None for the current one."""

    namespace: str = NAMESPACE
    context: str | None = None

    def __str__(self) -> str:
        return f"namespace {self.namespace}" + (f" of context {self.context}" if self.context else "")


class Kubernetes:
    """The API of one cluster, in one namespace."""

    def __init__(self, target: Target) -> None:
        """Read the kubeconfig, or in a pod the service account; nothing is sent yet.

        Raises:
            BadInput: There is no kubeconfig, or it has no such context.
        """
        from kubernetes import client

        self.target = target
        configuration = client.Configuration()
        self._load(configuration)
        configuration.retries = False
        self.client = client.ApiClient(configuration)
        self.core = client.CoreV1Api(self.client)

    def settings(self, name: str, accounts: str) -> tuple[dict[str, str], dict[str, str]]:
        """The content of the ConfigMap `name` and of the Secret `accounts`.

        Raises:
            BadInput: They are not there: no release is installed in this namespace.
            EnvironmentFault: The cluster does not answer or denies access.
        """
        config, namespace = self.config_map(name), self.target.namespace
        with self.answers(f"Secret {accounts}"):
            secret = self.core.read_namespaced_secret(accounts, namespace, _request_timeout=TIMEOUT)
        decoded = {key: base64.b64decode(value).decode() for key, value in (secret.data or {}).items()}
        return config, decoded

    def config_map(self, name: str) -> dict[str, str]:
        """The content of a ConfigMap.

        Raises:
            BadInput: It is not there.
            EnvironmentFault: The cluster does not answer or denies access.
        """
        with self.answers(f"ConfigMap {name}"):
            found = self.core.read_namespaced_config_map(name, self.target.namespace, _request_timeout=TIMEOUT)
        return dict(found.data or {})

    @contextmanager
    def answers(self, what: str) -> Iterator[None]:
        """Turn the client's errors into one line each.

        Args:
            what: What is asked for, e.g. `Secret sluice-steps`.

        Raises:
            BadInput: It is not there.
            EnvironmentFault: The cluster does not answer or denies access.
        """
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config.config_exception import ConfigException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._refusal(error, what) from None
        except (HTTPError, ConfigException) as error:
            host = self.client.configuration.host
            raise EnvironmentFault(
                f"the cluster at {host} does not answer ({_innermost(error)}); check that it runs, and the kubeconfig"
            ) from None

    def _refusal(self, error: Any, what: str) -> BadInput | EnvironmentFault:  # noqa: ANN401 - the client's ApiException
        if error.status == ABSENT:
            return BadInput(
                f"{self.target} has no {what}: Sluice is not installed there; "
                "install it (helm install sluice charts/sluice -n NAMESPACE), or name another --namespace or --context"
            )
        if error.status in (FORBIDDEN, UNKNOWN_USER):
            return EnvironmentFault(f"{self.target} denies access to {what}; ask for a role that may read it")
        return EnvironmentFault(f"{self.target}: {what}: HTTP status {error.status} ({error.reason})")

    def _load(self, configuration: Any) -> None:  # noqa: ANN401 - the client's Configuration
        from kubernetes import config

        try:
            config.load_kube_config(context=self.target.context, client_configuration=configuration)
            return
        except config.ConfigException as error:
            reason = str(error)
        if self.target.context is None:
            try:
                config.load_incluster_config(configuration)
            except config.ConfigException:
                raise BadInput(
                    f"no cluster is configured ({reason}); `make kind` makes one here, KUBECONFIG names a file, "
                    "or set SLUICE_KFP to the URL of a KFP server"
                ) from None
            return
        known = ", ".join(sorted(_contexts())) or "none"
        raise BadInput(f"the kubeconfig has no context {self.target.context!r}; it has {known}")


def _contexts() -> list[str]:
    from kubernetes import config

    try:
        contexts, _ = config.list_kube_config_contexts()
    except config.ConfigException:
        return []
    return [str(context["name"]) for context in contexts]


def _innermost(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, BaseException) else error).rpartition(": ")[2].strip("'\")")[:120]
