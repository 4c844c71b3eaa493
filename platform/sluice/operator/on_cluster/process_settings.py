"""What the operator's process is told: one JSON document, which the chart writes into a ConfigMap."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationError

from sluice.cluster.model_server_site import Site
from sluice.core.errors import BadInput
from sluice.operator.parts import NAME, Part

_SNAKE = re.compile(r"([A-Z])")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class KubernetesPlace(Part):
    """Where the Kubernetes API answers, and as whom it is asked.

    Attributes:
        server: Its address.
        token_file: The token, read again each minute, for the kubelet renews it.
        ca_file: Whom to trust.
    """

    server: str = "https://kubernetes.default.svc"
    token_file: str = f"{_ACCOUNT}/token"
    ca_file: str = f"{_ACCOUNT}/ca.crt"


class LeaseSettings(Part):
    """Of two operators the one that holds the Lease works.

    Attributes:
        name: Of the Lease.
        seconds: For so long it is held without being renewed.
    """

    name: str = "sluice-operator"
    seconds: Annotated[int, Field(ge=3)] = 15


class KueueSettings(Part):
    """Quotas by Kueue.

    Attributes:
        enabled: Whether the process may make Workloads; else no run can wait in a queue.
        queue: The LocalQueue for runs of resources that name none; empty: they begin at once.
    """

    enabled: bool = False
    queue: Annotated[str, Field(pattern=NAME + "|^$")] = ""


class Pauses(Part):
    """Seconds between two looks at what tells nobody when it changes.

    Attributes:
        runs: KFP's runs, while any of ours is on its way.
        lakes: The lakes of projects.
        queues: Kueue's queues, where any is named.
        registry: Champions, and the models that triggers follow.
        windows: The windows that the monitor judged.
        young: Those of champions that may be taken back for them: `rollback.performance`, within `rollback.within`.
        ended: MLflow's runs, for those that ended without saying so.
        resync: Each resource, whatever happened.
    """

    runs: Annotated[float, Field(gt=0)] = 5
    lakes: Annotated[float, Field(gt=0)] = 60
    queues: Annotated[float, Field(gt=0)] = 2
    registry: Annotated[float, Field(gt=0)] = 10
    windows: Annotated[float, Field(gt=0)] = 60
    young: Annotated[float, Field(gt=0)] = 5
    ended: Annotated[float, Field(gt=0)] = 30
    resync: Annotated[float, Field(gt=0)] = 3600


class ProcessSettings(Part):
    """The document.

    Attributes:
        namespace: The only one that is looked at.
        kubernetes: Its API.
        kfp: KFP's address.
        host: Where it listens.
        port: For events; 0 for any free one.
        metrics_port: For metrics and probes.
        token_files: Files with one token a line: who shows one may send events; none: nobody may.
        lease: Who works, of two.
        pauses: How often it looks.
        workers: Reconciliations at the same time.
        kueue: Whether runs may wait in Kueue's queues.
        site: Where servers of models run (`sluice.cluster.model_server_site.Site`); empty: it makes none.
    """

    namespace: str
    kubernetes: KubernetesPlace = KubernetesPlace()
    kfp: str
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9090
    token_files: tuple[str, ...] = ()
    lease: LeaseSettings = LeaseSettings()
    pauses: Pauses = Pauses()
    kueue: KueueSettings = KueueSettings()
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    site: dict[str, JsonValue] = Field(default={})

    def where(self) -> Site | None:
        """Where servers of models run; None where none are made.

        Raises:
            BadInput: The document says it wrongly.
        """
        if not self.site:
            return None
        given: dict[str, Any] = {_SNAKE.sub(r"_\1", name).lower(): value for name, value in self.site.items()}
        try:
            return Site(**given)
        except TypeError as error:
            raise BadInput(f"site: {error}") from None

    @classmethod
    def read(cls, path: Path) -> "ProcessSettings":
        """Read the document.

        Raises:
            BadInput: It is not there, or something in it is wrong.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}; name the operator's settings") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            raise BadInput(f"{path}: {place}: {first['msg']}") from None
