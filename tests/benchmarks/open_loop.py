"""A client that measures servers: requests by a clock of its own, over HTTP/1.1 connections that are kept.

In an open loop a request is sent when its time has come, whether others were answered or not; its latency counts from
that moment. A closed loop sends the next when the last was answered, and so measures how many can be answered at all.
Arrivals are a Poisson process with a fixed seed. Latencies are kept one by one, so percentiles are exact.
"""

import asyncio
import http.client
import json
import math
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

_MOST_CONNECTIONS = 256
_PATIENCE = 10.0  # seconds after the last request was due


@dataclass(frozen=True)
class Load:
    """Requests, sent one after the other and from the beginning again.

    Attributes:
        port: On this machine.
        path: Of all of them.
        bodies: JSON values.
    """

    port: int
    path: str
    bodies: list[Any]

    def requests(self) -> list[bytes]:
        """As bytes of HTTP/1.1."""
        made = []
        for body in self.bodies:
            data = json.dumps(body).encode()
            head = (
                f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(data)}\r\n\r\n"
            )
            made.append(head.encode() + data)
        return made

    async def answers(self) -> list[Any]:
        """What the server says of each, one at a time."""
        connection = await _connected(self.port)
        return [json.loads((await connection.ask(request))[1]) for request in self.requests()]


@dataclass
class Measured:
    """Latencies in seconds, and how many requests failed."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(self.latencies + other.latencies, self.failed + other.failed)

    @property
    def count(self) -> int:
        """Requests."""
        return len(self.latencies) + self.failed

    def percentile(self, share: float) -> float:
        """The latency that this share of the answered requests did not exceed."""
        if not self.latencies:
            return math.nan
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: Any = None
        self._data = bytearray()
        self._waits: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send a request; its status and body come."""
        self._waits = asyncio.get_running_loop().create_future()
        self._data.clear()
        self._transport.write(request)
        return self._waits

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or self._waits is None or self._waits.done():
            return
        head = bytes(self._data[:end]).lower()
        place = head.index(b"content-length:") + 15
        size = int(head[place : head.find(b"\r\n", place) if b"\r\n" in head[place:] else None])
        if len(self._data) >= end + 4 + size:
            self._waits.set_result((int(head[9:12]), bytes(self._data[end + 4 :])))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(error or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        """End the connection."""
        self._transport.close()


async def _connected(port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
    return connection


async def closed_loop(load: Load, connections: int, seconds: float) -> float:
    """Requests answered a second, by this many connections without a pause."""
    requests, answered = load.requests(), 0
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        nonlocal answered
        connection = await _connected(load.port)
        while time.perf_counter() < end:
            status, _ = await connection.ask(requests[number % len(requests)])
            assert status == 200, status
            answered += 1
            number += connections
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(connections)))
    return answered / (time.perf_counter() - began)


async def open_loop(load: Load, rate: float, seconds: float) -> Measured:
    """Latencies of requests that come at a rate (requests a second), whatever the server does."""
    requests, found, dice = load.requests(), Measured(), random.Random(int(rate))
    idle: deque[_Connection] = deque([await _connected(load.port) for _ in range(4)])
    waiting: set[asyncio.Task[None]] = set()
    free = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def one(due: float, request: bytes) -> None:
        async with free:
            try:
                connection = idle.pop() if idle else await _connected(load.port)
                status, _ = await connection.ask(request)
            except OSError:
                found.failed += 1
                return
            idle.append(connection)
        if status == 200:
            found.latencies.append(time.perf_counter() - due)
        else:
            found.failed += 1

    due, number = time.perf_counter(), 0
    end = due + seconds
    while (due := due + dice.expovariate(rate)) < end:
        pause = due - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        task = asyncio.create_task(one(due, requests[number % len(requests)]))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        number += 1
    if waiting:
        _, late = await asyncio.wait(waiting, timeout=_PATIENCE)
        found.failed += len(late)
        for each in late:
            each.cancel()
    for connection in idle:
        connection.close()
    return found


def timed_get(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
