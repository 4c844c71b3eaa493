"""What the world says, asked by one for all: lakes, the registry, judged windows, servers.

Each watcher keeps what it was told for a while, and says which ContinuousTrainings a change is of interest to. What
cannot be asked stands in `faults`, and never counts as "there is nothing".
"""

import json
import threading
import time
from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sluice.core.errors import BadInput, SluiceError
from sluice.core.progress import progress
from sluice.operator.evidence import Fault, LakeSeen, VersionSeen, WindowSeen
from sluice.operator.on_cluster.lake_rows import LakeRows
from sluice.operator.on_cluster.lakes_seen import LakeLook, look_at_lake
from sluice.operator.on_cluster.registry_seen import Records, Standing
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.on_cluster.servers_seen import ServersSeen
from sluice.operator.on_cluster.windows_seen import look_at_windows
from sluice.operator.parts import span
from sluice.operator.specs import ContinuousTrainingSpec, ProjectSpec
from sluice.serving.registered import Registry
from sluice.storage.stores import Store

DATASETS = "sluice.datasets"
_LONG_SECONDS = 600.0
Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Name, Value]):
    """Answers by what was asked, each kept for some seconds; a question that fails is asked again at once."""

    def __init__(self, ask: Callable[[Name], Value], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._known: dict[Name, tuple[float, Value]] = {}

    def get(self, name: Name) -> Value:
        """What is known, or is told now."""
        with self._lock:
            found = self._known.get(name)
        if found and time.monotonic() - found[0] < self._seconds:
            return found[1]
        return self.renew(name)[0]

    def renew(self, name: Name) -> tuple[Value, bool]:
        """What is told now, and whether it is another than before."""
        value = self._ask(name)
        with self._lock:
            before = self._known.get(name)
            self._known[name] = (time.monotonic(), value)
        return value, before is not None and before[1] != value

    def forget(self, name: Name) -> None:
        """Ask again next time."""
        with self._lock:
            self._known.pop(name, None)

    def names(self) -> list[Name]:
        """All that was asked."""
        with self._lock:
            return list(self._known)


class LakesWatcher:
    """Lakes by their addresses."""

    def __init__(self, seconds: float, rows: LakeRows | None = None) -> None:
        """Nothing is looked at yet.

        Args:
            seconds: Between two looks.
            rows: Counts the rows that triggers ask for; None: nobody does.
        """
        self._first: dict[tuple[str, str], LakeLook] = {}
        self._cache: Cache[str, LakeLook] = Cache(self._look, 2 * seconds)
        self._rows = rows

    def seen(
        self, project: ProjectSpec, spec: ContinuousTrainingSpec, faults: list[Fault], ingested: str = ""
    ) -> tuple[LakeSeen, ...]:
        """The lakes of a project; `ingested` is the dataset that the champion's run read."""
        found = []
        for lake in project.lakes:
            rules = [t.data for t in spec.triggers if t.data and t.data.lake in ("", lake.name)]
            try:
                look = self._cache.get(lake.address)
                seen = look.named(lake.name, next(filter(None, (each.partition for each in rules)), ""))
                counted = any(each.rows for each in rules)
                found.append(self._counted(look, seen, project, ingested) if counted else seen)
            except SluiceError as error:
                faults.append(Fault(part="lakes", words=f"lake {lake.name}: {error}"))
        return tuple(found)

    def _counted(self, look: LakeLook, seen: LakeSeen, project: ProjectSpec, ingested: str) -> LakeSeen:
        if self._rows is None:
            return seen
        try:
            rows = self._rows.rows(look.store, look.marks, rows_table(project), ingested)
        except BadInput as error:
            return seen.model_copy(update={"uncounted": str(error)[:300]})
        return seen.model_copy(update={"rows": rows})

    def look(self) -> set[str]:
        """Look at all that were ever asked about; the addresses that hold something else now."""
        return _changed(self._cache)

    def _look(self, address: str) -> LakeLook:
        found = look_at_lake(address)
        return self._first.setdefault((address, found.seen.dataset), found)  # who touches a file makes nothing new


def rows_table(project: ProjectSpec) -> str:
    """The table whose rows a project learns from, as its pipeline's parameter `task` says; empty where it does not."""
    task: Any = project.pipelines[0].parameters.get("task")
    rows = task.get("rows") if isinstance(task, dict) else None
    return str(rows.get("table") or "") if isinstance(rows, dict) else ""


@dataclass(frozen=True)
class _Upstream:
    model: str
    alias: str


class RegistryWatcher:
    """Champions and those before them, by model; versions by alias."""

    def __init__(self, registry: Callable[[], Registry], store: Callable[[], Store]) -> None:
        self._registry, self._records = registry, Records(registry, store)
        # `look` forgets what has moved: a standing is asked for anew when an alias has, or after a long while.
        self._standings: Cache[str, Standing] = Cache(self._records.standing, _LONG_SECONDS)
        self._aliases: Cache[_Upstream, VersionSeen | None] = Cache(
            lambda asked: self._records.by_alias(asked.model, asked.alias), _LONG_SECONDS
        )
        self._ingested: Cache[tuple[str, str], str] = Cache(self._dataset, 1e9)  # a version's tags stay
        self._pointed: dict[str, dict[str, str]] | None = None

    def standing(self, model: str, faults: list[Fault]) -> Standing:
        """Who is champion, and who was."""
        try:
            return self._standings.get(model)
        except SluiceError as error:
            faults.append(Fault(part="registry", words=str(error)))
            return Standing()

    def upstream(self, spec: ContinuousTrainingSpec, faults: list[Fault]) -> tuple[VersionSeen, ...]:
        """The versions that the triggers' other models have."""
        found = []
        for trigger in spec.triggers:
            if trigger.model is None:
                continue
            try:
                found.append(self._aliases.get(_Upstream(trigger.model.name, trigger.model.alias)))
            except SluiceError as error:
                faults.append(Fault(part="registry", words=str(error)))
        return tuple(each for each in found if each)

    def ingested(self, model: str, version: str) -> str:
        """The dataset that the run of a version read from its lake; empty where nobody says so."""
        try:
            return self._ingested.get((model, version))
        except SluiceError:
            return ""  # `standing` has told it already

    def _dataset(self, asked: tuple[str, str]) -> str:
        tags = self._registry().version(*asked).tags
        found = json.loads(tags.get(DATASETS, "{}"))
        return str(found.get("ingest", "")) if isinstance(found, dict) else ""

    def alias(self, model: str, alias: str, faults: list[Fault]) -> VersionSeen | None:
        """The version that an alias points to."""
        try:
            return self._aliases.get(_Upstream(model, alias))
        except SluiceError as error:
            faults.append(Fault(part="registry", words=str(error)))
            return None

    def look(self) -> set[str]:
        """Look again, at all models in one request; those whose aliases have moved."""
        now = self._registry().all_aliases()
        before, self._pointed = self._pointed, now
        if before is None:
            return set()
        moved = {model for model in now.keys() | before.keys() if now.get(model) != before.get(model)}
        for model in moved:
            self.forget(model)
        return moved

    def forget(self, model: str) -> None:
        """A version was made champion: ask again."""
        self._standings.forget(model)
        for each in self._aliases.names():
            if each.model == model:
                self._aliases.forget(each)


class WindowsWatcher:
    """Windows that the monitor judged, by model and version."""

    def __init__(self, store: Callable[[], Store], seconds: float) -> None:
        self._young: dict[tuple[str, str], datetime] = {}  # until when a champion may be taken back for its windows
        self._cache: Cache[tuple[str, str], tuple[WindowSeen, ...]] = Cache(
            lambda asked: look_at_windows(store(), *asked), 2 * seconds
        )

    def seen(self, spec: ContinuousTrainingSpec, standing: Standing, faults: list[Fault]) -> tuple[WindowSeen, ...]:
        """The champion's windows, oldest first, where anything of the specification goes by them."""
        watched = (
            spec.policy == "cost" or spec.rollback.performance or any(t.drift or t.performance for t in spec.triggers)
        )
        if standing.champion is None or not watched:
            return ()
        asked = (spec.model, standing.champion.version)
        if spec.rollback.performance:
            self._young[asked] = standing.champion.since + span(spec.rollback.within)
        try:
            return self._cache.get(asked)
        except SluiceError as error:
            faults.append(Fault(part="windows", words=str(error)))
            return ()

    def look(self) -> set[str]:
        """Look again: the models with new or restated windows."""
        return {model for model, _ in _changed(self._cache)}

    def look_at_young(self) -> set[str]:
        """The same of champions that may be taken back for what their windows say, which must not take long."""
        now = datetime.now(UTC)
        young = {asked for asked, until in list(self._young.items()) if until > now}
        self._young = {asked: until for asked, until in list(self._young.items()) if asked in young}
        return {model for model, _ in _changed(self._cache, young)}


@dataclass(frozen=True)
class Watchers:
    """All of them."""

    lakes: LakesWatcher
    registry: RegistryWatcher
    windows: WindowsWatcher
    servers: ServersSeen

    def servers_of(self, index: ResourceIndex, models: AbstractSet[str]) -> set[str]:
        """The ModelServers of models."""
        return {
            known.name
            for known in index.of_kind("ModelServer")
            if str(known.spec.get("model", "")).partition("@")[0] in models
        }

    def interested(self, index: ResourceIndex, *, lakes: AbstractSet[str], models: AbstractSet[str]) -> set[str]:
        """The ContinuousTrainings that changes are of interest to."""
        projects = {
            known.name
            for known in index.of_kind("Project")
            if any(lake.get("address") in lakes for lake in known.spec.get("lakes") or ())
        }
        return {
            known.name
            for known in index.of_kind("ContinuousTraining")
            if known.spec.get("model") in models
            or (known.spec.get("project") in projects)
            or any((t.get("model") or {}).get("name") in models for t in known.spec.get("triggers") or ())
        }


def _changed(cache: Cache[Name, Value], only: AbstractSet[Name] | None = None) -> set[Name]:
    found = set()
    for name in cache.names():
        if only is not None and name not in only:
            continue
        try:
            if cache.renew(name)[1]:
                found.add(name)
        except BadInput:
            cache.forget(name)
        except SluiceError as error:
            progress(f"{name}: {error}")
    return found
