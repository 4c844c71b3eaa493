"""The namespace of runs, where it is not the release's: which it is, and whether steps find there what they need.

The chart names it in the ConfigMap of the release (`runs.namespace` in its values).
"""

from collections.abc import Iterator
from dataclasses import replace

from sluice.cluster.access import TIMEOUT, Kubernetes
from sluice.cluster.step_environment import CONFIG_KEYS, NAME, REGISTER, RUNS_NAMESPACE, SECRET_KEYS
from sluice.core.errors import BadInput, SluiceError
from sluice.running.doctor import DoctorFinding


def namespaces(kubernetes: Kubernetes) -> list[str]:
    """The release's namespace, and that of runs where it is another; the first alone where no ConfigMap can be read."""
    release = kubernetes.target.namespace
    try:
        with kubernetes.answers(f"ConfigMap {NAME}"):
            found = kubernetes.core.read_namespaced_config_map(NAME, release, _request_timeout=TIMEOUT)
    except SluiceError:  # who looks at the settings tells of it
        return [release]
    apart = str((found.data or {}).get(RUNS_NAMESPACE) or release)
    return [release] if apart == release else [release, apart]


def runs_apart(kubernetes: Kubernetes) -> Iterator[DoctorFinding]:
    """Whether the namespace of runs has the settings and accounts of steps, the same as the release's.

    Nothing where runs live in the release's own.

    Raises:
        BadInput: The release itself lacks them.
        EnvironmentFault: The cluster does not answer or denies access.
    """
    for apart in namespaces(kubernetes)[1:]:
        there = Kubernetes(replace(kubernetes.target, namespace=apart))
        troubles = [said for name in (NAME, REGISTER) if (said := _differs(kubernetes, there, name))]
        for said in troubles:
            yield DoctorFinding("runs", "error", f"namespace {apart}, where runs live, {said}")
        if not troubles:
            yield DoctorFinding("runs", "ok", f"they live in namespace {apart}, apart from the platform's Secrets")


def _differs(release: Kubernetes, there: Kubernetes, name: str) -> str:
    """What of a Secret and of the ConfigMap is not as the release has it; empty where all is."""
    own_config, own = release.settings(NAME, name)
    try:
        config, secret = there.settings(NAME, name)
    except BadInput:
        return f"lacks the ConfigMap {NAME} or the Secret {name}; `helm upgrade`, or make the Secret there"
    keys = [f"ConfigMap {NAME} key {key}" for key in CONFIG_KEYS if config.get(key) != own_config.get(key)]
    keys += [f"Secret {name} key {key}" for key in SECRET_KEYS if secret.get(key) != own.get(key)]
    return f"has another {', '.join(keys)} than the release; `helm upgrade`, or make them alike" if keys else ""
