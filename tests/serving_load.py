"""Clients that ask a server without end, and remember what it said."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_IDLE = 2.0  # seconds; servers close connections that nobody uses


class Told(NamedTuple):
    """One answer; a status of 0, and the error in place of the version, where there was none."""

    moment: float
    status: int
    version: str
    digest: str
    request: str
    seconds: float
    client: int


@dataclass
class Load:
    """Clients, each with rows of its own, in one request.

    Attributes:
        port: Of the server.
        rows: What each client sends.
        rate: Requests a second of each.
        answers: In the order in which they came.
    """

    port: int
    rows: Sequence[Sequence[dict[str, Any]]]
    rate: float = 50
    answers: list[Told] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """It asks for the time of the `with` block."""
        clients = [threading.Thread(target=self._run, args=(number,)) for number in range(len(self.rows))]
        for each in clients:
            each.start()
        try:
            yield self
        finally:
            self._ended.set()
            for each in clients:
                each.join(30)

    def more(self, count: int) -> Callable[[], bool]:
        """Whether so many more answers have come since this was asked for."""
        wanted = len(self.answers) + count
        return lambda: len(self.answers) >= wanted

    def _run(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body, due, turn = json.dumps({"rows": self.rows[client]}), time.perf_counter(), 0
        begun = due
        while not self._ended.is_set():
            due, turn = max(due + 1 / self.rate, time.perf_counter() - 1), turn + 1
            time.sleep(max(0.0, due - time.perf_counter()))
            if time.perf_counter() - begun > _IDLE:
                connection.close()  # a busy machine kept the client waiting: the server may just now have closed it
            begun = time.perf_counter()
            headers = {"content-type": "application/json", "x-request-subject": f"customer {client}-{turn}"}
            try:
                connection.request("POST", "/v1/predict", body, headers)
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(Told(time.time(), 0, str(error), "", "", 0.0, client))
                return
            said = told.get("model", str(told)), told.get("digest", ""), told["request"]
            self.answers.append(Told(time.time(), answer.status, *said, time.perf_counter() - begun, client))


def wait(seen: Callable[[], object], seconds: float, told: Callable[[], object] = lambda: "") -> None:
    """Until something is seen; else the test fails with what `told` says."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
