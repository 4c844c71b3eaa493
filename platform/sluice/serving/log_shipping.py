"""Bringing the log's files to the store: in order, one at a time, again and again while the store is away."""

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sluice.core.errors import SluiceError
from sluice.core.files import faults
from sluice.core.progress import progress
from sluice.predictions.forms import LogForm, WriterRecord
from sluice.predictions.masking import salt_of
from sluice.predictions.places import ended_writer_key, log_key, mark_model, writer_key
from sluice.serving.log_batches import made_file
from sluice.serving.log_spool import Spool
from sluice.storage.stores import Store

_LONGEST_PAUSE = 15.0  # seconds
_MISSED = 2.0  # seconds after the start that rows wait for the key of the masks


@dataclass(frozen=True)
class RowsFile:
    """A file of rows that gets no more of them."""

    form: LogForm
    path: Path
    start: int


@dataclass(frozen=True)
class Begin:
    """A writer's first word of itself."""

    form: LogForm
    begun: float


@dataclass(frozen=True)
class End:
    """A writer's last word of itself; then its folder goes.

    Attributes:
        form: What its rows were.
        begun: In seconds since 1970.
        observed: How many it numbered.
        stopped: Whether it ended in order.
        remove: Takes the folder away.
    """

    form: LogForm
    begun: float
    observed: int
    stopped: bool
    remove: Callable[[], None] = field(repr=False)


Parcel = RowsFile | Begin | End


class Shipping:
    """A thread that brings parcels to the store.

    Attributes:
        salt: The key of the masks, once the store gave it.
        rows: How many rows the store has taken.
        away: Whether it took the last parcel not at all.
    """

    def __init__(self, store: Store, spool: Spool, flush_seconds: float) -> None:
        self.salt: bytes | None = None
        self.rows, self.away = 0, False
        self._begun, self._deadline = time.monotonic(), 0.0
        self._store, self._spool, self._flush = store, spool, flush_seconds
        self._parcels: deque[Parcel] = deque()
        self._wake, self._ended, self._salted = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log-shipping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._begun = time.monotonic()
        self._thread.start()

    def add(self, parcel: Parcel) -> None:
        """Bring this after the others."""
        self._parcels.append(parcel)
        self._wake.set()

    def end(self, seconds: float) -> bool:
        """Bring what there is, for so long; whether all was brought."""
        self._deadline = time.monotonic() + seconds
        self._ended.set()
        self._wake.set()
        self._thread.join(max(seconds, 0.01))
        return not self._parcels and not self._thread.is_alive()

    def wait_for_salt(self) -> bytes | None:
        """The key of the masks; None where the store does not give it in time, which is waited for once."""
        self._salted.wait(max(self._begun + _MISSED - time.monotonic(), 0))
        return self.salt

    def _run(self) -> None:
        self._read_salt()
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._parcels:
                if not self._tried(self._parcels[0]):
                    return
                self._parcels.popleft()
            if self._ended.is_set():
                return

    def _tried(self, parcel: Parcel) -> bool:
        """Try until the store takes it; False where the time was up before."""
        pause = 0.5
        while True:
            try:
                if self.salt is None:
                    self._read_salt()
                self._bring(parcel)
            except SluiceError as error:
                if not self.away:
                    progress(f"the prediction log waits in {self._spool.folder}, answers go on: {error}")
                self.away = True
            except Exception as error:  # noqa: BLE001 - a parcel that cannot be read must not hold up the others
                progress(f"the prediction log lost {parcel.form.writer}: {type(error).__name__}: {error}")
                return True
            else:
                if self.away:
                    progress("the store takes the prediction log again")
                self.away = False
                return True
            if not self._waited(pause):
                return False
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _waited(self, pause: float) -> bool:
        """Wait before another try; False where there is no time for one."""
        if not self._ended.wait(pause):
            return True
        if time.monotonic() + pause > self._deadline:
            return False
        time.sleep(pause)
        return True

    def _bring(self, parcel: Parcel) -> None:
        if isinstance(parcel, RowsFile):
            self._bring_rows(parcel)
            return
        form = parcel.form
        record = WriterRecord(form=form, begun=parcel.begun, flush_seconds=self._flush)
        open_key = writer_key(form.model, form.writer)
        if isinstance(parcel, Begin):
            mark_model(self._store, form.model)
            self._store.put_bytes(open_key, record.model_dump_json(by_alias=True).encode())
            return
        ended, how = time.time(), "stopped" if parcel.stopped else "killed"
        key = ended_writer_key(form.model, form.writer, ended, parcel.observed, how)
        record = record.model_copy(update={"ended": ended, "how": how, "observed": parcel.observed})
        self._store.put_bytes(key, record.model_dump_json(by_alias=True).encode())
        self._store.delete(open_key)
        parcel.remove()

    def _bring_rows(self, parcel: RowsFile) -> None:
        with faults(str(parcel.path)):
            data = parcel.path.read_bytes()
        form, made = parcel.form, made_file(data, parcel.form)
        if made is not None:
            key = log_key(form.model, form.writer, made.moments, (parcel.start, made.after), made.rows)
            self._store.put_bytes(key, made.data)
            self.rows += made.rows
        parcel.path.unlink(missing_ok=True)
        self._spool.give(len(data))

    def _read_salt(self) -> None:
        try:
            self.salt = salt_of(self._store)
        except SluiceError:
            return
        self._salted.set()


def remover(folder: Path, lock: int) -> Callable[[], None]:
    """What takes away the folder that another process left."""

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)

    return remove
