"""A past lived through again, in minutes: data arrive, rows are asked for, labels come late, and the operator decides.

The clock stands still but for what happens: a month's data arrive, a window of the monitor is over, labels have come, a
person asks for something, the operator wanted to be woken. After each of these it reconciles until nothing is left to
do, and runs what it ordered, for real. Rows of the time in between are answered by the version that was champion then.
"""

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console

from sluice.core.errors import BadInput
from sluice.core.home import make_home
from sluice.core.progress import progress
from sluice.monitoring.records import WatchSettings
from sluice.monitoring.row_tables import connection
from sluice.operator.on_laptop.asked_rows import prepare_rows
from sluice.operator.on_laptop.clock import DrivenClock
from sluice.operator.on_laptop.documents import Operated, RehearsalSpec
from sluice.operator.on_laptop.executing import execute_all
from sluice.operator.on_laptop.kept_files import KeptRequest
from sluice.operator.on_laptop.laptop_world import NAMESPACE, Lake, LaptopWorld
from sluice.operator.on_laptop.watched_versions import WatchedVersions
from sluice.operator.parts import span
from sluice.operator.reconciling import reconcile
from sluice.operator.state import Decision, State
from sluice.project.values import split_reference
from sluice.registry.champions import standing
from sluice.running.logged_windows import LogWindow, after, windows_between
from sluice.running.warm_steps import WarmPython, warm_python

Arrive = Callable[[Path, date], str | None]
Happening = tuple[datetime, str, Callable[[], object]]
Tell = Callable[[str, str, str], None]
_MOST_ROUNDS = 20  # of reconciling at one moment
_NOON = time(12)
_ORDER = ("answered", "arrival", "window", "labels", "ask")


@dataclass(frozen=True)
class Arrived:
    """Data that arrived, in words."""

    at: datetime
    words: str


@dataclass(frozen=True)
class Served:
    """A version answered rows from one moment to another."""

    version: str
    since: datetime
    until: datetime
    rows: int


@dataclass
class Lived:
    """What happened.

    Attributes:
        arrived: Data, by time.
        served: Who answered, by time; one after the other.
        decisions: All decisions, by number, as they were in the end.
        state: The operator's, in the end.
    """

    arrived: list[Arrived] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    decisions: dict[int, Decision] = field(default_factory=dict)
    state: State = field(default_factory=State)


def live_through(
    operated: Operated, console: Console, *, quiet: bool = False, tell: Tell | None = None
) -> tuple[Lived, LaptopWorld]:
    """Live through the past that a file declares.

    Args:
        operated: What is operated, with a rehearsal.
        console: Where the runs' progress goes.
        quiet: Show none of it.
        tell: Is told what happens: the day, what, and a sentence.

    Raises:
        BadInput: There is an earlier one in this home, or the project is not as it should be.
        EnvironmentFault: The store, the registry or the disk failed.
    """
    spec = operated.rehearsal
    assert spec is not None, "who calls this has looked"  # noqa: S101
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))
        warm = stack.enter_context(warm_python())
        clock = DrivenClock(_midnight(spec.since))
        world = LaptopWorld(operated, clock, Lake(make_home() / "lake"))
        stack.enter_context(world.files.alone())
        if world.files.state("").save or world.files.runs():
            raise BadInput(f"{world.files.folder} holds a past that was lived; name another SLUICE_HOME, or remove it")
        arrive = _arrive(operated, spec)
        arrive(folder / "whole", spec.until)
        asked = prepare_rows(world, folder / "whole")
        opened = stack.enter_context(connection())
        settings = WatchSettings(metric="", span=spec.window)
        delay = span(operated.training.label_delay)
        watched = WatchedVersions(operated.training.model, asked, settings, delay, (folder, opened), stack)
        rehearsal = _Rehearsal(world, clock, watched, arrive, console, warm, tell or _silent, quiet=quiet)
        rehearsal.live(spec)
        return rehearsal.lived, world


