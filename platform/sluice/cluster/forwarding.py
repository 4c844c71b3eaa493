"""Ports of this machine that lead to Services of a cluster, as long as a `with` block lasts: `kubectl port-forward`."""

import re
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sluice.cluster.access import Target
from sluice.core.errors import EnvironmentFault

START_SECONDS = 20.0
STOP_SECONDS = 5.0
MEND_SECONDS = 120.0  # a pod that takes another's place pulls its image and starts first
ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 1.0
LOOK = "look with `sluice doctor --cluster`"
_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(?P<port>\d+)")


@dataclass
class Forward:
    """One forwarded port.

    Attributes:
        target: The cluster.
        service: The Service's name.
        port: The Service's port.
        local: The port here; 0 until it stands.
        secure: Whether TLS is spoken there.
    """

    target: Target
    service: str
    port: int
    local: int = 0
    secure: bool = False
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def open(self) -> None:
        """Start to forward, on the same local port as before if there was one.

        Raises:
            EnvironmentFault: kubectl is not there, or the port did not stand in time.
        """
        self.close()
        self._process = subprocess.Popen(  # noqa: S603 - our words, the user's context and namespace
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = self._first_line()
        found = _READY.search(said)
        if not found:
            self.close()
            raise EnvironmentFault(
                f"no way to Service {self.service} in {self.target} within {START_SECONDS:.0f} s: "
                f"{said.strip() or 'kubectl port-forward said nothing'}; {LOOK}"
            )
        self.local = int(found["port"])
        threading.Thread(target=_drain, args=(self._process,), daemon=True).start()

    def mend(self, seconds: float = MEND_SECONDS) -> None:
        """Open it again, until something answers behind it: kubectl goes on to listen for a pod that is gone.

        Args:
            seconds: The longest to try; 0 tries once.

        Raises:
            EnvironmentFault: Nothing answered in time.
        """
        deadline = time.monotonic() + seconds
        while not (self._stands() and self._answers()):
            try:
                self.open()
                if self._answers():
                    return
                fault = EnvironmentFault(f"nothing answers at Service {self.service} in {self.target}; {LOOK}")
            except EnvironmentFault as error:
                fault = error
            if time.monotonic() >= deadline:
                raise fault
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._process = None  # whoever reads its output comes to the end of it and closes it

    def _command(self) -> list[str]:
        program = shutil.which("kubectl")
        if not program:
            raise EnvironmentFault(
                "kubectl is not on the PATH, and the way to the cluster leads through it; "
                "install it, or set SLUICE_KFP to the URL of the KFP server"
            )
        context = ["--context", self.target.context] if self.target.context else []
        place = ["--namespace", self.target.namespace, "port-forward", "--address", "127.0.0.1"]
        return [program, *context, *place, f"service/{self.service}", f"{self.local or ''}:{self.port}"]

    def _first_line(self) -> str:
        assert self._process  # noqa: S101 - `open` has just started it
        assert self._process.stdout  # noqa: S101 - and piped it
        stream, deadline = self._process.stdout, time.monotonic() + START_SECONDS
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        return stream.readline() if ready else ""

    def _stands(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _answers(self) -> bool:
        """Whether a server says anything: all that we forward to speak HTTP, or TLS, whose alert is an answer too.

        Whoever it is: those who then talk to it check its certificate.
        """
        try:
            with socket.create_connection(("127.0.0.1", self.local), ANSWER_SECONDS) as probe:
                if self.secure:
                    with _anyone().wrap_socket(probe, server_hostname="localhost"):
                        return True
                probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return bool(probe.recv(1))
        except OSError:
            return False


def _anyone() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _drain(process: subprocess.Popen[str]) -> None:
    """Read what kubectl says of each connection: once the pipe were full it would stand still."""
    if process.stdout:
        with process.stdout as stream:
            for _ in stream:
                pass


@contextmanager
def forwarded(
    target: Target, service: str, port: int, seconds: float = 0.0, *, secure: bool = False
) -> Iterator[Forward]:
    """Forward a free port of this machine to a Service's.

    Args:
        target: The cluster.
        service: The Service's name.
        port: The Service's port.
        seconds: How long to try until something answers behind it; 0 tries once, and asks nothing of it.
        secure: Whether TLS is spoken there.

    Raises:
        EnvironmentFault: It did not come to stand in time.
    """
    forward = Forward(target, service, port, secure=secure)
    try:
        if seconds:
            forward.mend(seconds)
        else:
            forward.open()
        yield forward
    finally:
        forward.close()
