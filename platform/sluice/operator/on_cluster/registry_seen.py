"""Who is champion and who was, without MLflow's client: the registry's aliases, and the records of promotions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.core.errors import BadInput
from sluice.operator.evidence import CanarySeen, VersionSeen
from sluice.registry.promotions import CROWNING, Promotion, promotions
from sluice.serving.registered import Registry
from sluice.storage.stores import Store

CHAMPION = "champion"
_MOST_GOOD = 10


@dataclass(frozen=True)
class Standing:
    """Of a model.

    Attributes:
        champion: Who reigns.
        good: Who reigned before and is still registered, newest first.
        canary: What is tried on a part of the traffic.
    """

    champion: VersionSeen | None = None
    good: tuple[VersionSeen, ...] = ()
    canary: CanarySeen | None = None


class Records:
    """Registry and records of one installation."""

    def __init__(self, registry: Callable[[], Registry], store: Callable[[], Store]) -> None:
        self._registry, self._store = registry, store

    def standing(self, model: str) -> Standing:
        """A model's; nobody where it was never registered.

        Raises:
            EnvironmentFault: The registry or the store failed.
        """
        registry = self._registry()
        try:
            number = registry.aliases(model).get(CHAMPION)
        except BadInput:
            return Standing()  # nothing was registered yet
        records = promotions(self._store(), model)
        crowned = {record.version: record for record in records if record.decision in CROWNING}
        champion = self._version(model, number, crowned) if number else None
        return Standing(champion, tuple(self._before(model, records, number)))

    def by_alias(self, model: str, alias: str) -> VersionSeen | None:
        """The version that an alias points to; None for none."""
        registry = self._registry()
        try:
            number = registry.aliases(model).get(alias)
            found = registry.version(model, number) if number else None
        except BadInput:
            return None
        if not found:
            return None
        return VersionSeen(
            model=model, version=found.version, digest=found.digest, since=_created(found.created), alias=alias
        )

    def _version(self, model: str, number: str, crowned: dict[str, Promotion]) -> VersionSeen:
        found = self._registry().version(model, number)
        trained, record = _created(found.created), crowned.get(number)
        since = datetime.fromisoformat(record.when) if record else trained
        return VersionSeen(model=model, version=number, digest=found.digest, since=since, trained=trained)

    def _before(self, model: str, records: list[Promotion], champion: str | None) -> list[VersionSeen]:
        """Champions of before; not those that were taken back since they were crowned last."""
        taken = {record.replaced for record in records if record.decision in ("restored", "withdrawn")}
        found: dict[str, VersionSeen] = {}
        for record in reversed(records):
            if record.decision not in CROWNING or record.version in (*found, *taken, champion):
                continue
            try:
                there = self._registry().version(model, record.version)
            except BadInput:
                continue  # it was removed
            if there.digest == record.digest:
                since = datetime.fromisoformat(record.when)
                found[record.version] = VersionSeen(
                    model=model, version=record.version, digest=record.digest, since=since
                )
            if len(found) == _MOST_GOOD:
                break
        return list(found.values())


def _created(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
