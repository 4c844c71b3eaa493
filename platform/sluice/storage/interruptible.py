"""Calls of a native library that a signal may interrupt.

Python acts on a signal only between its own instructions. A native call that waits for a server would hold back Ctrl-C,
and the end that Kubernetes asks for, until the server answers or time is up. So the main thread has such a call made by
another thread, and waits where a signal reaches it; a call that was left is forgotten, with what it still brings.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class _Worker:
    """A thread that makes one call after another."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        # A daemon: the process may end while a call still waits.
        threading.Thread(target=self._work, name="sluice-store", daemon=True).start()

    def call(self, function: Callable[[], Answer]) -> Answer:
        self._calls.put(function)
        answer, error = self._answers.get()
        if error is not None:
            raise _Raised(error)
        found: Answer = answer
        return found

    def leave(self) -> None:
        """End once the call that it makes has ended."""
        self._calls.put(None)

    def _work(self) -> None:
        while (function := self._calls.get()) is not None:
            try:
                answer = function()
            except BaseException as error:  # noqa: BLE001 - handed over as it is
                self._answers.put((None, error))
            else:
                self._answers.put((answer, None))
                del answer  # it is the caller's, and its memory
            del function


_worker: _Worker | None = None


def interruptible(function: Callable[[], Answer]) -> Answer:
    """Call a function; in the main thread an exception of a signal's handler ends the wait for it.

    Raises:
        BaseException: What the function raises, or the handler.
    """
    global _worker
    if threading.current_thread() is not threading.main_thread():
        return function()  # signals do not come here
    worker, _worker = _worker or _Worker(), None
    finished = False
    try:
        answer = worker.call(function)
        finished = True
    except _Raised as raised:
        finished = True
        raise raised.error from None
    finally:
        if finished:
            _worker = worker
        else:
            worker.leave()
    return answer


class _Raised(Exception):
    """What a call raised, apart from what interrupts the wait for it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error
