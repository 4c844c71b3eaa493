"""The objects of a model server on a cluster, as plain dictionaries: what the chart renders and an operator applies.

Nothing here asks a cluster. tests/charts/test_model_servers.py holds the chart's templates to these functions.
"""

import json
import math
from collections.abc import Iterator
from hashlib import sha256

from sluice.cluster.model_server_site import RESTRICTED, Json, Site, from_secret
from sluice.cluster.model_server_spec import ModelServerSpec, Resources
from sluice.core.variable_groups.monitoring import MonitoringVariables

PORT, METRICS_PORT = 8080, 9090
CLIENT: Json = {"podSelector": {"matchLabels": {"sluice.dev/model-client": "true"}}}
_FOLDER = "/etc/model-server"
_LOG_SECONDS = 20  # that the end waits for the store
_EVERYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]


def build_all(name: str, spec: ModelServerSpec, site: Site) -> Iterator[Json]:
    """Every object of a server but its Secret of tokens and the accounts that servers share.

    Args:
        name: Of the server; objects are called `model-NAME`.
        spec: What is wanted.
        site: Where.
    """
    yield build_config_map(name, spec, site)
    yield build_deployment(name, spec, site)
    yield build_service(name, spec, site)
    if spec.several:
        yield build_disruption_budget(name, site)
    if spec.autoscaling.by in ("cpu", "requests"):
        yield build_autoscaler(name, spec, site)
    if spec.autoscaling.by == "keda":
        yield build_scaled_object(name, spec, site)
    if spec.route.enabled:
        yield build_route(name, spec, site)
    if spec.pod_monitor.enabled:
        yield build_pod_monitor(name, spec, site)
    if site.policies:
        yield build_network_policy(name, spec, site)
    if spec.monitor.enabled:
        yield build_monitor(name, spec, site)
    if spec.canary.watch:
        yield build_canary(name, spec, site)


def object_name(name: str) -> str:
    """How the objects of a server are called."""
    return f"model-{name}"


