"""Ports of this machine that lead to Services of a cluster, as long as a `with` block lasts: `kubectl port-forward`."""

import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from components.common.errors import EnvironmentFault
from sluice.cluster.access import Target

START_SECONDS = 20.0
STOP_SECONDS = 5.0
_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(?P<port>\d+)")


@dataclass
class Forward:
    """One forwarded port.

    Attributes:
        target: The cluster.
        service: The Service's name.
        port: The Service's port.
        local: The port here; 0 until it stands.
    """

    target: Target
    service: str
    port: int
    local: int = 0
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
                f"{said.strip() or 'kubectl port-forward said nothing'}; look with `sluice doctor --cluster`"
            )
        self.local = int(found["port"])

    def mend(self) -> None:
        """Open it again where it is gone: it ends with the pod that it led to."""
        if self._process is None or self._process.poll() is not None or not self._listens():
            self.open()

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
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None

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

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.local)) == 0


@contextmanager
def forwarded(target: Target, service: str, port: int) -> Iterator[Forward]:
    """Forward a free port of this machine to a Service's.

    Raises:
        EnvironmentFault: It did not come to stand in time.
    """
    forward = Forward(target, service, port)
    try:
        forward.open()
        yield forward
    finally:
        forward.close()
