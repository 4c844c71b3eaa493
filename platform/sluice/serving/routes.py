"""The server's addresses: which of them there are, who may read them, and what those say that no model must answer."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice.serving import inference_protocol as v2
from sluice.serving.exchange import Exchange, Loaded
from sluice.serving.heads import Head
from sluice.serving.metrics import CONTENT_TYPE
from sluice.serving.openapi import example_row, openapi
from sluice.serving.page_files import PAGES, SECURITY
from sluice.serving.protocols import JSON, Wire, encode
from sluice.serving.refusals import Refusal

if TYPE_CHECKING:
    from sluice.serving.app import Server

OTHER = "other"
_LOOK, _ASK = ("GET", "HEAD"), ("POST",)


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    Attributes:
        status: HTTP's.
        body: Its bytes.
        media_type: Of the body.
        loaded: Who answered; None where nobody had to.
        exchange: What observers are told; None where no forecast was made.
        headers: More headers.
        close: Whether the connection ends with it.
    """

    status: int
    body: bytes
    media_type: str = JSON
    loaded: Loaded | None = None
    exchange: Exchange | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


@dataclass(frozen=True)
class Route:
    """An address.

    Attributes:
        name: Its template: what metrics call it.
        reply: What it says; None where a model answers.
        open: Whether no token is asked for.
        inside: `health` or `metrics`, where it may be at a port of its own.
        wire: How it is asked and answered; None where that follows from the path and the body's type.
        model: The model that the path names.
        version: The version that it names.
        missing: Why there is nothing here.
        takes: Whether labels are taken.
    """

    name: str
    make: Callable[[Head, "Route"], Reply] | None = None
    open: bool = False
    inside: str = ""
    wire: Wire | None = None
    model: str = ""
    version: str = ""
    missing: Refusal | None = None
    takes: bool = False

    @property
    def asks(self) -> bool:
        """Whether a model answers."""
        return self.make is None and not self.takes

    def reply(self, head: Head, route: "Route") -> Reply:
        """What it says by itself."""
        assert self.make is not None, "asked of `asks` before"  # noqa: S101
        return self.make(head, route)


class Routes:
    """All addresses of a server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._version = importlib.metadata.version("sluice") if _installed() else "0"
        health = partial(Route, open=True, inside="health")
        self._looks: dict[str, Route] = {
            "/healthz": health("/healthz", self._live),
            "/readyz": health("/readyz", self._ready),
            "/health": health("/health", self._ping),
            "/ping": health("/ping", self._ping),
            "/v2/health/live": health("/v2/health/live", self._live),
            "/v2/health/ready": health("/v2/health/ready", self._ready),
            "/metrics": Route("/metrics", self._metrics, inside="metrics"),
            "/version": Route("/version", self._software, open=True),
            "/openapi.json": Route("/openapi.json", self._openapi),
            "/v1/model": Route("/v1/model", self._model),
            "/v2": Route("/v2", self._server_metadata),
            "/v2/": Route("/v2", self._server_metadata),
            **{path: Route(path, self._page, open=True) for path in PAGES},
        }
        self._asks = {
            "/v1/predict": Route("/v1/predict"),
            "/invocations": Route("/invocations"),
            "/v1/feedback": Route("/v1/feedback", takes=True),
        }

    def find(self, method: str, path: str) -> Route:
        """The route of a request; one that is missing where there is none."""
        if method == "POST" and path in self._asks:
            return self._asks[path]
        if method in _LOOK and path in self._looks:
            return self._looks[path]
        if path in self._asks or path in self._looks:
            return _not_allowed(path, _ASK if path in self._asks else _LOOK)
        return self._of_model(method, path) or Route(
            OTHER, missing=Refusal(404, f"there is no {path[:80]!r}; /openapi.json lists what there is")
        )

    def _of_model(self, method: str, path: str) -> Route | None:
        parts = v2.parts(path)
        if parts is None:
            return None
        model, version, end = parts
        name = f"/v2/models/{{name}}{'/versions/{version}' if version else ''}{end}"
        allowed = _ASK if end == "/infer" else _LOOK
        if method not in allowed:
            return _not_allowed(name, allowed)
        make = {"/infer": None, "/ready": self._model_ready}.get(end, self._model_metadata)
        return Route(name, make, model=model, version=version)

    def _live(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        return Reply(200, encode({"live": True}))

    def _ready(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        server = self._server
        there = server.versions() if server.ready else ()
        if not there:
            why = "the server ends" if server.draining else "no model is loaded yet"
            return Reply(503, encode({**server.details(), "ready": False, "live": True, "reason": why}))
        told = {"ready": True, "live": True, "model": there[0].name, "digest": there[0].digest}
        return Reply(200, encode({**server.details(), **told}))

    def _ping(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        return Reply(200 if self._server.ready else 503, b"\n")

    def _metrics(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        return Reply(200, self._server.metrics_text(), CONTENT_TYPE)

    def _software(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        return Reply(200, self._version.encode())

    def _openapi(self, head: Head, route: Route) -> Reply:
        loaded, server = self._server.chosen(head, route), self._server
        served = loaded.judge.served
        body = openapi(served, loaded.name, server.limits, tokens=server.wants_tokens, feedback=server.takes_labels)
        return Reply(200, encode(body), loaded=loaded)

    def _model(self, head: Head, route: Route) -> Reply:
        loaded = self._server.chosen(head, route)
        served = loaded.judge.served
        body: dict[str, Any] = served.model_dump(mode="json", by_alias=True, exclude_none=True)
        body |= {
            "model": loaded.name,
            "role": loaded.role,
            "versions": [each.name for each in self._server.versions()],
            "limits": self._server.limits.model_dump(),
            "example": example_row(served),
        }
        return Reply(200, encode(body), loaded=loaded)

    def _server_metadata(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        return Reply(200, encode(v2.server_metadata(self._version)))

    def _model_metadata(self, head: Head, route: Route) -> Reply:
        loaded = self._server.chosen(head, route)
        versions = [v2.version_of(each) for each in self._server.versions()]
        return Reply(200, encode(v2.model_metadata(loaded, versions)), loaded=loaded)

    def _model_ready(self, head: Head, route: Route) -> Reply:
        loaded, ready = self._server.chosen(head, route), self._server.ready
        return Reply(200 if ready else 503, encode({"name": v2.model_name(loaded), "ready": ready}), loaded=loaded)

    def _page(self, head: Head, route: Route) -> Reply:  # noqa: ARG002
        page = PAGES[route.name]
        return Reply(200, page.body, page.media_type, headers=SECURITY)


def _not_allowed(name: str, allowed: tuple[str, ...]) -> Route:
    headers = ((b"allow", ", ".join(allowed).encode()),)
    return Route(name, missing=Refusal(405, f"{name} takes {' and '.join(allowed)} only", headers=headers))


def _installed() -> bool:
    try:
        importlib.metadata.version("sluice")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
