"""The settings: every environment variable that Sluice reads or sets, typed, and grouped by what it is about.

Who needs several of one group takes it as a parameter; `settings()` is asked where something begins. A group can also
be made of other variables, such as those that a release keeps in its ConfigMap. Code that travels with a registered
model asks the one group that it needs (`RunVariables.now()`), so that the others stay behind.
"""

from collections.abc import Iterator
from typing import Any, Generic, Self, TypeVar, overload

from sluice.core.bounds import BoundVariables
from sluice.core.variable_groups.cluster import (
    CheckVariables,
    ClusterVariables,
    EngineVariables,
    GatewayVariables,
    ImageVariables,
    JobVariables,
)
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.core.variable_groups.monitoring import MonitoringVariables
from sluice.core.variable_groups.operating import OperatorVariables
from sluice.core.variable_groups.run import RunVariables
from sluice.core.variable_groups.stores import (
    AzureVariables,
    GoogleVariables,
    S3Variables,
    SourceVariables,
    StoreVariables,
)
from sluice.core.variable_groups.system import SystemVariables
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.core.variable_groups.training import TrainingVariables
from sluice.core.variables import Variable, VariableGroup

G = TypeVar("G", bound=VariableGroup)


class _Group(Generic[G]):
    """A group of the settings."""

    def __init__(self, kind: type[G]) -> None:
        self.kind = kind

    @overload
    def __get__(self, settings: None, owner: type) -> Self: ...
    @overload
    def __get__(self, settings: "Settings", owner: type) -> G: ...
    def __get__(self, settings: "Settings | None", owner: type) -> "Self | G":
        return self if settings is None else self.kind.now()


class Settings:
    """All of them, of this process, as they are when a group is asked for."""

    run = _Group(RunVariables)
    store = _Group(StoreVariables)
    engine = _Group(EngineVariables)
    bounds = _Group(BoundVariables)
    cluster = _Group(ClusterVariables)
    images = _Group(ImageVariables)
    sources = _Group(SourceVariables)
    s3 = _Group(S3Variables)
    google = _Group(GoogleVariables)
    azure = _Group(AzureVariables)
    tracking = _Group(TrackingVariables)
    training = _Group(TrainingVariables)
    jobs = _Group(JobVariables)
    check = _Group(CheckVariables)
    gateway = _Group(GatewayVariables)
    mlflow_server = _Group(MlflowServerVariables)
    monitoring = _Group(MonitoringVariables)
    operator = _Group(OperatorVariables)
    system = _Group(SystemVariables)

    @classmethod
    def groups(cls) -> Iterator[type[VariableGroup]]:
        """The groups' classes."""
        return (group.kind for group in vars(cls).values() if isinstance(group, _Group))

    @classmethod
    def variables(cls) -> Iterator[Variable[Any]]:
        """Every variable of every group."""
        return (field for group in cls.groups() for field in group.fields())


_OURS = Settings()


def settings() -> Settings:
    """The settings of this process."""
    return _OURS
