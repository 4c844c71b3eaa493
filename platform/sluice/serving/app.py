"""The server as an ASGI application: raw rows in, forecasts out.

Source: ASGI 3.0, https://asgi.readthedocs.io/en/latest/specs/www.html. A short request is answered in the event loop,
where it takes a fraction of a millisecond; a long one in a thread, so that nobody waits behind it.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sluice.core.addresses import show_defect
from sluice.core.progress import progress
from sluice.serving import inference_protocol
from sluice.serving.arrow_protocol import STREAM, ArrowProtocol
from sluice.serving.doors import Doors
from sluice.serving.exchange import Detailed, Exchange, Loaded, Measured, NoModel, Observer, Started, Traffic, Versions
from sluice.serving.feedback import FeedbackDesk
from sluice.serving.heads import REQUEST_ID, TRACE, Head
from sluice.serving.inference_protocol import InferenceProtocol
from sluice.serving.limits import Held, Limits, Receive
from sluice.serving.metrics import Metrics
from sluice.serving.mlflow_protocol import MlflowProtocol
from sluice.serving.png_protocol import PNG, PngProtocol
from sluice.serving.protocols import JSON, Answered, Plain, Wire, encode
from sluice.serving.refusals import Gone, Refusal, refused_rows
from sluice.serving.routes import Reply, Route, Routes
from sluice.serving.row_schema import InvalidRows

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_SHORT = 16 * 2**10  # bytes of a body that is read, judged and answered in about a millisecond
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass
class _Asking:
    """What is known of a request so far.

    Attributes:
        wire: How it is read and answered.
        unread: Whether its body is still to come.
        loaded: Who answers; None before that is known.
    """

    wire: Wire
    unread: bool
    loaded: Loaded | None = None


class Server:
    """The application.

    Args:
        traffic: Says which version answers.
        observers: See each answer after it was sent, in this order.
        limits: Of requests.
        doors: Who may ask.
        threads: How many long requests are answered at once.
        feedback: Takes labels; None where the server takes none.
        beside: Parts that see no answer and have numbers to tell.
    """

    def __init__(
        self,
        traffic: Traffic,
        observers: Sequence[Observer] = (),
        limits: Limits | None = None,
        doors: Doors | None = None,
        threads: int = 1,
        feedback: FeedbackDesk | None = None,
        beside: Sequence[Measured] = (),
    ) -> None:
        self._feedback, self._beside = feedback, tuple(beside)
        self._traffic, self._observers, self._limits = traffic, tuple(observers), limits or Limits()
        self._doors, self._threads = doors or Doors(), threads
        self._held, self.metrics = Held(self._limits), Metrics()
        self._plain, self._arrow, self._png = Plain(), ArrowProtocol(), PngProtocol()
        self._mlflow, self._inference = MlflowProtocol(), InferenceProtocol()
        self._routes = Routes(self)
        self._answering, self._ready, self._draining = 0, False, False
        self._pool: ThreadPoolExecutor | None = None
        for part in self._parts(Measured):
            part.measure(self.metrics.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or go along with the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def drain(self) -> None:
        """Say that the server is not ready any more, and close each connection with its next answer."""
        self._draining = True

    async def start(self) -> None:
        """Start the parts; the server is ready once a version can answer."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="rows")
        for part in self._parts(Started):
            await asyncio.to_thread(part.start)
        self._ready = True

    async def give_up(self) -> None:
        """End a `start` that waits for the registry."""
        if isinstance(self._traffic, Started):
            await asyncio.to_thread(self._traffic.stop)

    async def stop(self) -> None:
        """Stop the parts, observers after the traffic: what they hold is written once nothing more is answered."""
        self._ready = False
        if self._pool:
            self._pool.shutdown(wait=True)
        for part in self._parts(Started):
            try:
                await asyncio.to_thread(part.stop)
            except Exception:  # noqa: BLE001 - the others must be stopped, too
                _tell_defect(f"{type(part).__name__} did not end well:")

    def _parts(self, kind: type[Any]) -> list[Any]:
        parts = (self._feedback, self._traffic, *self._observers, *self._beside)
        return [part for part in parts if isinstance(part, kind)]

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        head = Head.of(scope)
        route = self._routes.find(head.method, head.path)
        self._answering += 1
        try:
            reply = await self._replied(scope, head, route, receive, begun)
        except Gone:
            return
        finally:
            self._answering -= 1
        await self._send(reply, head, send)
        version = reply.loaded.name if reply.loaded else ""
        self.metrics.answered(route.name, reply.status, version, time.perf_counter() - begun)
        if reply.exchange:
            self._observe(reply.exchange)

    async def _replied(self, scope: Scope, head: Head, route: Route, receive: Receive, begun: float) -> Reply:
        asking = _Asking(route.wire or self._wire(head), head.method not in ("GET", "HEAD"))
        try:
            self._check(scope, head, route)
            if route.takes:
                return await self._taken(asking, head, receive)
            if not route.asks:
                return route.reply(head, route)
            return await self._answered(asking, head, route, receive, begun)
        except Refusal as refusal:
            found = refusal
        except NoModel as none:
            found = Refusal(503, str(none) or "no model answers now; try again in some seconds", wait=5)
        except Gone:
            raise
        except Exception:  # noqa: BLE001 - a defect of ours: told in the log, and by its request's id to the caller
            _tell_defect(f"request {head.request} failed:")
            found = Refusal(500, "the server failed; its log has the reason under this request's id")
        if (asking.unread or found.rest) and not found.close:
            found.close = not await self._held.discarded(receive)
        return self._refused(found, asking.wire, head, asking.loaded)

    def _check(self, scope: Scope, head: Head, route: Route) -> None:
        """Refuse what need not be read."""
        if head.size > self._limits.headers:
            raise Refusal(431, f"address and headers are longer than {self._limits.headers:,} bytes", close=True)
        self._doors.check(scope, head, route)
        if route.missing:
            raise route.missing
        if route.asks or route.takes:
            _check_encoding(head)
            if self._answering > self._limits.requests:
                raise Refusal(503, "the server answers as many requests as it may; try again in a second", wait=1)

    async def _taken(self, asking: "_Asking", head: Head, receive: Receive) -> Reply:
        """Keep the labels of a request."""
        if self._feedback is None:
            raise Refusal(404, "this server takes no labels; start it with feedback, or use `sluice feedback`")
        there = self.versions()
        if not there:
            raise NoModel
        asking.loaded = loaded = there[0]
        asking.unread = False
        body = await self._held.body(receive, head.header(b"content-length"))
        try:
            return Reply(200, encode({**await self._feedback.take(body, loaded), "request": head.request}))
        finally:
            self._held.release(len(body))

    async def _answered(self, asking: "_Asking", head: Head, route: Route, receive: Receive, begun: float) -> Reply:
        asking.loaded = loaded = self.chosen(head, route)
        asking.unread = False
        body = await self._held.body(receive, head.header(b"content-length"))
        try:
            if len(body) <= _SHORT and asking.wire.quick and _is_quick(loaded):
                return self._forecast(asking.wire, body, head, loaded, begun)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._forecast, asking.wire, body, head, loaded, begun)
        finally:
            self._held.release(len(body))

    def _forecast(self, wire: Wire, body: bytes, head: Head, loaded: Loaded, begun: float) -> Reply:
        """Read, check, judge and write: everything that takes time."""
        asked = wire.read(body, head, self._limits, loaded)
        schema = loaded.judge.schema
        try:
            if asked.columns is None:
                columns, rows = schema.columns(asked.rows), asked.rows
            else:
                columns, rows = schema.given_columns(asked.columns, asked.count), (asked.columns,)
            answer = loaded.judge.judge(columns)
        except InvalidRows as invalid:
            raise refused_rows(invalid) from None
        known = loaded.judge.served
        passed_over = tuple(
            name for name in schema.passed_over(rows) if name not in (known.label, known.time, *known.key)
        )
        data = wire.write(asked, Answered(loaded, head.request, answer, passed_over))
        self.metrics.forecast(loaded.name, asked.count)
        seconds = time.perf_counter() - begun
        if self._observers:
            columns = columns | loaded.carried.columns(asked.rows, asked.columns)
        exchange = Exchange(head.request, time.time(), loaded, columns, answer, seconds, head.subject, head.trace)
        headers = ((b"x-sluice-passed-over", quote(",".join(passed_over), safe=",").encode()),) if passed_over else ()
        return Reply(200, data, wire.media_type, loaded=loaded, exchange=exchange, headers=headers)

    def _wire(self, head: Head) -> Wire:
        if head.path.startswith("/v2/"):
            return self._inference
        if head.path == "/invocations":
            return self._mlflow
        if head.media_type == PNG:
            return self._png
        return self._arrow if head.media_type == STREAM else self._plain

    def chosen(self, head: Head, route: Route) -> Loaded:
        """Who answers a request, or would: the traffic's choice, or the version that the path names.

        Raises:
            NoModel: None can now.
            Refusal: There is none of this name.
        """
        if not route.version:
            loaded = self._traffic.chosen(head.request, head.subject)
            if route.model in ("", inference_protocol.model_name(loaded)):
                return loaded
        for each in self.versions():
            named = inference_protocol.model_name(each), inference_protocol.version_of(each)
            if named == (route.model, route.version):
                return each
        asked = f"{route.model}/{route.version}" if route.version else route.model
        there = ", ".join(each.name for each in self.versions()) or "none"
        raise Refusal(404, f"there is no model {asked[:80]!r} here; there is {there}")

    def versions(self) -> tuple[Loaded, ...]:
        """The versions that can answer now."""
        if isinstance(self._traffic, Versions):
            return tuple(self._traffic.versions())
        try:
            return (self._traffic.chosen("", ""),)
        except NoModel:
            return ()

    def details(self) -> dict[str, Any]:
        """What else the parts tell of themselves, such as when the registry last answered."""
        found: dict[str, Any] = {}
        for part in self._parts(Detailed):
            found |= part.details()
        return found

    @property
    def ready(self) -> bool:
        """Whether a version is loaded and warm, and the server does not end."""
        return self._ready and not self._draining and bool(self.versions())

    @property
    def draining(self) -> bool:
        """Whether the server ends."""
        return self._draining

    @property
    def limits(self) -> Limits:
        """Of requests."""
        return self._limits

    @property
    def takes_labels(self) -> bool:
        """Whether `POST /v1/feedback` keeps labels."""
        return self._feedback is not None

    @property
    def wants_tokens(self) -> bool:
        """Whether requests need a token."""
        return self._doors.tokens is not None

    def metrics_text(self) -> bytes:
        """What Prometheus reads."""
        self.metrics.answering.set(self._answering - 1)
        self.metrics.held.set(self._held.bytes)
        return self.metrics.text(self.versions())

    def _refused(self, refusal: Refusal, wire: Wire, head: Head, loaded: Loaded | None) -> Reply:
        if refusal.kinds:
            self.metrics.invalid(loaded.name if loaded else "", refusal.kinds)
        headers = list(refusal.headers)
        if refusal.wait is not None:
            headers.append((b"retry-after", str(refusal.wait).encode()))
        data = encode(wire.refused(refusal, head.request, loaded))
        return Reply(refusal.status, data, JSON, loaded=loaded, headers=tuple(headers), close=refusal.close)

    async def _send(self, reply: Reply, head: Head, send: Send) -> None:
        headers = [
            (b"content-type", reply.media_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (REQUEST_ID, head.request.encode()),
            *reply.headers,
            *_HEADERS,
        ]
        if reply.loaded:
            headers.append((b"x-sluice-model", quote(reply.loaded.name).encode()))
            headers.append((b"x-sluice-digest", reply.loaded.digest.encode()))
        if head.trace:
            headers.append((TRACE, head.trace.encode()))
        if reply.close or self._draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head.method == "HEAD" else reply.body})

    def _observe(self, exchange: Exchange) -> None:
        for observer in self._observers:
            try:
                observer.observed(exchange)
            except Exception:  # noqa: BLE001 - a defect of one must not take the others', nor the connection
                _tell_defect(f"{type(observer).__name__} failed at request {exchange.request}:")


def _is_quick(loaded: Loaded) -> bool:
    """Whether the graph does all of the work; a query or the model's own code would stop the event loop for long."""
    served = loaded.judge.served
    kinds = getattr(served, "features", "graph"), getattr(served, "forecast", "graph")
    return kinds[0] in ("graph", "given") and kinds[1] == "graph"


def _check_encoding(head: Head) -> None:
    """What is packed may be a thousand times as long unpacked, so nothing is."""
    encoding = head.header(b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Refusal(
            415, f"the body is packed ({encoding[:40]!r}), which this server does not unpack; send it as it is"
        )


def _tell_defect(words: str) -> None:
    progress(words)
    kind, error, trace = sys.exc_info()
    if kind and error:
        show_defect(kind, error, trace)
