"""What an operator on a laptop keeps: small JSON files under SLUICE_HOME, each written whole or not at all.

operator/NAME/state.json          the state, with the number of the save that wrote it
operator/NAME/runs/KEY.json       a run that was ordered, by its key: one file, one run, ever
operator/NAME/requests/UID.json   what a person asked for, with the answer
operator/NAME/backfills/B.json    how far a backfill is
operator/NAME/seen.json           when datasets and champions were seen first
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, JsonValue, ValidationError

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.files import faults, written
from sluice.core.home import home
from sluice.operator.backfilling import BackfillState
from sluice.operator.parts import Moment, Part
from sluice.operator.specs import RequestSpec
from sluice.operator.worlds import Conflict

P = TypeVar("P", bound=Part)


class KeptState(Part):
    """The state as it lies in the file.

    Attributes:
        uid: Of what is operated: another file of the same name begins anew.
        save: Counts the saves.
        status: `State.document()`.
    """

    uid: str
    save: int = 0
    status: dict[str, JsonValue] = Field(default={})


class KeptRun(Part):
    """A run that was ordered.

    Attributes:
        key: Of the intent.
        run: Its id, in `runs/`.
        parameters: What it is given, `key=value`.
        reason: Why.
        ordered: When, by the operator's clock.
        began: When it began by that clock; None while it waits.
        tries: How often it was begun: who operated it may have been killed.
        ended: When it ended by that clock; None before.
        cancelled: Whether it was told to end.
    """

    key: str
    run: str
    parameters: tuple[str, ...] = ()
    reason: str = ""
    ordered: Moment
    began: Moment | None = None
    tries: int = 0
    ended: Moment | None = None
    cancelled: bool = False


class KeptRequest(Part):
    """A request, and how it was answered."""

    uid: str
    spec: RequestSpec
    created: Moment
    accepted: bool | None = None
    words: str = ""


class Seen(Part):
    """When something was seen first: datasets by id, champions by the number of their record."""

    datasets: dict[str, Moment] = Field(default={})
    champions: dict[str, Moment] = Field(default={})


class KeptFiles:
    """The files of one ContinuousTraining."""

    def __init__(self, name: str) -> None:
        self.folder = home() / "operator" / name

    def state(self, uid: str) -> KeptState:
        """The state; an empty one before the first save, and where another thing of this name was operated."""
        found = self._read(self.folder / "state.json", KeptState)
        return found if found and found.uid == uid else KeptState(uid=uid)

    def save(self, state: KeptState, before: int) -> KeptState:
        """Keep the state, if nobody has saved since.

        Raises:
            Conflict: Somebody has.
        """
        with self.locked():
            held = self.state(state.uid)
            if held.save != before:
                raise Conflict(f"{self.folder}: somebody else has saved its state")
            made = state.model_copy(update={"save": before + 1})
            self._write(self.folder / "state.json", made)
            return made

    def run(self, key: str) -> KeptRun | None:
        """The run of a key."""
        return self._read(self.folder / "runs" / f"{key}.json", KeptRun)

    def runs(self) -> list[KeptRun]:
        """All runs, in the order in which they were ordered."""
        paths = self.folder.glob("runs/*.json")
        found = [run for path in paths if (run := self._read(path, KeptRun))]
        return sorted(found, key=lambda each: (each.ordered, each.key))

    def keep_run(self, run: KeptRun) -> None:
        """Keep a run."""
        self._write(self.folder / "runs" / f"{run.key}.json", run)

    def requests(self) -> list[KeptRequest]:
        """All requests, oldest first."""
        paths = self.folder.glob("requests/*.json")
        found = [each for path in paths if (each := self._read(path, KeptRequest))]
        return sorted(found, key=lambda each: (each.created, each.uid))

    def keep_request(self, request: KeptRequest) -> None:
        """Keep a request."""
        self._write(self.folder / "requests" / f"{request.uid}.json", request)

    def backfill(self, name: str) -> BackfillState:
        """How far a backfill is."""
        return self._read(self.folder / "backfills" / f"{name}.json", BackfillState) or BackfillState()

    def keep_backfill(self, name: str, state: BackfillState) -> None:
        """Keep how far a backfill is."""
        self._write(self.folder / "backfills" / f"{name}.json", state)

    def seen(self) -> Seen:
        """What was seen."""
        return self._read(self.folder / "seen.json", Seen) or Seen()

    def keep_seen(self, seen: Seen) -> None:
        """Keep what was seen."""
        self._write(self.folder / "seen.json", seen)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else saves for the time of the `with` block; the kernel frees the lock of who is killed."""
        with faults(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "lock").open("wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only operator of these files for the time of the `with` block.

        Raises:
            EnvironmentFault: Another one is at it.
        """
        with faults(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "operator").open("wb")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EnvironmentFault(f"{self.folder} is operated by another process already; end that one") from None
            yield

    def operated(self) -> bool:
        """Whether somebody operates these files now."""
        try:
            with (self.folder / "operator").open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _write(self, path: Path, document: Part) -> None:
        with faults(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            with written(path, durable=True) as out:
                out.write((json.dumps(document.document(), indent=1, ensure_ascii=False) + "\n").encode())

    def _read(self, path: Path, kind: type[P]) -> P | None:
        try:
            body: Any = json.loads(path.read_bytes())
            return kind.model_validate(body)
        except FileNotFoundError:
            return None
        except (ValueError, ValidationError) as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"{path} is not what an operator keeps ({reason}); move it away to begin anew") from None
