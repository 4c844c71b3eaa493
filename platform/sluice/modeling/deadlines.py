"""A deadline that ends work in the middle, not only between its parts.

Training is Python that calls compiled code: a split of a tree, an iteration of a solver, a step of an optimiser. When
the time is up, a thread that only waits has CPython raise `TimeIsUp` in the thread that works, which happens as soon as
the compiled call of that moment returns: after milliseconds, rarely after a second. The main thread, in which steps
work, is sent SIGURG instead, which also ends a call that waits: a sleep, a lock, a socket. A process of its own could
be killed sooner, but would have to import the libraries and take over the rows within the budget.
"""

import ctypes
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sluice.core.errors import TimeIsUp

_SIGNAL = signal.SIGURG  # by default it does nothing, and hardly any program uses it
_OURS = "sluice_deadline"


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Raise `TimeIsUp` in the `with` block if it takes longer; what the block worked on may then be half done.

    Args:
        seconds: From now; infinite for no deadline.

    Raises:
        TimeIsUp: The block did not end in time. Nothing is raised once the block has been left.
    """
    if math.isinf(seconds):
        yield
        return
    lock, ended = threading.Lock(), threading.Event()
    tell, take_back = _messenger(ended)

    def watch() -> None:
        if ended.wait(max(seconds, 0.0)):
            return
        with lock:
            if not ended.is_set():
                tell()

    threading.Thread(target=watch, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            ended.set()
        take_back()  # what was asked for and has not happened yet


def _messenger(ended: threading.Event) -> tuple[Callable[[], None], Callable[[], None]]:
    """What raises `TimeIsUp` in this thread, called from another one, and what takes that back, called in this one."""
    worker = threading.get_ident()
    if worker != threading.main_thread().ident or not _free(signal.getsignal(_SIGNAL)):
        return lambda: _raise_in(worker, TimeIsUp), lambda: _raise_in(worker, None)

    def raise_here(_number: int, _frame: FrameType | None) -> None:
        if not ended.is_set():
            raise TimeIsUp

    raise_here.__dict__[_OURS] = True
    before = signal.signal(_SIGNAL, raise_here)
    # The handler that is left where there was none does nothing; Python warns of a signal on its way without one.
    after = before if getattr(before, _OURS, False) else raise_here
    return lambda: signal.pthread_kill(worker, _SIGNAL), lambda: _put_back(after)


def _put_back(handler: Any) -> None:  # noqa: ANN401 - as `signal` types it
    signal.signal(_SIGNAL, handler)


def _free(handler: Any) -> bool:  # noqa: ANN401 - as `signal` types it
    """Whether nobody else goes by that signal."""
    return handler in (signal.SIG_DFL, None) or getattr(handler, _OURS, False)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Ask CPython to raise something in a thread, or take it back; the thread sees it at its next bytecode."""
    what = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
