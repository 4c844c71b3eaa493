"""What the gateway's program is told, all of it in environment variables that the chart sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sluice.core.environment import variable
from sluice.core.errors import BadInput
from sluice.run_gateway.rules import Buckets
from sluice.storage.keys import check_prefix

SOCKET, NAMESPACE, SCRATCH = "SLUICE_GATEWAY_SOCKET", "SLUICE_GATEWAY_NAMESPACE", "SLUICE_GATEWAY_SCRATCH"
BUCKETS, PLATFORM = "SLUICE_GATEWAY_BUCKETS", "SLUICE_GATEWAY_PLATFORM"
PROJECT_CODE = "SLUICE_GATEWAY_PROJECT_CODE"  # "false": steps may not read the code of projects


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
    def from_environment(cls) -> Self:
        """Read the variables.

        Raises:
            BadInput: One is missing or malformed.
        """
        pipelines, sluice, mlflow = _words(BUCKETS, 3)
        (namespace,), (socket,) = _words(NAMESPACE, 1), _words(SOCKET, 1)
        code = _yes_or_no(PROJECT_CODE)
        return cls(Buckets(pipelines, sluice, mlflow, _scratch(), code), namespace, Path(socket), _platform())


def _scratch() -> tuple[str, ...]:
    prefixes = tuple(variable(SCRATCH).split())
    for prefix in prefixes:
        try:
            check_prefix(prefix)
        except BadInput as error:
            raise BadInput(f"{SCRATCH}: {error}") from None
        if not prefix.endswith("/"):
            raise BadInput(f"{SCRATCH}: {prefix!r} must end with '/': else it is the beginning of other names, too")
    return prefixes


def _platform() -> tuple[str, str] | None:
    if not variable(PLATFORM):
        return None
    namespace, account = _words(PLATFORM, 2)
    return namespace, account


def _yes_or_no(name: str) -> bool:
    value = variable(name) or "true"
    if value not in ("true", "false"):
        raise BadInput(f"{name} is {value!r}: it must be true or false; the chart sets it")
    return value == "true"


def _words(name: str, count: int) -> list[str]:
    words = variable(name).split()
    if len(words) != count:
        raise BadInput(f"{name} must hold {count} word{'s' * (count > 1)}, and holds {len(words)}; the chart sets it")
    return words
