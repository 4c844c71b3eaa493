"""What the operator listens for: events on one port, probes and metrics on another."""

import asyncio
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from sluice.core.errors import BadInput
from sluice.operator.evidence import EventSeen
from sluice.operator.on_cluster.cloud_events import MOST_BYTES, read_events
from sluice.operator.on_cluster.event_inbox import EventInbox
from sluice.operator.on_cluster.process_metrics import ProcessMetrics

SAVE_SECONDS = 20.0
"""So long a sender waits for its events to be saved; then it is told to send them again."""
_LATER = {"Retry-After": "5"}


class EventDoor:
    """Takes events in: `POST /events`, with a token.

    Args:
        inbox: Where they wait.
        listeners: The ContinuousTrainings that an event is for.
        wake: Called with the name of each that has something to look at.
        token_files: Files with one token a line; read again for each request, for Secrets change.
        held: Whether this process works.
        metrics: Counts requests.
    """

    def __init__(
        self,
        inbox: EventInbox,
        listeners: Callable[[EventSeen], list[str]],
        wake: Callable[[str], None],
        token_files: Sequence[str],
        held: Callable[[], bool],
        metrics: ProcessMetrics,
    ) -> None:
        self._inbox, self._listeners, self._wake = inbox, listeners, wake
        self._token_files, self._held, self._metrics = token_files, held, metrics

    def app(self) -> web.Application:
        """The application."""
        made = web.Application(client_max_size=MOST_BYTES)
        made.router.add_post("/events", self._post)
        return made

    async def _post(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        self._metrics.events.labels(str(answer.status)).inc()
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        if not self._known(request.headers.get("Authorization", "")):
            return _said(401, "send a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        if not self._held():
            return _said(503, "another operator works", _LATER)
        try:
            body = await request.read()
            events = read_events({name.lower(): text for name, text in request.headers.items()}, body)
        except web.HTTPRequestEntityTooLarge:
            return _said(413, f"a request holds at most {MOST_BYTES:,} bytes")
        except BadInput as error:
            return _said(400, str(error))
        return await self._saved(events)

    async def _saved(self, events: list[EventSeen]) -> web.Response:
        wanted = [(event, self._listeners(event)) for event in events]
        loop, settled = asyncio.get_running_loop(), asyncio.Event()
        if not self._inbox.put(wanted, lambda: loop.call_soon_threadsafe(settled.set)):
            return _said(429, "too many events wait", _LATER)
        names = sorted({name for _, several in wanted for name in several})
        for name in names:
            self._wake(name)
        try:
            await asyncio.wait_for(settled.wait(), SAVE_SECONDS)
        except TimeoutError:
            return _said(503, "the events are not saved yet; send them again: they have the same ids then", _LATER)
        return web.json_response({"events": len(events), "for": names}, status=202)

    def _known(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        given = token.strip().encode()
        if scheme.lower() != "bearer" or not given:
            return False
        return any(hmac.compare_digest(given, known) for known in self._tokens())

    def _tokens(self) -> list[bytes]:
        found = []
        for name in self._token_files:
            try:
                found += Path(name).read_bytes().split()
            except OSError:
                continue  # no Secret is there yet: nobody may send
        return found


def probes(metrics: ProcessMetrics, ready: Callable[[], str], alive: Callable[[], str]) -> web.Application:
    """`/metrics`, `/readyz` and `/healthz`.

    Args:
        metrics: What is told.
        ready: Why it is not ready; empty where it is.
        alive: Why it has to be begun anew; empty where it has not.
    """

    async def numbers(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), content_type="text/plain", charset="utf-8")

    def told(ask: Callable[[], str]) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            reason = ask()
            return _said(503, reason) if reason else web.json_response({"ok": True})

        return answer

    made = web.Application()
    made.router.add_get("/metrics", numbers)
    made.router.add_get("/readyz", told(ready))  # type: ignore[arg-type]
    made.router.add_get("/healthz", told(alive))  # type: ignore[arg-type]
    return made


def _said(status: int, words: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=headers)
