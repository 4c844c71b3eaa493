"""The server as an ASGI application: raw rows in, forecasts out.

Source: ASGI 3.0, https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sluice.serving.exchange import Answer, Exchange, Observer, Traffic
from sluice.serving.row_schema import InvalidRows

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JSON = (b"content-type", b"application/json")


@dataclass(frozen=True)
class Limits:
    """What a request may be.

    Attributes:
        body: Bytes.
        rows: Rows.
    """

    body: int = 16 * 2**20
    rows: int = 10_000


class Refusal(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP's.
        detail: One line, or a list of problems.
    """

    def __init__(self, status: int, detail: Any) -> None:  # noqa: ANN401 - JSON
        super().__init__(str(detail))
        self.status, self.detail = status, detail


class Request(msgspec.Struct):
    """The plain form of a question.

    Attributes:
        rows: Rows by column name.
    """

    rows: list[dict[str, Any]]


class Server:
    """The application.

    Args:
        traffic: Says which version answers.
        observers: See each answer after it was sent.
        limits: Of a request.
    """

    def __init__(self, traffic: Traffic, observers: Sequence[Observer] = (), limits: Limits | None = None) -> None:
        self._traffic, self._observers, self._limits = traffic, tuple(observers), limits or Limits()
        self._decode = msgspec.json.Decoder(Request).decode
        self._encode = msgspec.json.Encoder().encode
        self._routes: dict[tuple[str, str], Callable[[bytes, str], Any]] = {
            ("POST", "/v1/predict"): self.predict,
            ("GET", "/healthz"): lambda _body, _request: {"live": True},
            ("GET", "/readyz"): lambda _body, request: self._about(request),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or go along with the server's start and end."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = secrets.token_hex(8)
        try:
            route = self._routes.get((scope["method"], scope["path"]))
            if route is None:
                raise Refusal(404, f"there is no {scope['method']} {scope['path'][:80]}")
            body = await self._body(receive) if scope["method"] == "POST" else b""
            status, answer = 200, route(body, request)
        except Refusal as refusal:
            status, answer = refusal.status, {"detail": refusal.detail, "request": request}
        data = self._encode(answer)
        headers = [JSON, (b"content-length", str(len(data)).encode()), (b"x-request-id", request.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    def predict(self, body: bytes, request: str) -> dict[str, Any]:
        """`POST /v1/predict`."""
        try:
            rows = self._decode(body).rows
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is no JSON of the form {{'rows': [{{…}}]}}: {error}") from None
        if not 0 < len(rows) <= self._limits.rows:
            raise Refusal(413 if rows else 400, f"{len(rows):,} rows; send from 1 to {self._limits.rows:,}")
        begun, loaded = time.perf_counter(), self._traffic.chosen(request, "")
        try:
            columns = loaded.judge.schema.columns(rows)
        except InvalidRows as invalid:
            problems = [
                {"row": problem.row, "field": problem.field, "message": problem.message} for problem in invalid.problems
            ]
            raise Refusal(422, problems) from None
        answer = loaded.judge.judge(columns)
        exchange = Exchange(request, time.time(), loaded, columns, answer, time.perf_counter() - begun)
        for observer in self._observers:
            observer.observed(exchange)
        return {
            "model": loaded.name,
            "digest": loaded.digest,
            "request": request,
            "forecasts": forecasts(answer, loaded.judge.served.classes),
        }

    def _about(self, request: str) -> dict[str, Any]:
        loaded = self._traffic.chosen(request, "")
        return {"ready": True, "model": loaded.name, "digest": loaded.digest}

    async def _body(self, receive: Receive) -> bytes:
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limits.body:
                raise Refusal(413, f"the body is longer than {self._limits.body:,} bytes; send fewer rows at once")
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)


def forecasts(answer: Answer, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """An answer as JSON values, one a row."""
    if answer.called is None:
        return [{"prediction": value} for value in answer.values.tolist()]
    return [
        {"prediction": classes[called], "probabilities": dict(zip(classes, row, strict=True))}
        for row, called in zip(answer.values.tolist(), answer.called.tolist(), strict=True)
    ]


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        kind = message["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