class _Rehearsal:
    def __init__(
        self,
        world: LaptopWorld,
        clock: DrivenClock,
        watched: WatchedVersions,
        arrive: Arrive,
        console: Console,
        warm: WarmPython | None,
        tell: Tell,
        *,
        quiet: bool,
    ) -> None:
        self._world, self._clock, self._watched = world, clock, watched
        self._arrive, self._console, self._warm, self._tell, self._quiet = arrive, console, warm, tell, quiet
        self._answered = clock.now()
        self._told = ("", "")
        self.lived = Lived()

    def live(self, spec: RehearsalSpec) -> None:
        """From the first day to the last."""
        self._data(_midnight(spec.since))
        for moment, happens in self._calendar(spec):
            while (wake := self._world.wake) and self._clock.now() < wake < moment:
                self._world.wake = None
                self._go_on(wake)
                self._reconcile()
            self._go_on(moment)
            happens()
            self._reconcile()

    def _calendar(self, spec: RehearsalSpec) -> Iterator[tuple[datetime, Callable[[], object]]]:
        """All that happens, by time; what happens at one moment in a fixed order."""
        begin, end = _midnight(spec.since), _midnight(spec.until)
        found: list[Happening] = [(day, "arrival", partial(self._data, day)) for day in _arrivals(spec)]
        delay = span(self._world.operated.training.label_delay)
        for window in windows_between(begin, after(end, spec.window), spec.window):
            window = LogWindow(window.name, max(window.begin, begin), min(window.end, end))
            if window.begin < window.end:
                found.append((window.end, "window", partial(self._watched.window_ends, window)))
                due = window.end + delay
                found.append((due, "labels", partial(self._watched.labels_come, due)))
        for ask in spec.asks:
            moment = datetime.combine(ask.at, _NOON, UTC)
            request = KeptRequest(uid=f"ask-{len(found):04}", spec=ask.request, created=moment)
            found.append((moment, "ask", partial(self._world.files.keep_request, request)))
        inside = [each for each in found if each[0] <= end]
        for moment, _, happens in sorted(inside, key=lambda each: (each[0], _ORDER.index(each[1]))):
            yield moment, happens

    def _data(self, day: datetime) -> None:
        words = self._arrive(self._world.lake.folder, day.date())
        if words:
            self._tell(f"{day:%Y-%m-%d}", "arrived", words)
            self.lived.arrived.append(Arrived(day, words))
            self._reconcile()

    def _go_on(self, moment: datetime) -> None:
        """The time until a moment passes: the champion answers what is asked in it."""
        champion = standing(self._world.store, self._world.model).champion
        if champion and moment > self._answered:
            rows = self._watched.answer(champion.version, self._answered, moment)
            last = self.lived.served[-1] if self.lived.served else None
            if last and last.version == champion.version and last.until == self._answered:
                self.lived.served[-1] = Served(last.version, last.since, moment, last.rows + rows)
            elif rows:
                self.lived.served.append(Served(champion.version, self._answered, moment, rows))
        self._answered = max(self._answered, moment)
        self._clock.drive(moment)

    def _reconcile(self) -> None:
        """Decide and do until nothing is left to do at this moment."""
        name = self._world.operated.name
        for _ in range(_MOST_ROUNDS):
            before = self._world.files.state(self._world.load(NAMESPACE, name).subject.uid).save  # type: ignore[union-attr]
            self._world.wake = reconcile(self._world, NAMESPACE, name)
            ran = execute_all(self._world, self._console, self._warm, quiet=self._quiet)
            self._note()
            loaded = self._world.load(NAMESPACE, name)
            if not ran and loaded and int(loaded.token) == before:
                return
        progress(f"{self._clock.now():%Y-%m-%d %H:%M}: still something to do after {_MOST_ROUNDS} rounds")

    def _note(self) -> None:
        loaded = self._world.load(NAMESPACE, self._world.operated.name)
        assert loaded is not None, "it is what is operated"  # noqa: S101
        self.lived.state = loaded.state
        for each in loaded.state.decisions:
            if each.number not in self.lived.decisions and (each.outcome, each.words) != self._told:
                self._told = (each.outcome, each.words)
                self._tell(f"{each.at:%Y-%m-%d}", each.outcome, each.words)
            self.lived.decisions[each.number] = each


def _silent(moment: str, what: str, words: str) -> None:
    """Nobody is told."""


def _arrivals(spec: RehearsalSpec) -> Iterator[datetime]:
    day = spec.since.replace(day=spec.arrive_on)
    while day <= spec.until:
        if day > spec.since:
            yield _midnight(day)
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=spec.arrive_on)


def _arrive(operated: Operated, spec: RehearsalSpec) -> Arrive:
    """The project's function that lays out the lake as it is on a day."""
    reference = split_reference(spec.arrivals)
    assert reference is not None, "the specification was checked"  # noqa: S101
    file, name = reference
    path = operated.project.folder / file
    if not path.is_file():
        raise BadInput(f"{operated.path}: spec.arrivals names {file}, which is not in {operated.project.folder}")
    loader = importlib.util.spec_from_file_location("sluice_arrivals", path)
    assert loader is not None, "it is a Python file"  # noqa: S101
    assert loader.loader is not None, "so it can be loaded"  # noqa: S101
    module = importlib.util.module_from_spec(loader)
    sys.path.insert(0, str(path.parent))  # so that it may import what lies beside it
    try:
        loader.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    found: Arrive | None = getattr(module, name, None)
    if not callable(found):
        raise BadInput(f"{operated.path}: {file} has no function {name!r}")
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


__all__ = ["Arrived", "Lived", "Served", "live_through"]
