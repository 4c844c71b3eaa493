"""What a server of a registered model on a cluster is asked to be, in the names of the chart's `modelServers`.

A custom resource has the same fields. Defaults are those of the chart's `modelServerDefaults`; the tests hold both to
each other.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Json = dict[str, Any]
_SPOOL = 256 * 2**20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Autoscaling(_Part):
    """How many pods there are; `by` says who counts what."""

    by: Literal["none", "cpu", "requests", "keda"] = "none"
    min: Annotated[int, Field(ge=1)] = 2
    max: Annotated[int, Field(ge=1)] = 10
    cpu_percent: Annotated[int, Field(ge=1)] = 70
    open_requests: Annotated[int, Field(ge=1)] = 8
    prometheus: str = ""


class Log(_Part):
    """The log of what was answered."""

    enabled: bool = True
    sampling: Annotated[float, Field(gt=0, le=1)] = 1
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    spool_bytes: Annotated[int, Field(ge=2**20)] = _SPOOL


class Tokens(_Part):
    """What callers must show."""

    existing_secret: str = ""


class ServiceType(_Part):
    """The Service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    node_port: int = 0


class Route(_Part):
    """An HTTPRoute of the Gateway API."""

    enabled: bool = False
    parent_refs: tuple[Json, ...] = ()
    hostnames: tuple[str, ...] = ()


class PodMonitor(_Part):
    """A PodMonitor of the Prometheus Operator."""

    enabled: bool = False
    labels: dict[str, str] = {}
    interval: str = "15s"


class Resources(_Part):
    """What a container asks for and may use at most, in Kubernetes' quantities."""

    requests: dict[str, str | float]
    limits: dict[str, str | float]


class Canary(_Part):
    """Who decides about canaries."""

    watch: bool = False
    resources: Resources = Resources(
        requests={"cpu": "10m", "memory": "192Mi", "ephemeral-storage": "16Mi"},
        limits={"cpu": "1", "memory": "512Mi", "ephemeral-storage": "128Mi"},
    )


class Monitor(_Part):
    """The CronJob that watches the model."""

    enabled: bool = False
    schedule: str = "20 3 * * *"
    arguments: tuple[str, ...] = ()
    webhook_secret: str = ""
    deadline_seconds: Annotated[int, Field(ge=60)] = 3600
    resources: Resources = Resources(
        requests={"cpu": "100m", "memory": "512Mi", "ephemeral-storage": "64Mi"},
        limits={"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi"},
    )


class ModelServerSpec(_Part):
    """A server. docs/values.md, section modelServerDefaults, says what each field means."""

    model: Annotated[str, Field(pattern=r"^[^@/\s]+(@[\w.-]+)?$")]
    image: Literal["server", "tabular", "torch"] = "server"
    replicas: Annotated[int, Field(ge=1)] = 2
    autoscaling: Autoscaling = Autoscaling()
    shadow: Annotated[float, Field(ge=0, le=1)] = 1
    slices: tuple[str, ...] = ()
    log: Log = Log()
    feedback: bool = True
    tokens: Tokens = Tokens()
    limits: Json = {}
    drain: Annotated[float, Field(ge=0, le=3600)] = 5
    grace: Annotated[float, Field(gt=0, le=3600)] = 25
    open_to: tuple[Json, ...] = ()
    metrics_to: tuple[Json, ...] = ()
    service: ServiceType = ServiceType()
    route: Route = Route()
    pod_monitor: PodMonitor = PodMonitor()
    canary: Canary = Canary()
    monitor: Monitor = Monitor()
    tmp_size: str = "512Mi"
    resources: Resources = Resources(
        requests={"cpu": "100m", "memory": "192Mi", "ephemeral-storage": "64Mi"},
        limits={"cpu": "1", "memory": "768Mi", "ephemeral-storage": "1536Mi"},
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.autoscaling.by == "keda" and not self.autoscaling.prometheus:
            raise ValueError("autoscaling.by=keda without autoscaling.prometheus: name the address that is asked")
        if self.autoscaling.min > self.autoscaling.max:
            raise ValueError("autoscaling: min is above max")
        if self.route.enabled and not self.route.parent_refs:
            raise ValueError("route.enabled without route.parentRefs: name the gateway")
        if self.monitor.enabled and not self.log.enabled:
            raise ValueError("monitor.enabled without log.enabled: there is nothing to watch")
        if self.service.type == "ClusterIP" and self.service.node_port:
            raise ValueError("service.nodePort is set with type ClusterIP: set service.type=NodePort")
        return self

    @property
    def threads(self) -> int:
        """As many as its limit of processors, rounded up."""
        given = str(self.resources.limits["cpu"])
        return math.ceil(float(given[:-1]) / 1000 if given.endswith("m") else float(given))

    @property
    def several(self) -> bool:
        """Whether there may be more pods than one."""
        return self.autoscaling.by != "none" or self.replicas > 1
