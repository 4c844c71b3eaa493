"""Ends the steps of a run with the run itself, whatever ended it: Ctrl-C, SIGTERM, SIGKILL, a machine out of memory.

A run on this machine holds a lock on the file `lifeline` in its folder. Each step's process waits for that lock in a
thread. The kernel takes the lock from a process that dies, however it dies; then the step sends itself SIGTERM, which
becomes the exception `Stopped`, and if that does not end it in time, it exits. No polling, no process id that another
process may have by then, and the same on Linux and macOS.

A lifeline that nobody holds is that of a run that was killed: see `abandoned`.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

from sluice.core.variable_groups.run import RunVariables

LIFELINE = RunVariables.lifeline.name
GRACE_SECONDS = 20.0  # what a step has to stop its work
TELLING_SECONDS = 60.0  # what it has then to tell MLflow, whose import alone takes seconds on a busy machine
_FILE, _STEPS = "lifeline", "steps"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_ENDING = "ending"
_SIGNALLED = 128  # what shells add to a signal's number
_POLL_SECONDS = 0.05
_kept: list[IO[bytes]] = []  # the locks of this process, for as long as it lives
_ended = threading.Event()  # this process' run
_stopped = threading.Event()  # its work


class Stopped(SystemExit):
    """This process was told to end; it exits as a shell would report the signal, e.g. with 143 for SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(_SIGNALLED + number)
        self.number = number

    def __str__(self) -> str:
        """The signal's name."""
        return f"ended by {signal.Signals(self.number).name}"


class Lifeline:
    """What a run holds while it lives.

    Args:
        folder: The run's folder.

    Attributes:
        path: The file.
        variables: What the steps' processes must find in their environment.
    """

    def __init__(self, folder: Path) -> None:
        self.variables: dict[str, str] = {LIFELINE: ""}
        self._steps = folder / _STEPS
        self._steps.mkdir(parents=True, exist_ok=True)
        self.path = folder / _FILE
        self._file: IO[bytes] = self.path.open("wb", buffering=0)
        self._notes: dict[str, str] = {}
        with contextlib.suppress(OSError):  # a file system without locks: then steps live on when the run is killed
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.variables[LIFELINE] = str(self.path)

    def note(self, notes: Mapping[str, str]) -> None:
        """Leave word for whoever finds the lifeline after this process was killed."""
        self._notes |= notes
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(self._notes).encode())

    def let_go(self) -> None:
        """Tell the steps to end."""
        if not self._file.closed:
            self.note({_ENDING: "yes"})
            self._file.close()

    def begin_end(self) -> None:
        """Let go in a signal's handler, and see in the background to it that no step can hold up this process."""
        self.let_go()
        threading.Thread(target=self.end_steps, name="lifeline", daemon=True).start()

    def end_steps(self, seconds: float = GRACE_SECONDS + 5) -> None:
        """Let go, and wait until no step's process lives any more.

        Args:
            seconds: How long to wait before they are killed.
        """
        self.let_go()
        deadline = time.monotonic() + seconds
        while living := _living(self._steps):
            if time.monotonic() > deadline:
                for number in living:
                    os.kill(number, signal.SIGKILL)
                return
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Remove the files: the run has ended, and MLflow knows."""
        self._file.close()
        _clear(self.path)


def run_was_killed() -> bool:
    """Whether this step's run was killed, so that nobody but the step is left to tell of it."""
    path = RunVariables.now().lifeline
    return _ended.is_set() and path is not None and _ENDING not in _notes(path)


def work_has_stopped() -> None:
    """Say that this process does nothing any more but tell of its end, for which it may take some time."""
    _stopped.set()


def watch(delay: float = 0.0) -> None:
    """End this process with its run; nothing to do where SLUICE_LIFELINE names none, as in a step's pod.

    Args:
        delay: Seconds after the run's end, for a process that its step ends, unless that was killed.
    """
    path = RunVariables.now().lifeline
    if path is None or _kept:
        return
    with contextlib.suppress(OSError):  # the folder is gone: so is the run, and the thread will find that out
        own = (path.parent / _STEPS / str(os.getpid())).open("wb")
        fcntl.flock(own, fcntl.LOCK_EX)
        _kept.append(own)
    threading.Thread(target=_end_with, args=(path, delay), name="lifeline", daemon=True).start()


@contextlib.contextmanager
def stoppable(told: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Stopped` for the time of the `with` block, so that what is open is closed.

    Handlers that somebody else has set stay. Only the first signal counts: the rest must not disturb the closing.

    Args:
        told: Is called first, in the signal's handler.
    """

    def handle(number: int, _: FrameType | None) -> None:
        for each in mine:
            signal.signal(each, signal.SIG_IGN)
        if told:
            told()
        raise Stopped(number)

    mine = _free_signals()
    for each in mine:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each in mine:
            signal.signal(each, signal.SIG_DFL)


def is_alive(folder: Path) -> bool:
    """Whether the run of a folder still holds its lifeline; not where the file system knows no locks.

    Args:
        folder: The run's.
    """
    try:
        return _held(folder / _FILE)
    except OSError:  # who may not write may not lock: it is somebody else's, and tells itself
        return (folder / _FILE).exists()


def abandoned(
    runs: Path, wanted: Callable[[dict[str, str]], bool] = lambda _: True
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folders of runs that were killed, each with what the run noted; locked while the caller looks at it.

    Where the caller goes on to the next one, the files that told of it are removed.

    Args:
        runs: The folder of the runs' folders.
        wanted: Whether the caller can do something about a run that noted this.
    """
    for path in sorted(runs.glob(f"*/{_FILE}")):
        try:
            file = path.open("r+b")  # over NFS, only who may write may lock
        except OSError:
            continue
        with file:
            if not _locked(file) or _living(path.parent / _STEPS) or not wanted(notes := _notes(path)):
                continue
            yield path.parent, notes
            _clear(path)


def _end_with(path: Path, delay: float) -> None:
    with contextlib.suppress(OSError):
        line = path.open("rb")
        _kept.append(line)
        fcntl.flock(line, fcntl.LOCK_SH)  # waits as long as the run lives
    _ended.set()
    time.sleep(delay)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    if _stopped.wait(GRACE_SECONDS):
        time.sleep(TELLING_SECONDS)
    os._exit(_SIGNALLED + signal.SIGTERM)


def _free_signals() -> list[signal.Signals]:
    if threading.current_thread() is not threading.main_thread():
        return []  # Python lets only the main thread handle signals
    return [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL]


def _living(steps: Path) -> list[int]:
    """The process ids of the steps that live: a dead one's lock is free."""
    return [int(path.name) for path in steps.glob("*") if path.name.isdigit() and _held(path)]


def _held(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            return not _locked(file)
    except FileNotFoundError:
        return False


def _locked(file: IO[bytes]) -> bool:
    """Lock a file, unless somebody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _notes(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):  # killed before the first word, or in the middle of one
        return {}


def _clear(path: Path) -> None:
    shutil.rmtree(path.parent / _STEPS, ignore_errors=True)
    path.unlink(missing_ok=True)
