"""Following the registry's aliases: a version that one moves to is loaded beside the old one, then takes its place.

Requests that are on their way end on the version that they began on. A version that must not be served, for its files
were changed or it has no graph, is told of in one line, and the old one goes on. While the registry or the store is
down, everything goes on as it is.
"""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.serving.exchange import Judge, Loaded
from sluice.serving.registered import Registered, Registry
from sluice.serving.served_versions import Opener, checked

CHAMPION, CHALLENGER = "champion", "challenger"
PAUSE = 1.0
"""Seconds between two looks, more or less by a quarter, so that many servers do not ask at the same moment."""
_LONGEST_PAUSE = 4.0  # while the registry is down
_AGAIN = 15.0  # seconds until a version that was refused is tried again: somebody may have restored its files
_STOPPING = 5.0


class Stage(Protocol):
    """Where versions that can answer are put: a `Traffic` that knows roles."""

    def settle(self, role: str, loaded: Loaded | None) -> None:
        """From the next request on, this version has the role; None for nobody."""
        ...


@dataclass
class Following:
    """What the follower knows of itself, for `/readyz` and the metrics.

    Attributes:
        versions: `MODEL/version` by role.
        refused: Why a version that an alias points to is not served, by role.
        problem: Why the registry could not be asked; empty where it could.
        asked: When it last answered, in seconds since 1970.
        moves: How often a role went to another version.
        refusals: How often a version was refused.
        failures: How often the registry could not be asked.
    """

    versions: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    asked: float = 0.0
    moves: int = 0
    refusals: int = 0
    failures: int = 0

    def details(self, now: float) -> dict[str, Any]:
        """What `/readyz` tells."""
        told: dict[str, Any] = {"versions": dict(self.versions)}
        if self.refused:
            told["refused"] = dict(self.refused)
        if self.problem:
            told["registry"] = (
                f"{self.problem} (last answer {now - self.asked:.0f} s ago); going on with what is loaded"
            )
        return told

    def numbers(self, now: float) -> dict[str, float]:
        """What the metrics tell, by name."""
        return {
            "sluice_alias_moves_total": self.moves,
            "sluice_alias_refusals_total": self.refusals,
            "sluice_registry_failures_total": self.failures,
            "sluice_registry_up": float(not self.problem),
            "sluice_registry_answer_age_seconds": now - self.asked if self.asked else -1.0,
        }


class AliasFollower:
    """Asks the registry again and again, in a thread of its own.

    Args:
        model: The registered model's name.
        registry: Where the aliases are.
        opener: Loads a version.
        stage: Is given the versions.
        roles: The alias of each role; the first is the one without which nobody answers.
        pause: Seconds between two looks.
    """

    def __init__(
        self,
        model: str,
        registry: Registry,
        opener: Opener,
        stage: Stage,
        roles: Mapping[str, str] | None = None,
        pause: float = PAUSE,
    ) -> None:
        self._model, self._registry, self._opener, self._stage = model, registry, opener, stage
        self._roles = dict(roles or {CHAMPION: CHAMPION, CHALLENGER: CHALLENGER})
        self._first = next(iter(self._roles))
        self._loaded: dict[str, Loaded] = {}
        self._tried: dict[tuple[str, str], float] = {}
        self._pause, self._ended = pause, threading.Event()
        self._thread: threading.Thread | None = None
        self.following = Following()

    def start(self) -> None:
        """Load the version without which nobody answers, then follow; waits while the registry is down.

        Raises:
            BadInput: There is no such model or alias, or its version must not be served.
        """
        while not self._ended.is_set():
            try:
                self._look([self._first], starting=True)
                break
            except EnvironmentFault as fault:
                self._failed(fault)
                self._ended.wait(self._pause)
        self._thread = threading.Thread(target=self._follow, name="sluice-aliases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a version that it is about to load is not waited for."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_STOPPING)

    def look(self) -> None:
        """Ask once, and carry out what moved; no error of a version's or the registry's leaves this method."""
        try:
            self._look(list(self._roles), starting=False)
        except SluiceError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - the thread must not end, whatever a library raises
            self._failed(EnvironmentFault(f"{type(error).__name__}: {error}"))

    def _follow(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            self.look()
            longer = min(_LONGEST_PAUSE, max(self._pause, pause) * 1.5) if self.following.problem else self._pause
            pause = longer * random.uniform(0.75, 1.25)

    def _look(self, roles: list[str], *, starting: bool) -> None:
        numbers = self._registry.aliases(self._model)
        found = self.following
        if found.problem:
            progress(f"the registry answers again about {self._model}")
        found.problem, found.asked = "", time.time()
        for role in roles:
            alias, number = self._roles[role], numbers.get(self._roles[role], "")
            if role != self._first and number == numbers.get(self._roles[self._first]):
                number = ""  # the very same version would meet itself
            try:
                self._move(role, alias, number)
            except SluiceError as refusal:
                if starting:
                    raise
                self._refuse(role, number, str(refusal))

    def _move(self, role: str, alias: str, number: str) -> None:
        held = self._loaded.get(role)
        if not number:
            if role == self._first:
                raise BadInput(
                    f"model {self._model} has no alias {alias}; set one with `sluice promote {self._model}/VERSION "
                    "--reason TEXT`"
                )
            self._settle(role, None)
        elif held is None or held.name != f"{self._model}/{number}":
            version = self._registry.version(self._model, number)
            if time.monotonic() < self._tried.get((version.version, version.digest), 0.0):
                return
            self._settle(role, Loaded(version.name, self._opened(version), role))
        self.following.refused.pop(role, None)

    def _opened(self, version: Registered) -> Judge:
        """The judge that another role has of the same version, else a new one."""
        for loaded in self._loaded.values():
            if (loaded.name, loaded.digest) == (version.name, version.digest):
                return loaded.judge
        try:
            return checked(self._opener(version), version)
        except EnvironmentFault:  # it may pass by the next look
            raise
        except Exception as error:
            self._tried[version.version, version.digest] = time.monotonic() + _AGAIN
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"{version.name} cannot be loaded ({type(error).__name__}: {error})") from error

    def _settle(self, role: str, loaded: Loaded | None) -> None:
        held = self._loaded.get(role)
        if held is None and loaded is None:
            return
        self._stage.settle(role, loaded)
        if loaded is None:
            del self._loaded[role], self.following.versions[role]
            progress(f"{self._model}: nobody is {role} any more")
            return
        self._loaded[role], self.following.versions[role] = loaded, loaded.name
        self.following.moves += held is not None
        before = f" in place of {held.name}" if held else ""
        progress(f"{loaded.name} ({loaded.digest[:12]}) answers as {role}{before}")

    def _refuse(self, role: str, number: str, reason: str) -> None:
        if self.following.refused.get(role) == reason:
            return
        self.following.refused[role] = reason
        self.following.refusals += 1
        held = self._loaded.get(role)
        goes_on = f"{held.name} goes on as {role}" if held else f"nobody is {role}"
        progress(f"refused {self._model}/{number or '(none)'}: {reason}; {goes_on}")

    def _failed(self, error: SluiceError) -> None:
        found = self.following
        found.failures += 1
        if not found.problem:
            progress(f"{error}; going on with what is loaded")
        found.problem = str(error)
