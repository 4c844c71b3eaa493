"""The log of what a server answered: Parquet in the store, by model and hour.

No answer waits for it. Rows go from memory to a file on this machine's disk within `flush_seconds`, and from there to
the store as Parquet, once there are enough of them or they are old enough. Each row has a number of its writer's, given
before anything can fail: whatever is lost is counted. See docs/prediction-log.md.
"""

import threading
import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.core.home import home
from sluice.core.progress import progress
from sluice.exporting.served_files import RowField
from sluice.predictions.forms import OURS, LogForm, LoggedField
from sluice.predictions.masking import given_salt, masker
from sluice.serving.exchange import Exchange, Loaded
from sluice.serving.log_batches import Mask, Numbered, frame
from sluice.serving.log_numbers import LogNumbers, LogState
from sluice.serving.log_shipping import Begin, End, RowsFile, Shipping, remover
from sluice.serving.log_spool import Spool, SpoolFull, SpoolWriter, new_writer, row_files
from sluice.storage.locations import default_store
from sluice.storage.stores import Store

_SLICE = 128  # exchanges of one frame: packing them holds up the server's own thread for less than a millisecond
_SLICE_ROWS = 4_096
_IDLE = 600.0  # seconds after which a writer without rows ends
_VALUE, _EXCHANGE = 16, 2_048  # bytes in memory, about: a number; an exchange with its arrays
_HOUR = 3600
_TO_DISK = 10.0  # seconds that the end waits for this machine's disk at least


@dataclass(frozen=True)
class LogSettings:
    """How the log is kept.

    Attributes:
        sampling: The share of requests that are logged, above 0 and at most 1. A request and its shadow are logged
            both or neither.
        seconds: How old the rows of a file become before it is brought to the store.
        file_bytes: How large they become before that.
        flush_seconds: How long rows stay in memory; what came within it is lost when the process is killed.
        queue_bytes: How much memory waiting rows may take, about; more are counted and not logged.
        spool_bytes: How many bytes of rows wait on this machine's disk while the store is away; newer rows are counted
            and not logged.
        drain_seconds: How long the end waits for the store.
        spool: The folder of waiting rows; None for `spool/predictions` in Sluice's home. What is in it when a process
            is killed, the next one brings.
    """

    sampling: float = 1.0
    seconds: float = 60.0
    file_bytes: int = 4 * 2**20
    flush_seconds: float = 0.1
    queue_bytes: int = 16 * 2**20
    spool_bytes: int = 256 * 2**20
    drain_seconds: float = 20.0
    spool: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sampling <= 1:
            raise BadInput(f"the log's sampling is {self.sampling:g}; give a share above 0 and at most 1")


@dataclass
class _Writing:
    """A writer, and the exchanges that it is to write."""

    writer: SpoolWriter
    masks: dict[str, Mask | None] = field(default_factory=dict)