def build_settings(spec: ModelServerSpec) -> str:
    """The document that the server reads (`sluice.serving.settings.Settings`), as JSON."""
    document: Json = {
        "model": spec.model,
        "host": "0.0.0.0",  # noqa: S104 - a pod's own address is not known before
        "port": PORT,
        "metrics_port": METRICS_PORT,
        "token_file": f"{_FOLDER}/tokens/tokens",
        "threads": spec.threads,
        "shadow": _plain(spec.shadow),
        "slices": spec.slices,
        "feedback": spec.feedback,
        "drain": _plain(spec.drain),
        "grace": _plain(spec.grace),
        "limits": spec.limits,
    }
    if spec.log.enabled:
        document["log"] = {
            "spool": "/spool",
            "sampling": _plain(spec.log.sampling),
            "seconds": _plain(spec.log.seconds),
            "spool_bytes": spec.log.spool_bytes,
            "drain_seconds": _LOG_SECONDS,
        }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def build_config_map(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """The server's settings."""
    return site.head("v1", "ConfigMap", object_name(name)) | {"data": {"settings.json": build_settings(spec)}}


def build_deployment(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """The servers."""
    called = object_name(name)
    mounts, volumes = site.volumes(_volumes(name, spec))
    probe = {"path": "/readyz", "port": "metrics"}
    container = {
        "name": "server",
        "image": site.images[spec.image],
        "imagePullPolicy": site.pull_policy,
        "command": ["python", "-m", "sluice.serving", f"{_FOLDER}/settings/settings.json"],
        "env": site.env("serving", "serving", slim=True),
        "ports": [{"name": "http", "containerPort": PORT}, {"name": "metrics", "containerPort": METRICS_PORT}],
        # It waits for the registry and the store where they are down, and is not killed for it.
        "startupProbe": {"httpGet": probe, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 900},
        "readinessProbe": {"httpGet": probe, "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
        "resources": _resources(spec.resources),
        "volumeMounts": mounts,
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": site.selector(called)},
    }
    log = _LOG_SECONDS if spec.log.enabled else 0
    pod = site.pod("model-server") | {
        "topologySpreadConstraints": [spread],
        "terminationGracePeriodSeconds": math.ceil(spec.drain) + math.ceil(spec.grace) + log + 10,
        "containers": [container],
        "volumes": volumes,
    }
    labels = {**site.client_labels(called), "sluice.dev/model-server": "true"}
    notes = {"checksum/settings": sha256(build_settings(spec).encode()).hexdigest()}
    body: Json = {
        "selector": {"matchLabels": site.selector(called)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": labels, "annotations": notes}, "spec": pod},
    }
    if spec.autoscaling.by == "none":
        body["replicas"] = spec.replicas
    return site.head("apps/v1", "Deployment", called) | {"spec": body}


def build_service(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """The address that callers have."""
    port: Json = {"name": "http", "port": 80, "targetPort": "http"}
    if spec.service.node_port:
        port["nodePort"] = spec.service.node_port
    called = object_name(name)
    body = {"type": spec.service.type, "selector": site.selector(called), "ports": [port]}
    return site.head("v1", "Service", called) | {"spec": body}


def build_disruption_budget(name: str, site: Site) -> Json:
    """All but one stay while nodes are drained."""
    called = object_name(name)
    body = {"maxUnavailable": 1, "selector": {"matchLabels": site.selector(called)}}
    return site.head("policy/v1", "PodDisruptionBudget", called) | {"spec": body}


def build_autoscaler(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """More pods by processor time, or by open requests where an adapter serves them."""
    called, wanted = object_name(name), spec.autoscaling
    if wanted.by == "cpu":
        target: Json = {"type": "Utilization", "averageUtilization": wanted.cpu_percent}
        metric: Json = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    else:
        target = {"type": "AverageValue", "averageValue": str(wanted.open_requests)}
        metric = {"type": "Pods", "pods": {"metric": {"name": "sluice_requests_open"}, "target": target}}
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": called},
        "minReplicas": wanted.min,
        "maxReplicas": wanted.max,
        "metrics": [metric],
    }
    return site.head("autoscaling/v2", "HorizontalPodAutoscaler", called) | {"spec": body}


def build_scaled_object(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """The same for KEDA, which asks Prometheus itself."""
    called, wanted = object_name(name), spec.autoscaling
    asked = {
        "serverAddress": wanted.prometheus,
        "query": f'sum(sluice_requests_open{{namespace="{site.namespace}",pod=~"{called}-.*"}})',
        "threshold": str(wanted.open_requests),
    }
    body = {
        "scaleTargetRef": {"name": called},
        "minReplicaCount": wanted.min,
        "maxReplicaCount": wanted.max,
        "triggers": [{"type": "prometheus", "metricType": "AverageValue", "metadata": asked}],
    }
    return site.head("keda.sh/v1alpha1", "ScaledObject", called) | {"spec": body}


def build_route(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """The way in through gateways of the Gateway API."""
    called = object_name(name)
    hosts = {"hostnames": list(spec.route.hostnames)} if spec.route.hostnames else {}
    rules = [{"backendRefs": [{"name": called, "port": 80}]}]
    body = {"parentRefs": list(spec.route.parent_refs), **hosts, "rules": rules}
    return site.head("gateway.networking.k8s.io/v1", "HTTPRoute", called) | {"spec": body}


def build_pod_monitor(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """What tells Prometheus' operator to ask the pods."""
    called = object_name(name)
    found = site.head("monitoring.coreos.com/v1", "PodMonitor", called)
    found["metadata"]["labels"] |= spec.pod_monitor.labels
    endpoint = {"port": "metrics", "path": "/metrics", "interval": spec.pod_monitor.interval}
    body = {"selector": {"matchLabels": site.selector(called)}, "podMetricsEndpoints": [endpoint]}
    return found | {"spec": body}


def build_network_policy(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """Who may ask; the ways out are those of the store's and MLflow's clients."""
    called = object_name(name)
    peers = [CLIENT, *spec.open_to]
    if spec.service.type != "ClusterIP":
        peers += site.entry_points or _EVERYWHERE
    ingress = [{"from": peers, "ports": [{"port": PORT}]}]
    if spec.metrics_to:
        ingress.append({"from": list(spec.metrics_to), "ports": [{"port": METRICS_PORT}]})
    body = {"podSelector": {"matchLabels": site.selector(called)}, "policyTypes": ["Ingress"], "ingress": ingress}
    return site.head("networking.k8s.io/v1", "NetworkPolicy", called) | {"spec": body}


def build_monitor(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """Who looks at the log, again and again."""
    called = f"{object_name(name)}-monitor"
    mounts, volumes = site.volumes({"tmp": _tmp("2Gi")})
    env = site.env("monitoring", "serving", slim=False)
    if secret := spec.monitor.webhook_secret:
        env.append(from_secret(MonitoringVariables.webhook.name, secret, "webhook"))
    container = {
        "name": "monitor",
        "image": site.images["torch" if spec.image == "torch" else "tabular"],
        "imagePullPolicy": site.pull_policy,
        "command": ["sluice", "monitor", spec.model, "--exit-zero"],
        **({"args": list(spec.monitor.arguments)} if spec.monitor.arguments else {}),
        "env": env,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
        "resources": _resources(spec.monitor.resources),
        "volumeMounts": mounts,
    }
    pod = site.pod("model-monitor") | {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    bad_input = {"containerName": "monitor", "operator": "In", "values": [2]}  # trying again cannot help
    job = {
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": bad_input}]},
        "backoffLimit": 2,
        "activeDeadlineSeconds": spec.monitor.deadline_seconds,
        "ttlSecondsAfterFinished": 172_800,
        "template": {"metadata": {"labels": site.client_labels(called)}, "spec": pod},
    }
    body = {
        "schedule": spec.monitor.schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": site.labelled(called)}, "spec": job},
    }
    return site.head("batch/v1", "CronJob", called) | {"spec": body}


def build_canary(name: str, spec: ModelServerSpec, site: Site) -> Json:
    """Who decides about canaries: one at a time."""
    called = f"{object_name(name)}-canary"
    mounts, volumes = site.volumes({"tmp": _tmp("128Mi")})
    container = {
        "name": "canary",
        "image": site.images["tabular"],
        "imagePullPolicy": site.pull_policy,
        "command": ["sluice", "canary", spec.model.partition("@")[0], "--watch", "--forever"],
        "env": site.env("register", "register", slim=False),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
        "resources": _resources(spec.canary.resources),
        "volumeMounts": mounts,
    }
    pod = site.pod("model-canary") | {
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": volumes,
    }
    body = {
        "replicas": 1,
        "selector": {"matchLabels": site.selector(called)},
        "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": site.client_labels(called)}, "spec": pod},
    }
    return site.head("apps/v1", "Deployment", called) | {"spec": body}


def _volumes(name: str, spec: ModelServerSpec) -> dict[str, tuple[str, Json]]:
    called = object_name(name)
    tokens = {
        "secretName": spec.tokens.existing_secret or f"{called}-tokens",
        "defaultMode": 0o440,
        "items": [{"key": "tokens", "path": "tokens"}],
    }
    found: dict[str, tuple[str, Json]] = {
        "settings": (f"{_FOLDER}/settings", {"configMap": {"name": called}}),
        "tokens": (f"{_FOLDER}/tokens", {"secret": tokens}),
    }
    if spec.log.enabled:  # a container that starts again in its pod brings what an earlier one left
        found["spool"] = ("/spool", {"emptyDir": {"sizeLimit": str(spec.log.spool_bytes + 64 * 2**20)}})
    return found | {"tmp": _tmp(spec.tmp_size)}


def _tmp(size: str) -> tuple[str, Json]:
    return "/tmp", {"emptyDir": {"sizeLimit": size}}  # noqa: S108 - a path in a pod


def _resources(given: Resources) -> Json:
    return given.model_dump()


def _plain(value: float) -> float:
    """A number as other writers of JSON have it: 1, not 1.0."""
    return int(value) if value == int(value) else value
