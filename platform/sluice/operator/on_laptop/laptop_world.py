"""A world of one machine: a project's folder, runs of this machine, the registry and the store that they write to."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sluice.artifacts.run_results import RESULT, results_key
from sluice.core.digests import canonical_json, sha256_bytes, sha256_file
from sluice.core.errors import BadInput, SluiceError
from sluice.core.home import home
from sluice.core.progress import progress
from sluice.operator.actions import Answer, AskApproval, CancelRun, Promote, Queue, RollBack, StartRun
from sluice.operator.evidence import Evidence, Fault, LakeSeen, RequestSeen, RunSeen, RunState, VersionSeen
from sluice.operator.gates import gate_parameters
from sluice.operator.on_laptop.clock import DrivenClock, WallClock
from sluice.operator.on_laptop.documents import Operated
from sluice.operator.on_laptop.kept_files import KeptFiles, KeptRun, KeptState
from sluice.operator.on_laptop.windows_seen import WindowReader
from sluice.operator.state import Decision, State
from sluice.operator.worlds import Loaded, Subject
from sluice.registry.appointing import appoint
from sluice.registry.champions import standing
from sluice.registry.promotions import CROWNING, Chain, Promotion
from sluice.registry.versions import Version, find_version, version_by_number, versions
from sluice.running.lakes import lake_files
from sluice.running.project_runs import ProjectOrder, order
from sluice.running.run_records import RECORD, RUNS, RunRecord, read_run
from sluice.storage.locations import default_store

NAMESPACE = "laptop"
DECISIONS = "decisions"
_PASSED = ("promoted", "waits", "unchanged")
_DIGITS = 6


@dataclass
class Lake:
    """Where the lake lies, and what is known of it beside its content."""

    folder: Path
    rows: int | None = None


class LaptopWorld:
    """See `sluice.operator.worlds.World`.

    Args:
        operated: What is operated.
        clock: Tells the moment.
        lake: The lake's folder; by default the project's own.
    """

    def __init__(self, operated: Operated, clock: WallClock | DrivenClock, lake: Lake | None = None) -> None:
        self.operated, self.clock = operated, clock
        self.files = KeptFiles(operated.name)
        self.store = default_store()
        self.reader = WindowReader(self.store)
        self.lake = lake or Lake(Path(operated.project.project.lake_address(operated.project.folder)))
        self.wake: datetime | None = None
        self._kept = 0  # the number of the newest decision that this process has kept
        self._sums: dict[Path, tuple[tuple[int, int], str]] = {}

    @property
    def model(self) -> str:
        """The registered model."""
        return self.operated.training.model

    def now(self) -> datetime:
        """The moment."""
        return self.clock.now()

    def load(self, namespace: str, name: str) -> Loaded | None:
        """What is operated; None for any other name."""
        if (namespace, name) != (NAMESPACE, self.operated.name):
            return None
        kept = self.files.state(self.uid)
        subject = Subject(namespace, name, kept.uid)
        return Loaded(subject, self.operated.training, State.of_status(kept.status), str(kept.save))

    def save(self, loaded: Loaded, state: State) -> Loaded:
        """Keep the state, if nobody has saved since."""
        kept = KeptState(uid=loaded.subject.uid, status=state.document())
        return loaded.saved(state, str(self.files.save(kept, int(loaded.token)).save))

    def keep(self, loaded: Loaded, decisions: tuple[Decision, ...]) -> None:
        """Keep decisions in the store, each once."""
        folder = f"{DECISIONS}/{loaded.subject.namespace}/{loaded.subject.name}"
        for each in decisions:
            if each.number <= self._kept:
                continue
            self.store.put_if_absent(f"{folder}/{each.number:0{_DIGITS}}.json", canonical_json(each.document()))
            self._kept = each.number

    def gather(self, loaded: Loaded) -> Evidence:
        """What there is to see now."""
        faults: list[Fault] = []
        found: dict[str, Any] = {"requests": self._requests()}
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "project": lambda: {"code": self.code()},
            "lakes": lambda: {"lakes": (self._lake(),)},
            "registry": lambda: self._registry(loaded),
            "windows": lambda: {"windows": self._windows()},
            "runs": lambda: {"runs": tuple(self._runs(loaded))},
        }
        for part, look in parts.items():
            try:
                found |= look()
            except SluiceError as error:
                faults.append(Fault(part=part, words=str(error)))
                found |= {"runs": None} if part == "runs" else {}
        if windows := found.get("windows"):
            last = [each for each in windows if each.end == windows[-1].end]
            found["rows_per_day"] = sum(e.rows for e in last) / max(1.0, (last[0].end - last[0].start) / _DAY)
        return Evidence(**found, faults=tuple(faults))

    def start_run(self, loaded: Loaded, order: StartRun) -> str:
        """Order a run, unless one with its key was ordered; `execute` begins it."""
        del loaded
        if held := self.files.run(order.key):
            return held.run
        run = KeptRun(
            key=order.key,
            run=f"{self.operated.name}-{order.key[:16]}",
            parameters=self._parameters(order),
            reason=order.reason,
            ordered=self.now(),
        )
        self.ordered(run)  # a parameter that the pipeline refuses is refused now
        self.files.keep_run(run)
        return run.run

    def cancel_run(self, loaded: Loaded, order: CancelRun) -> None:
        """End a run that waits: it never begins. While one runs, nothing is decided (`executing`)."""
        del loaded
        held = self.files.run(order.key)
        if held and not held.ended:
            self.files.keep_run(held.model_copy(update={"cancelled": True, "ended": self.now()}))

    def queue(self, loaded: Loaded, order: Queue) -> None:
        """A machine of one person has no quotas: nothing is ever ordered."""

    def ask_approval(self, loaded: Loaded, order: AskApproval) -> None:
        """Tell whoever reads along."""
        name = loaded.subject.name
        progress(
            f"{name}: {self.model}/{order.version} waits for an approval until {order.deadline:%Y-%m-%d %H:%M}, for "
            f"{order.reason}: `sluice approve {self.model}/{order.version}`, or `sluice refuse …`"
        )

    def promote(self, loaded: Loaded, order: Promote) -> None:
        """Make a version champion, on record."""
        del loaded
        found = version_by_number(self.model, order.version)
        if found is None or (order.digest and found.digest != order.digest):
            raise BadInput(f"{self.model}/{order.version} is not the version that was approved: it was changed")
        by = f" (asked for by {order.by})" if order.by else ""
        appoint(f"{self.model}/{order.version}", f"{order.reason}{by}", self.store)

    def roll_back(self, loaded: Loaded, order: RollBack) -> None:
        """Let a champion of before reign again, on record."""
        del loaded
        champion = standing(self.store, self.model).champion
        if champion and champion.version == order.version:
            by = f" (asked for by {order.by})" if order.by else ""
            appoint(f"{self.model}/{order.to}", f"{order.reason}{by}", self.store)

    def answer(self, loaded: Loaded, order: Answer) -> None:
        """Write a request's answer."""
        del loaded
        for each in self.files.requests():
            if each.uid == order.uid and each.accepted is None:
                self.files.keep_request(each.model_copy(update={"accepted": order.accepted, "words": order.words}))

    def wake_at(self, loaded: Loaded, at: datetime) -> None:
        """Remember when to look again."""
        del loaded
        self.wake = at

    def ordered(self, run: KeptRun) -> ProjectOrder:
        """What a run takes; raises BadInput where the pipeline refuses it."""
        return order(self.operated.project, list(run.parameters))

    @property
    def uid(self) -> str:
        """Of what is operated."""
        return sha256_bytes(f"{self.operated.path.resolve()} {self.operated.name}".encode())[:16]

    def _parameters(self, order: StartRun) -> tuple[str, ...]:
        own = self.operated.project.project.pipeline_parameters()
        given = gate_parameters(own, order)
        changed = {name: value for name, value in given.items() if name in order.parameters or value != own.get(name)}
        changed["lake"] = str(self.lake.folder)
        if self.clock.driven:
            changed["as_of"] = f"{self._lake().arrived:%Y-%m-%d}"  # how fresh data are is judged when they arrive
        return tuple(f"{name}={_word(value)}" for name, value in sorted(changed.items()))

    def code(self) -> str:
        """The digest of all code that a run of the project takes along, and of what it declares."""
        file = self.operated.project
        archives = order(file, [f"lake={self.lake.folder}"]).code
        told = {name: archive.key for name, archive in archives.items()} | {"file": sha256_file(file.path)}
        return sha256_bytes(canonical_json(told))

    def _lake(self) -> LakeSeen:
        digest = hashlib.sha256()
        for path in lake_files(self.lake.folder):
            digest.update(f"{path.relative_to(self.lake.folder).as_posix()}\0{self._sum(path)}\n".encode())
        dataset, seen = digest.hexdigest(), self.files.seen()
        if dataset not in seen.datasets:
            seen = seen.model_copy(update={"datasets": {**seen.datasets, dataset: self.now()}})
            self.files.keep_seen(seen)
        return LakeSeen(name="lake", dataset=dataset, rows=self.lake.rows, arrived=seen.datasets[dataset])

    def _sum(self, path: Path) -> str:
        """A file's SHA-256, computed once for each size and time of change."""
        found = path.stat()
        mark = (found.st_size, found.st_mtime_ns)
        if path not in self._sums or self._sums[path][0] != mark:
            self._sums[path] = (mark, sha256_file(path))
        return self._sums[path][1]

    def _registry(self, loaded: Loaded) -> dict[str, Any]:
        chain = standing(self.store, self.model).chain
        since = self._reigns(chain)
        champion = self._version(chain.champion, since) if chain.champion else None
        present = chain.champion.version if chain.champion else ""
        good: dict[str, VersionSeen] = {}
        for record in reversed(chain.records):
            if record.decision in CROWNING and record.version not in (present, *good):
                held = version_by_number(self.model, record.version)
                if held and held.digest == record.digest:
                    good[record.version] = self._version(record, since)
        upstream = [trigger.model for trigger in loaded.spec.triggers if trigger.model]
        return {
            "champion": champion,
            "good": tuple(good.values()),
            "upstream": tuple(_upstream(find_version(f"{each.name}@{each.alias}"), each.alias) for each in upstream),
        }

    def _reigns(self, chain: Chain) -> dict[str, datetime]:
        """When records were seen first, by the operator's clock: the registry knows the machine's alone."""
        seen = self.files.seen()
        new = {str(r.number): self.now() for r in chain.records if str(r.number) not in seen.champions}
        if new:
            seen = seen.model_copy(update={"champions": {**seen.champions, **new}})
            self.files.keep_seen(seen)
        return dict(seen.champions)

    def _version(self, record: Promotion, since: dict[str, datetime]) -> VersionSeen:
        at = since[str(record.number)] if self.clock.driven else datetime.fromisoformat(record.when)
        return VersionSeen(model=self.model, version=record.version, digest=record.digest, since=at, trained=at)

    def _windows(self) -> Any:  # noqa: ANN401 - a tuple of WindowSeen
        return self.reader.windows(self.model, [each.version for each in versions(self.model)])

    def _requests(self) -> tuple[RequestSeen, ...]:
        return tuple(
            RequestSeen(
                uid=each.uid,
                name=each.uid,
                action=each.spec.action,
                by=each.spec.by or "somebody",
                created=each.created,
                version=each.spec.version,
                parameters=each.spec.parameters,
                reason=each.spec.reason,
            )
            for each in self.files.requests()
            if each.accepted is None and each.spec.target == self.operated.name
        )

    def _runs(self, loaded: Loaded) -> Iterator[RunSeen]:
        for intent in loaded.state.open:
            if held := self.files.run(intent.key):
                yield self.seen_run(held)

    def seen_run(self, held: KeptRun) -> RunSeen:
        """A run as it is now."""
        record = self._record(held)
        state: RunState = "running" if held.began else "pending"
        if held.ended:
            state = (
                "cancelled" if held.cancelled else "succeeded" if record and record.state == "succeeded" else "failed"
            )
        found = RunSeen(key=held.key, id=held.run, state=state, started=held.began, ended=held.ended)
        if record is None or record.outcome is None:
            return found.model_copy(update={"reason": record.error if record else ""})
        outcome = record.outcome
        version = version_by_number(outcome.model, outcome.model_version)
        return found.model_copy(
            update={
                "version": outcome.model_version,
                "digest": version.digest if version else None,
                "passed": outcome.decision in _PASSED,
                "promoted": outcome.decision in ("promoted", "unchanged"),
                "reason": self._reason(held.run),
            }
        )

    def _record(self, held: KeptRun) -> RunRecord | None:
        path = home() / RUNS / held.run / RECORD
        return read_run(path) if path.is_file() else None

    def _reason(self, run: str) -> str:
        key = results_key(run, RESULT)
        if not self.store.exists(key):
            return ""
        return str(json.loads(self.store.get_bytes(key)).get("reason", ""))


_DAY = timedelta(days=1)


def _upstream(version: Version, alias: str) -> VersionSeen:
    made = datetime.fromtimestamp(version.created / 1000, UTC)
    return VersionSeen(model=version.model, version=version.version, digest=version.digest, since=made, alias=alias)


def _word(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else json.dumps(value)


__all__ = ["DECISIONS", "NAMESPACE", "Lake", "LaptopWorld"]
