"""Connections that cannot hold the server up: their number, the size and time of headers, and slow readers are bounded.

uvicorn bounds none of these for a caller that sends its headers byte by byte, never sends any, or does not read.
"""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sluice.serving.limits import Limits

_READ_SECONDS = 30.0
_CHUNK = 256 * 2**10  # what may come at once, a body's first bytes with the headers


class _Bounded:
    """What is added to either of uvicorn's protocols.

    Attributes:
        limits: Of all connections of the server; set by `bounded`.
    """

    limits = Limits()

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        """See `asyncio.Protocol`."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unfinished = 0
        super().connection_made(transport)  # type: ignore[misc]
        if len(self.connections) > self.limits.connections:
            self._end(b"503 Service Unavailable", b"retry-after: 1\r\n")
            return
        self._await_headers()

    def data_received(self: Any, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        waits = cycle is None or cycle.response_complete
        if waits:
            self._unfinished += len(data)
            if self._deadline is None:
                self._await_headers()
        super().data_received(data)  # type: ignore[misc]
        if not waits:
            return
        if self.cycle is not cycle and self.cycle is not None:  # the headers are there
            self._unfinished = 0
            self._forget()
        elif self._unfinished > self.limits.headers and not self.transport.is_closing():
            self._end(b"431 Request Header Fields Too Large", b"")

    def connection_lost(self: Any, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._forget()
        super().connection_lost(exc)  # type: ignore[misc]

    def timeout_keep_alive_handler(self: Any) -> None:
        """Close an idle connection; one whose caller does not read its answer is broken off after a while."""
        if self.transport.is_closing():
            return
        left = self.transport.get_write_buffer_size()
        if left:
            self.loop.call_later(_READ_SECONDS, self._break_off, left)
        else:
            self.transport.close()

    def _break_off(self: Any, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if 0 < left < before:
            self.loop.call_later(_READ_SECONDS, self._break_off, left)
        elif left:
            self.transport.abort()
        elif not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def _await_headers(self: Any) -> None:
        self._deadline = self.loop.call_later(self.limits.seconds, self._late)

    def _late(self: Any) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._end(b"408 Request Timeout", b"")

    def _forget(self: Any) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self: Any, status: bytes, header: bytes) -> None:
        """Say why in one line and close; there is no request yet that could be answered."""
        self._forget()
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n" + header + b"\r\n"
        )
        self.transport.close()


def bounded(limits: Limits) -> type[asyncio.Protocol]:
    """Uvicorn's protocol, on httptools where it is installed, with these bounds."""
    base: Any = H11Protocol
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        base = HttpToolsProtocol
    except ImportError:  # the pure Python parser is slower, and says the same
        pass
    found: type[asyncio.Protocol] = type("BoundedProtocol", (_Bounded, base), {"limits": limits})
    return found


def configured(app: Any, limits: Limits, grace: float) -> uvicorn.Config:  # noqa: ANN401 - an ASGI application
    """How uvicorn runs the server.

    Args:
        app: The application.
        limits: Of its connections.
        grace: Seconds that requests are waited for at the end.
    """
    return uvicorn.Config(
        app,
        http=bounded(limits),
        ws="none",
        lifespan="off",  # sluice.serving.server starts and stops the parts, so that their errors end in one line
        log_config=None,
        log_level="error",  # who sends nonsense does not fill the log
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=min(2048, 2 * limits.connections),
        timeout_graceful_shutdown=max(1, round(grace)),
        h11_max_incomplete_event_size=limits.headers,
    )
