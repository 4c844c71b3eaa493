"""The answers to nginx's `auth_request`, over a socket that only its own pod sees.

An answer has no body. 204 lets the request pass, with X-Sluice-Only-New where it may only make what is not there yet;
403 refuses it, X-Sluice-Refusal says why, and X-Sluice-Again that another try may pass. Of a request to MLflow it is
asked alone whose it is (`WHOSE`): X-Sluice-Run tells MLflow's server, which knows what the run may write there.
"""

import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from xml.sax.saxutils import escape

from sluice.core.progress import progress
from sluice.run_gateway.pods import Away
from sluice.run_gateway.requests import Refused, Request, Wish, wish_of
from sluice.run_gateway.rules import Buckets, Caller, allow, needs_caller

METHOD, URI, ADDRESS = "x-sluice-method", "x-sluice-uri", "x-sluice-address"  # what nginx tells of a request
OURS = (METHOD, URI, ADDRESS)
READY, ALIVE, WHOSE = "/ready", "/alive", "/whose"
IDLE_SECONDS = 120
LONGEST_REASON = 600


class RequestGate:
    """What requests are held against."""

    def __init__(
        self,
        buckets: Buckets,
        caller: Callable[[str], Caller],
        look: Callable[[], None],
        run: Callable[[str], str],
    ) -> None:
        """Nothing is asked yet.

        Args:
            buckets: Of the release.
            caller: Whose pod has an address; raises `Refused` or `Away`.
            look: Raises `Away` while whose pod it is cannot be told.
            run: Of which run a pod calls MLflow, empty for KFP's API server; raises as `caller`.
        """
        self._buckets, self._caller, self._look, self._run = buckets, caller, look, run
        self._seen = False

    def verdict(self, request: Request, address: str) -> dict[str, str]:
        """The headers of the answer that lets a request pass.

        Raises:
            Refused: It is not let through.
            Away: That cannot be told now.
        """
        wish: Wish = wish_of(request)
        if not needs_caller(wish, self._buckets):
            return {}
        only_new = allow(wish, self._caller(address), self._buckets)
        return {"X-Sluice-Only-New": "*"} if only_new else {}

    def whose(self, address: str) -> dict[str, str]:
        """The headers of the answer that lets a request to MLflow pass; raises as `verdict`."""
        run = self._run(address)
        return {"X-Sluice-Run": run} if run else {}

    def ready(self) -> bool:
        """Whether the Kubernetes API has ever answered: later it may be away, and reads still pass."""
        if not self._seen:
            try:
                self._look()
            except Away as error:
                progress(f"not ready: {error}")
                return False
            self._seen = True
        return True


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: "Server"

    def do_GET(self) -> None:
        """Answer one question of nginx's."""
        if self.path in (READY, ALIVE):
            return self._answer(204 if self.path == ALIVE or self.server.gate.ready() else 503, {})
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            headers[name.lower()] = ", ".join(filter(None, (headers.get(name.lower(), ""), value)))
        method, uri, address = (headers.pop(name, "") for name in OURS)
        gate = self.server.gate
        try:
            if self.path == WHOSE:
                return self._answer(204, gate.whose(address))
            return self._answer(204, gate.verdict(Request(method, uri, headers), address))
        except Away as error:
            told = {"X-Sluice-Again": "1"}
            why = str(error)
        except Refused as error:
            told, why = {}, str(error)
        why = shown(why)
        progress(f"{'not now' if told else 'refused'}: {address} {method} {shown(uri)}: {why}")
        # It stands in XML, or for MLflow's client in a string of JSON.
        plain = escape(why) if self.path != WHOSE else why.replace('"', "'").replace("\\", "/")
        return self._answer(403, {**told, "X-Sluice-Refusal": f"run gateway: {plain}"})

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: refusals are told in `do_GET`."""

    def address_string(self) -> str:
        """A socket of the file system has no addresses."""
        return "nginx"


def shown(text: str) -> str:
    """Text that can stand in a header, in XML and in a log: printable ASCII."""
    plain = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else "?" for c in plain)[:LONGEST_REASON]


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers until it is shut down; a thread for each of nginx's connections, whose number nginx bounds."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, place: Path, gate: RequestGate) -> None:
        """Listen.

        Args:
            place: The socket; one that an earlier process left there is replaced.
            gate: What decides.
        """
        place.unlink(missing_ok=True)
        self.gate = gate
        super().__init__(str(place), _Answers)
