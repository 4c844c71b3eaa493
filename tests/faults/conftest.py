"""Every operation of a store, and a network that misbehaves on purpose between a store and a real MinIO server."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice.core.errors import SluiceError
from sluice.storage.stores import Store
from tests.conftest import MinioServer
from tests.unit.conftest import empty_tracking as empty_tracking
from tests.unit.conftest import tracked_home as tracked_home

Meddle = Callable[[bytes], bytes | None]


class Proxy:
    """Passes bytes between a client and a server on this machine; what passes can be changed or cut off.

    Attributes:
        upward: Is given each block that goes to the server; gives what to pass on, or None to cut the connection.
        downward: The same for what comes back.
    """

    def __init__(self, port: int) -> None:
        self.upward: Meddle = bytes
        self.downward: Meddle = bytes
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            for source, target, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, target, up), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                passed = (self.upward if up else self.downward)(block)
                if passed is None:
                    break
                target.sendall(passed)
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxied(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the shared MinIO server, with the AWS variables set for it."""
    proxy = Proxy(s3.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    yield proxy
    proxy.close()


def every_operation(store: Store, folder: Path) -> dict[str, Callable[[], object]]:
    source = folder / "source"
    source.write_bytes(b"x" * 9_000_000)
    return {
        "put_bytes": lambda: store.put_bytes("k", b"x"),
        "put_file": lambda: store.put_file("k", source),
        "put_if_absent": lambda: store.put_if_absent("k", b"x"),
        "get_bytes": lambda: store.get_bytes("k"),
        "get_file": lambda: store.get_file("k", folder / "target"),
        "exists": lambda: store.exists("k"),
        "keys": lambda: list(store.keys()),
        "delete": lambda: store.delete("k"),
    }


@pytest.fixture
def run_forked() -> Callable[[Callable[[], object]], str]:
    """Calls a function in a fork of this process; what it raised, as text."""

    def run(function: Callable[[], object]) -> str:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(20)
            try:
                function()
                said = "nothing was raised"
            except SluiceError as error:
                said = str(error)
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            said = told.read().decode()
        os.waitpid(child, 0)
        return said

    return run