class PredictionLog:
    """An `Observer` that writes what it sees to the store.

    Args:
        settings: How.
        store: Where to; None for the store that the environment names.

    Raises:
        BadInput: The store's address is wrong, or SLUICE_LOG_SALT is too short.
    """

    def __init__(self, settings: LogSettings | None = None, store: Store | None = None) -> None:
        self._settings = settings or LogSettings()
        given_salt()
        folder = (self._settings.spool or home() / "spool" / "predictions").absolute()
        self._spool = Spool(folder, self._settings.spool_bytes)
        self._shipping = Shipping(store or default_store(), self._spool, self._settings.flush_seconds)
        self._lock = threading.Lock()
        self._queue: deque[tuple[_Writing, Numbered, int]] = deque()
        self._writings: dict[tuple[str, str, str], _Writing] = {}
        self._held = self._observed = self._dropped = 0
        self._told = False
        self._sampled_below = int(self._settings.sampling * 2**32)
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier process left in the folder of waiting rows is brought first.

        Raises:
            BadInput: A file stands in the place of the folder.
            EnvironmentFault: The folder cannot be made.
        """
        with faults(f"the prediction log's folder {self._spool.folder}"):
            self._spool.folder.mkdir(parents=True, exist_ok=True)
        for left in self._spool.left():
            for start, path in row_files(left.folder):
                self._spool.used += path.stat().st_size
                self._shipping.add(RowsFile(left.form, path, start))
            begun = int(left.form.writer[:12], 16) / 1000
            self._shipping.add(End(left.form, begun, left.observed, left.stopped, remover(left.folder, left.lock)))
        self._shipping.start()
        self._thread.start()

    def observed(self, exchange: Exchange) -> None:
        """See `Observer.observed`; from any thread."""
        if zlib.crc32(exchange.request.encode()) >= self._sampled_below:
            return
        rows = len(exchange.answer.values)
        size = _size(exchange)
        with self._lock:
            writing = self._writing(exchange.loaded)
            numbered = Numbered(writing.writer.number(rows), exchange)
            self._observed += rows
            if self._held + size > self._settings.queue_bytes or self._ended.is_set():
                self._dropped += rows
                return
            self._held += size
            self._queue.append((writing, numbered, size))
        if self._held > self._settings.queue_bytes // 2:
            self._wake.set()

    def stop(self) -> bool:
        """Write what there is and bring it to the store, for `drain_seconds` at most; whether the store has all.

        What it has not then, waits on this machine's disk for the next start.
        """
        deadline = time.monotonic() + self._settings.drain_seconds
        self._ended.set()
        self._wake.set()
        self._thread.join(max(self._settings.drain_seconds, _TO_DISK))
        done = self._shipping.end(deadline - time.monotonic())
        if not done:
            progress(f"the store did not take all of the prediction log; the rest waits in {self._spool.folder}")
        return done

    def measure(self, registry: Any) -> None:  # noqa: ANN401 - prometheus_client.CollectorRegistry
        """See `Measured.measure`."""
        registry.register(LogNumbers(self.state))

    def details(self) -> dict[str, Any]:
        """See `Detailed.details`."""
        if not self._shipping.away:
            return {}
        return {"log": f"the store does not take it; {self._spool.used:,} bytes wait on this machine's disk"}

    def state(self) -> LogState:
        """Where it stands."""
        return LogState(self._observed, self._shipping.rows, self._dropped, self._spool.used, self._shipping.away)

    def _writing(self, loaded: Loaded) -> _Writing:
        key = (loaded.name, loaded.role, loaded.digest)
        found = self._writings.get(key)
        if found is None:
            form = form_of(loaded, self._settings.sampling)
            found = self._writings[key] = _Writing(SpoolWriter(form, self._spool))
            self._shipping.add(Begin(form, found.writer.begun))
        return found

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(self._settings.flush_seconds)
            self._wake.clear()
            self._drain()
            self._seal(time.monotonic())
        self._drain()
        self._seal_all()

    def _drain(self) -> None:
        """Write all that waits in memory, slice by slice."""
        while self._queue:
            batch: list[tuple[_Writing, Numbered, int]] = []
            rows = 0
            while self._queue and len(batch) < _SLICE and rows < _SLICE_ROWS:
                batch.append(self._queue.popleft())
                rows += len(batch[-1][1].exchange.answer.values)
            for (_, hour), part in groupby(batch, lambda each: (id(each[0]), _hour(each[1]))):
                found = list(part)
                self._write(found[0][0], [numbered for _, numbered, _ in found], hour)
            with self._lock:
                self._held -= sum(size for _, _, size in batch)
            if self._queue:
                time.sleep(0)  # the server's own thread comes first

    def _write(self, writing: _Writing, batch: Sequence[Numbered], hour: int) -> None:
        """Write the rows of one writer and hour; what cannot be written is counted."""
        writer, last = writing.writer, batch[-1]
        rows = sum(len(each.exchange.answer.values) for each in batch)
        try:
            if writer.open and writer.open.hour != hour:
                self._ship(writer)
            after = last.first + len(last.exchange.answer.values)
            writer.append(frame(batch, writer.form, self._masks(writing)), hour, after)
            self._told = False
        except SpoolFull:
            self._drop(rows, f"{self._spool.folder} holds {self._spool.most:,} bytes of rows, as much as it may")
        except Exception as error:  # noqa: BLE001 - no row may end the log
            self._drop(rows, f"{type(error).__name__}: {error}")
        writer.touched = time.monotonic()
        if writer.open and writer.open.size >= self._settings.file_bytes:
            self._ship(writer)

    def _drop(self, rows: int, reason: str) -> None:
        with self._lock:
            self._dropped += rows
        if not self._told:
            progress(f"rows are not logged, only counted: {reason}")
        self._told = True

    def _masks(self, writing: _Writing) -> dict[str, Mask | None]:
        """What masks a writer's columns; without the store's key their values are left out."""
        hashed = [each for each in writing.writer.form.fields if each.hashed]
        if hashed and not writing.masks:
            salt = self._shipping.salt or self._shipping.wait_for_salt()
            if salt is None:
                return {}
            writing.masks = {each.name: masker(salt, each.name, each.contract_type) for each in hashed}
        return writing.masks

    def _seal(self, now: float) -> None:
        """Send off files that are old enough, and end writers that have nothing more to write."""
        for key, writing in list(self._writings.items()):
            rows = writing.writer.open
            if rows and now - rows.begun >= self._settings.seconds:
                self._ship(writing.writer)
            if now - writing.writer.touched >= _IDLE:
                with self._lock:
                    busy = any(queued is writing for queued, _, _ in self._queue)
                    if not busy:
                        del self._writings[key]
                if not busy:
                    self._finish(writing.writer)

    def _seal_all(self) -> None:
        with self._lock:
            writings, self._writings = list(self._writings.values()), {}
        for writing in writings:
            self._finish(writing.writer)

    def _finish(self, writer: SpoolWriter) -> None:
        self._ship(writer)
        try:
            writer.mark_stopped()
        except OSError as error:
            progress(f"the end of {writer.form.writer} is not marked on the disk: {error}")
        self._shipping.add(End(writer.form, writer.begun, writer.observed, True, writer.remove))

    def _ship(self, writer: SpoolWriter) -> None:
        if rows := writer.sealed():
            self._shipping.add(RowsFile(writer.form, rows.path, rows.start))


def form_of(loaded: Loaded, sampling: float = 1.0) -> LogForm:
    """What the rows of a version are in the log."""
    served = loaded.judge.served
    stated = {each.name: each for each in (*served.fields, *served.carried)}
    out = [name for name, each in stated.items() if each.mask == "drop" or name.casefold().startswith(OURS)]
    fields = [_logged(each) for name, each in stated.items() if name not in out]
    return LogForm(
        model=served.model,
        version=loaded.name.rpartition("/")[2],
        digest=loaded.digest,
        role=loaded.role,
        problem=served.problem,
        label=served.label,
        classes=served.classes,
        key=served.key,
        time=served.time,
        fields=tuple(fields),
        dropped=tuple(out),
        sampling=sampling,
        writer=new_writer(),
    )


def _logged(field: RowField) -> LoggedField:
    hashed = field.mask == "hash"
    kind = "string" if hashed or field.type == "image" else field.type
    return LoggedField(name=field.name, type=kind, contract_type=field.type, hashed=hashed)  # type: ignore[arg-type]


def prediction_log(settings: LogSettings | None = None, store: Store | None = None) -> PredictionLog:
    """A log to be put among a server's observers; `start` it before the first request, `stop` it after the last."""
    return PredictionLog(settings, store)


def _hour(numbered: Numbered) -> int:
    return int(numbered.exchange.moment) // _HOUR


def _size(exchange: Exchange) -> int:
    """About how much memory an exchange holds, in bytes."""
    rows = len(exchange.answer.values)
    columns = exchange.columns.values()
    texts = sum(sum(map(len, column)) + 64 * rows for column in columns if column.dtype == object)
    return _EXCHANGE + 128 * len(exchange.columns) + _VALUE * rows * len(exchange.columns) + texts
