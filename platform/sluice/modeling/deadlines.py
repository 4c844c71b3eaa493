"""A deadline that ends work in the middle, not only between its parts.

Training is Python that calls compiled code: a split of a tree, an iteration of a solver, a step of an optimiser. When
the time is up, a thread that only waits has CPython raise `TimeIsUp` in the thread that works, which happens as soon as
the compiled call of that moment returns: after milliseconds, rarely after a second. A process of its own could be
killed sooner, but would have to import the libraries and take over the rows within the budget.
"""

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimeIsUp(BaseException):
    """The deadline has passed. No `Exception`, so that no library takes it for a failure of its own to handle."""


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
    worker, lock, ended = threading.get_ident(), threading.Lock(), threading.Event()

    def watch() -> None:
        if ended.wait(max(seconds, 0.0)):
            return
        with lock:
            if not ended.is_set():
                _raise_in(worker, TimeIsUp)

    threading.Thread(target=watch, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            ended.set()
        _raise_in(worker, None)  # takes back what was asked for and has not happened yet


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Ask CPython to raise something in a thread, or take it back; the thread sees it at its next bytecode."""
    what = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
