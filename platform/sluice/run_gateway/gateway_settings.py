"""What the gateway's program is told, all of it in environment variables that the chart sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sluice.core.errors import BadInput
from sluice.core.variable_groups.cluster import GatewayVariables
from sluice.core.variables import Variable
from sluice.run_gateway.rules import Buckets
from sluice.storage.keys import check_prefix


@dataclass(frozen=True)
class GatewaySettings:
    """Where it listens, and what for.

    Attributes:
        buckets: Of the release.
        namespace: Where runs are.
        socket: Where nginx asks.
        platform: Namespace and service account of the program that tells MLflow of all runs; None without one.
    """

    buckets: Buckets
    namespace: str
    socket: Path
    platform: tuple[str, str] | None

    @classmethod
    def of(cls, given: GatewayVariables) -> Self:
        """Read the variables.

        Raises:
            BadInput: One is missing or malformed.
        """
        pipelines, sluice, mlflow = _words(GatewayVariables.buckets, given.buckets, 3)
        (namespace,) = _words(GatewayVariables.namespace, given.namespace, 1)
        (socket,) = _words(GatewayVariables.socket, given.socket, 1)
        code = _yes_or_no(GatewayVariables.project_code, given.project_code)
        buckets = Buckets(pipelines, sluice, mlflow, _scratch(given.scratch), code)
        return cls(buckets, namespace, Path(socket), _platform(given.platform))


def _scratch(given: str) -> tuple[str, ...]:
    name, prefixes = GatewayVariables.scratch.name, tuple(given.split())
    for prefix in prefixes:
        try:
            check_prefix(prefix)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from None
        if not prefix.endswith("/"):
            raise BadInput(f"{name}: {prefix!r} must end with '/': else it is the beginning of other names, too")
    return prefixes


def _platform(given: str) -> tuple[str, str] | None:
    if not given:
        return None
    namespace, account = _words(GatewayVariables.platform, given, 2)
    return namespace, account


def _yes_or_no(field: Variable[str], given: str) -> bool:
    value = given or "true"
    if value not in ("true", "false"):
        raise BadInput(f"{field} is {value!r}: it must be true or false; the chart sets it")
    return value == "true"


def _words(field: Variable[str], given: str, count: int) -> list[str]:
    words = given.split()
    if len(words) != count:
        raise BadInput(f"{field} must hold {count} word{'s' * (count > 1)}, and holds {len(words)}; the chart sets it")
    return words
