"""Runs of ours in KFP, by the key of the intent that each was begun for.

KFP gives a run its id itself, and takes two runs of one name. So a run's name follows from its key; whoever is about to
begin one looks for the name first; and of two that came to be all the same, the older one counts and the other is
ended.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from sluice.cluster.kfp_api import KfpApi, Listed
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.operator.evidence import ENDED, RunSeen, RunState

KEY_CHARACTERS = 16
UNSURE_SECONDS = 40.0
"""So long after a beginning that got no answer nothing else is begun: KFP may still be at it."""
_NEWEST = 100
_LENGTHS_SECONDS = 5.0  # many runs may enter a queue at once
_MARK = re.compile(r"Key (?P<key>[0-9a-f]{64}) of (?P<namespace>[a-z0-9-]+)/(?P<name>[a-z0-9.-]+)\.$")
_STATES: dict[str, RunState] = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "CANCELING": "cancelled",
    "PENDING": "pending",
    "": "pending",
}


@dataclass(frozen=True)
class Order:
    """What a run runs.

    Attributes:
        name: Of the resource that it is for.
        key: Of the intent.
        pipeline: The ids of a pipeline and of its version in KFP.
        parameters: By name.
        words: Why.
    """

    name: str
    key: str
    pipeline: tuple[str, str]
    parameters: Mapping[str, Any]
    words: str


def run_name(name: str, key: str) -> str:
    """What a run is called in KFP: by the resource and by its key."""
    return f"{name}-{key[:KEY_CHARACTERS]}"


class KfpRuns:
    """What is known of them; from any thread."""

    def __init__(self, api: KfpApi) -> None:
        """Nothing is asked yet."""
        self.api = api
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[Listed, float]] = {}  # by name of run
        self._unsure: dict[str, float] = {}
        self._experiments: dict[str, str] = {}
        self._specs: dict[str, Mapping[str, Any]] = {}  # by version
        self._lengths: tuple[float, dict[str, float]] = (0.0, {})

    def begin(self, order: Order) -> str:
        """Begin a run unless there is one of its key; its id.

        Raises:
            BadInput: KFP refuses it.
            EnvironmentFault: KFP is away, or nobody knows yet whether an earlier beginning came through.
        """
        name = run_name(order.name, order.key)
        if there := self.find(order.name, order.key, fresh=True):
            return there.id
        unsure = self._unsure.get(name, 0.0) + UNSURE_SECONDS - time.monotonic()
        if unsure > 0:
            raise EnvironmentFault(
                f"run {name}: KFP did not say whether it began; it is looked for {unsure:.0f} s more"
            )
        experiment = self._experiment(order.name)
        try:
            run = self.api.create_run(name, experiment, order.pipeline, order.parameters, order.words)
        except EnvironmentFault:
            self._unsure[name] = time.monotonic()
            raise
        self._unsure.pop(name, None)
        self._keep(name, Listed(run, name, "PENDING", datetime.now(UTC).isoformat(timespec="seconds"), None))
        return run

    def find(self, name: str, key: str, *, fresh: bool = False, seconds: float = 1.0) -> Listed | None:
        """The run of a key; None where there is none.

        Args:
            name: Of the resource.
            key: Of the intent.
            fresh: Ask KFP, whatever is known.
            seconds: How old what is known may be.
        """
        called = run_name(name, key)
        with self._lock:
            known, when = self._seen.get(called, (None, 0.0))
        if known and not fresh and (_state(known) in ENDED or time.monotonic() - when < seconds):
            return known
        found = self.api.runs_named(called)
        if not found:
            return None
        self._end_doubles(found)
        self._keep(called, found[0])
        return found[0]

    def seen(self, name: str, key: str, seconds: float) -> RunSeen | None:
        """The same as evidence, without what only the run's result tells."""
        found = self.find(name, key, seconds=seconds)
        if not found:
            return None
        state, started = _state(found), _moment(found.created)
        ended = started + timedelta(seconds=found.seconds) if started and found.seconds is not None else None
        return RunSeen(key=key, id=found.id, state=state, started=started, ended=ended)

    def cancel(self, name: str, key: str) -> str:
        """End the run of a key, if there is one that has not ended; its id, or nothing."""
        found = self.find(name, key, fresh=True)
        if not found or _state(found) in ENDED:
            return ""
        self.api.cancel(found.id)
        return found.id

    def spec(self, pipeline: str, version: str) -> Mapping[str, Any]:
        """The spec of a pipeline's version, which never changes."""
        if version not in self._specs:
            self._specs[version] = self.api.spec(pipeline, version)
        return self._specs[version]

    def usual_seconds(self, name: str) -> float | None:
        """How long the newest runs of a resource took that succeeded, in the middle; None where there is none."""
        when, lengths = self._lengths
        if not when or time.monotonic() - when > _LENGTHS_SECONDS:
            found: dict[str, list[float]] = {}
            for run in self.api.runs(_NEWEST):
                if _state(run) == "succeeded" and run.seconds is not None:
                    found.setdefault(run.name[: -KEY_CHARACTERS - 1], []).append(run.seconds)
            lengths = {each: median(seconds) for each, seconds in found.items()}
            self._lengths = (time.monotonic(), lengths)
        return lengths.get(name)

    def look(self) -> list[str]:
        """Look at those that have not ended; the names of resources whose run has changed since."""
        with self._lock:
            waiting = {run.id: (called, run) for called, (run, _) in self._seen.items() if _state(run) not in ENDED}
        if not waiting:
            return []
        changed = []
        newest = self.api.runs(_NEWEST)
        for run, (called, before) in waiting.items():
            same = [each for each in reversed(newest) if each.name == called]
            self._end_doubles(same)
            now = same[0] if same else self._one(run)
            if now is None:
                self.forget(called)  # somebody removed it from KFP
            else:
                self._keep(called, now)
            if now is None or _state(now) != _state(before):
                changed.append(called[: -KEY_CHARACTERS - 1])
        return changed

    def end_orphans(self, namespace: str, there: Callable[[str], bool]) -> list[str]:
        """End runs whose resource is gone; their ids.

        Args:
            namespace: Of this operator: of KFP's other runs it knows nothing.
            there: Whether there is a resource of a name.
        """
        ended = []
        for run in self.api.runs(_NEWEST):
            told = _MARK.search(run.description)
            ours = told and told["namespace"] == namespace and run.name == run_name(told["name"], told["key"])
            if told and ours and _state(run) not in ENDED and not there(told["name"]):
                progress(f"run {run.name}: its resource is gone, and it is ended")
                self.api.cancel(run.id)
                ended.append(run.id)
        return ended

    def forget(self, called: str) -> None:
        """A run that is of no interest any more, by its name."""
        with self._lock:
            self._seen.pop(called, None)

    def _one(self, run: str) -> Listed | None:
        try:
            return self.api.listed(run)
        except BadInput:
            return None

    def _keep(self, called: str, run: Listed) -> None:
        with self._lock:
            self._seen[called] = (run, time.monotonic())

    def _end_doubles(self, found: list[Listed]) -> None:
        for double in found[1:]:
            if _state(double) not in ENDED:
                progress(f"run {double.id} is a double of {found[0].id}, and is ended")
                self.api.cancel(double.id)

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            self._experiments[name] = self.api.experiment(name)
        return self._experiments[name]


def described(words: str, namespace: str, name: str, key: str) -> str:
    """A run's description, by which it is known to belong to a resource."""
    return f"{words} Key {key} of {namespace}/{name}."


def _state(run: Listed) -> RunState:
    return _STATES.get(run.state, "running")


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
