"""The server as a process: its sockets, what it says when it is ready, and how it ends."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.serving.app import Server
from sluice.serving.assembly import assembled
from sluice.serving.connections import configured
from sluice.serving.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, told: Callable[[Server, int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; what was asked before is answered, then the parts of the server end.

    Args:
        settings: What it is told.
        told: Called once the server is ready, with the port at which it listens.

    Raises:
        BadInput: The model, the token file or the address is wrong.
        EnvironmentFault: The port is taken.
    """
    sockets = [listening(settings.host, settings.port)]
    port = sockets[0].getsockname()[1]
    metrics_port = None
    if settings.metrics_port is not None:
        sockets.append(listening(settings.host, settings.metrics_port))
        metrics_port = sockets[1].getsockname()[1]
    server = assembled(settings, port, metrics_port)
    process = _Process(server, settings, lambda: told(server, port) if told else None)
    process.run(sockets)


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to an address; nothing is accepted before the server is started on it.

    Raises:
        BadInput: This machine has no such address.
        EnvironmentFault: The port is taken, or kept for others.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind(address)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise BadInput(f"{host!r} is no address of this machine; give one such as 127.0.0.1 or 0.0.0.0") from None
        raise EnvironmentFault(
            f"port {port} at {host} cannot be had ({error.strerror}); give another with --port, or 0 for a free one"
        ) from None
    return found


class _Process(uvicorn.Server):
    """uvicorn's server, with an end of our own: not ready first, then no new connections, then exit code 0."""

    def __init__(self, server: Server, settings: Settings, ready: Callable[[], None]) -> None:
        super().__init__(configured(server, settings.limits, settings.grace))
        self._server, self._settings, self._told = server, settings, ready
        self._giving_up: asyncio.Future[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the parts, then listen, then say so; the end may be asked for before, as long as a registry is down."""
        await self._server.start()
        if self.should_exit:
            await self._server.stop()
            return
        await super().startup(sockets)
        self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, then the parts."""
        try:
            await super().shutdown(sockets)
        finally:
            await self._server.stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals in the event loop; they are not raised again, for the end that they bring is a good one."""
        loop = asyncio.get_running_loop()
        for each in SIGNALS:
            loop.add_signal_handler(each, self._signalled)
        try:
            yield
        finally:
            for each in SIGNALS:
                loop.remove_signal_handler(each)

    def _signalled(self) -> None:
        if self._server.draining:  # the second time: who asks again does not want to wait for `drain`
            self._stop()
            return
        self._server.drain()
        if not self.started:
            self._stop()
            self._giving_up = asyncio.ensure_future(self._server.give_up())
            return
        progress("ending: requests that have begun are answered")
        asyncio.get_running_loop().call_later(self._settings.drain, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
