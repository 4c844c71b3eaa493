"""Where the log's rows wait on this machine's disk until the store has them: a folder a writer, within a bound.

- `WRITER/form.json`: what its rows are.
- `WRITER/count`: how many rows it numbered, in 8 bytes that the process maps into its memory: what it wrote there
  survives its being killed.
- `WRITER/lock`: held while the process lives.
- `WRITER/stopped`: there once it ended in order.
- `WRITER/NUMBER.rows`: frames of rows; NUMBER is where the file begins.
"""

import fcntl
import mmap
import os
import secrets
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.predictions.forms import LogForm, read_form

_COUNT = struct.Struct("<Q")
_FORM, _COUNTER, _LOCK, _STOPPED, _ROWS = "form.json", "count", "lock", "stopped", ".rows"
_NEW = ".new-"  # before the name of a folder that is not whole yet


class SpoolFull(Exception):
    """The folder holds as much as it may."""


@dataclass
class Spool:
    """The folder of all writers.

    Attributes:
        folder: The place.
        most: How many bytes of rows this process keeps there.
        used: How many there are.
    """

    folder: Path
    most: int
    used: int = 0

    def take(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            SpoolFull: They are too many.
        """
        if self.used + size > self.most:
            raise SpoolFull
        self.used += size

    def give(self, size: int) -> None:
        """Count bytes that are gone."""
        self.used = max(self.used - size, 0)

    def left(self) -> "Iterator[LeftWriter]":
        """Writers whose process is gone, each locked by this one from now on."""
        for folder in sorted(self.folder.iterdir()):
            try:
                lock = _lock(folder / _LOCK)
            except OSError:  # its process lives
                continue
            try:
                if folder.name.startswith(_NEW):
                    raise FileNotFoundError(folder)
                form = read_form((folder / _FORM).read_bytes(), str(folder / _FORM))
                counted = _COUNT.unpack((folder / _COUNTER).read_bytes())[0]
            except (OSError, BadInput, struct.error):  # killed before it wrote a row
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                continue
            yield LeftWriter(folder, form, counted, (folder / _STOPPED).exists(), lock)


@dataclass(frozen=True)
class LeftWriter:
    """What a process left that has ended.

    Attributes:
        folder: Its folder.
        form: What its rows are.
        observed: How many rows it numbered.
        stopped: Whether it ended in order.
        lock: The file descriptor that holds the lock.
    """

    folder: Path
    form: LogForm
    observed: int
    stopped: bool
    lock: int


def row_files(folder: Path) -> list[tuple[int, Path]]:
    """A writer's files of rows with the numbers where they begin, in order."""
    found = [(int(path.stem), path) for path in folder.glob(f"*{_ROWS}") if path.stem.isdecimal()]
    return sorted(found)


@dataclass
class Rows:
    """A file of rows that is being written.

    Attributes:
        path: The file.
        start: The number where it begins.
        hour: Of its rows, in hours since 1970.
        begun: When, by the clock that never goes back.
        size: Bytes.
    """

    path: Path
    start: int
    hour: int
    begun: float
    size: int = 0


@dataclass
class SpoolWriter:
    """One writer of this process: a version in a role. Not for several threads at once, but for `number`.

    Attributes:
        form: What its rows are.
        observed: How many rows have a number.
        after: The number where the next file of rows begins.
        open: The file that is being written.
        touched: When a row last came, by the clock that never goes back.
    """

    form: LogForm
    spool: Spool
    observed: int = 0
    after: int = 0
    open: Rows | None = None
    begun: float = field(default_factory=time.time)
    touched: float = field(default_factory=time.monotonic)
    _map: mmap.mmap | None = None
    _lock: int = -1

    @property
    def folder(self) -> Path:
        """Its place."""
        return self.spool.folder / self.form.writer

    def number(self, rows: int) -> int:
        """The number of the first of so many rows; the caller holds a lock."""
        first = self.observed
        self.observed += rows
        if self._map is not None:
            _COUNT.pack_into(self._map, 0, self.observed)
        return first

    def append(self, data: bytes, hour: int, after: int) -> None:
        """Write a frame.

        Args:
            data: The frame.
            hour: Of its rows, in hours since 1970; the file that is open is of the same.
            after: The number after its last row.

        Raises:
            SpoolFull: The bound is reached.
            OSError: The disk is full or fails.
        """
        self._prepare()
        self.spool.take(len(data))
        if self.open is None:
            self.open = Rows(self.folder / f"{self.after:012d}{_ROWS}", self.after, hour, time.monotonic())
        try:
            with self.open.path.open("ab", buffering=0) as stream:
                _write_whole(stream.fileno(), data, self.open.size)
        except OSError:
            self.spool.give(len(data))
            if not self.open.size:
                self.open.path.unlink(missing_ok=True)
                self.open = None
            raise
        self.open.size += len(data)
        self.after = after

    def sealed(self) -> Rows | None:
        """The file that was open, which gets no more rows."""
        rows, self.open = self.open, None
        return rows

    def mark_stopped(self) -> None:
        """Say to whoever finds the folder that the process ended in order."""
        if self.folder.is_dir():
            (self.folder / _STOPPED).touch()

    def remove(self) -> None:
        """Take the folder away: all is in the store."""
        if self._map is not None:
            self._map.close()
            self._map = None
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _prepare(self) -> None:
        """Make the folder, once; the count's bytes are written first, so that mapping them never meets a full disk."""
        if self._map is not None:
            return
        place = self.spool.folder / f"{_NEW}{self.form.writer}"
        place.mkdir(parents=True, exist_ok=True)
        if self._lock < 0:
            self._lock = _lock(place / _LOCK)
        (place / _FORM).write_text(self.form.text(), encoding="utf-8")
        (place / _COUNTER).write_bytes(_COUNT.pack(self.observed))
        with (place / _COUNTER).open("r+b") as stream:
            counted = mmap.mmap(stream.fileno(), _COUNT.size)
        place.rename(self.folder)
        self._map = counted
        seen = -1
        while seen != self.observed:  # another thread may number rows just now
            seen = self.observed
            _COUNT.pack_into(counted, 0, seen)


def new_writer() -> str:
    """The name of a writer: 24 hexadecimal digits that begin with the time."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(6)}"


def _write_whole(descriptor: int, data: bytes, size: int) -> None:
    """Write all or, where the disk fails, nothing: a frame that is not whole would hide those behind it."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _lock(path: Path) -> int:
    """A lock that holds while this process lives.

    Raises:
        OSError: Another process holds it, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
