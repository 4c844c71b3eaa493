"""What the accounts of steps and model servers may not do at MLflow, whatever MLflow's own permissions let them.

MLflow gives who made an experiment or a model all rights on it, and anybody may make a model of a new name. So by
permissions alone a step could make `house-prices` before the register step does, and move its aliases for ever. Here:

- Steps log runs. They make no registered model and no version, and move no alias; the register step's account does.
- Neither deletes more than a run (which an administrator can restore), makes accounts, or gives permissions away. The
  register step's takes aliases, tags of models and versions back.
- Model servers and what watches models read, and nothing else.
- The files of a logged model stay as they are once it is READY: so a registered version keeps its own.
- What comes from a pod of a run, as the gateway says, goes into that run's own records alone (`ownership`). Pods of
  runs have no other way here: who comes without the gateway's word is KFP's API server, a job of the chart, a person.

It stands before MLflow's own checks and takes nothing from them: who claims to be somebody else must know the password.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from werkzeug.datastructures import Authorization

from sluice.mlflow_server.ownership import ARTIFACTS as ARTIFACT_PATHS
from sluice.mlflow_server.ownership import Guard, Records, Refused

READING = frozenset({"GET", "HEAD", "OPTIONS"})
REGISTRY = frozenset({"registered-models", "model-versions"})
ACCOUNTS = frozenset({"users", "roles", "permissions", "signup", "webhooks", "gateway"})
REMOVABLE = (("runs", "delete"), ("runs", "delete-tag"))  # of two that were opened at once, one goes
# What registering takes back: an alias, its word of a record that is carried out, a version of which there were two.
TAKEN_BACK = (("registered-models", "alias"), ("registered-models", "delete-tag"), ("model-versions", "delete"))
SEARCHES = re.compile(r"(ajax-)?api/[0-9]\.0/mlflow/[a-z-]+/search")  # reading, which takes a body
LOGGED_MODEL = re.compile(r"\bm-[0-9a-f]{8,}\b")
ARTIFACTS, MODELS = "mlflow-artifacts", "logged-models"
UNAUTHORIZED, FORBIDDEN, TOO_LARGE = 401, 403, 413
RUN = b"x-sluice-run"  # the gateway's word: whose pod it is; it lets no client say this itself
LONGEST_DOCUMENT = 64 << 20  # bytes of JSON; MLflow's own client sends 1 MiB at most

Role = Literal["steps", "register", "serving"]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Any, Send], Awaitable[None]]


class Limits:
    """An ASGI application before MLflow's."""

    def __init__(
        self, app: Application, accounts: Mapping[str, Role], is_ready: Callable[[str], bool], records: Records
    ) -> None:
        """Nothing is asked yet.

        Args:
            app: MLflow's.
            accounts: Who has which account, by its name; an empty name is nobody's.
            is_ready: Whether the logged model of an id is READY.
            records: Whose the runs, models and traces are.
        """
        self._app, self._accounts = app, {name: role for name, role in accounts.items() if name}
        self._is_ready, self._records = is_ready, records

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:  # noqa: ANN401 - ASGI's
        """Refuse, or hand on."""
        if scope["type"] == "http":
            known, name = username(value for key, value in scope["headers"] if key == b"authorization")
            if not known:
                return await _answer(send, UNAUTHORIZED, "UNAUTHENTICATED", "the header Authorization is malformed")
            if name in self._accounts:
                try:
                    scope, receive = await self._held(name, scope, receive)
                except Refused as error:
                    return await _answer(send, FORBIDDEN, "PERMISSION_DENIED", f"the account {name} {error}")
                except _TooLarge:
                    return await _answer(send, TOO_LARGE, "INVALID_PARAMETER_VALUE", "the request is too large")
        return await self._app(scope, receive, send)

    async def _held(self, name: str, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """The request as it is handed on.

        Raises:
            Refused: It is not.
            _TooLarge: It cannot be read.
        """
        method, path = scope["method"], scope["path"]
        if said := await self._refusal(name, method, path):
            raise Refused(said)
        runs = [value.decode("latin-1") for key, value in scope["headers"] if key == RUN]
        if not runs or method in READING:
            return scope, receive
        if len(runs) > 1 or not runs[0]:
            raise Refused("must come through the gateway of runs' pods, which says once of which run it is")
        guard = Guard(runs[0], self._records)
        if file := ARTIFACT_PATHS.fullmatch(path):
            await run_in_threadpool(guard.artifact, file[1])
            return scope, receive
        body = await run_in_threadpool(guard.document, method, path, await _body(receive))
        headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"transfer-encoding")]
        headers.append((b"content-length", str(len(body)).encode()))
        return {**scope, "headers": headers}, _sending(body, receive)

    async def _refusal(self, name: str, method: str, path: str) -> str:
        plain = canonical(path)
        if said := refusal(method, plain, self._accounts[name]):
            return said
        if method not in READING and {ARTIFACTS, MODELS} & set(plain.split("/")):
            for model in set(LOGGED_MODEL.findall(plain)):
                if not plain.endswith("/tags") and await run_in_threadpool(self._is_ready, model):
                    return f"may not change the logged model {model}, which is READY"
        return ""


def refusal(method: str, path: str, role: Role) -> str:
    """Why a request is refused by its method and path alone; empty where it is not.

    Args:
        method: HTTP's, in capitals.
        path: As `canonical` gives it.
        role: Whose account it is.
    """
    if method in READING:
        return ""
    segments, registers = path.split("/"), role == "register"
    if role == "serving":
        return "" if method == "POST" and SEARCHES.fullmatch(path) else "may only read"
    if ACCOUNTS & set(segments):
        return "may not change accounts or permissions"
    deletes = method == "DELETE" or any(segment.startswith("delete") for segment in segments)
    if deletes and tuple(segments[-2:]) not in (*REMOVABLE, *(TAKEN_BACK if registers else ())):
        return "may not delete"
    if not registers and REGISTRY & set(segments):
        return "may not change registered models, their versions and aliases; the register step's account may"
    return ""


def canonical(path: str) -> str:
    """A path in lower case without any percent-encoding, however often it was encoded, and without empty segments."""
    while (plain := unquote(path)) != path:
        path = plain
    return "/".join(segment for segment in path.lower().split("/") if segment)


def username(headers: Iterable[bytes]) -> tuple[bool, str]:
    """Whose request it is, by its headers `Authorization`; MLflow checks the password.

    Returns:
        Whether all that read such a header read it alike (else it must not be handed on), and the name, empty without.
    """
    values = [value.decode("latin-1") for value in headers]
    if not values:
        return True, ""
    words = values[0].split()
    if len(values) > 1 or not words:
        return False, ""
    if words[0].lower() != "basic":
        return True, ""  # MLflow knows no other way in
    read = Authorization.from_header(values[0])
    name = read.username if read and read.type == "basic" else None
    return bool(name), name or ""


class _TooLarge(Exception):
    pass


async def _body(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LONGEST_DOCUMENT:
            raise _TooLarge
        parts.append(part)
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


def _sending(body: bytes, receive: Receive) -> Receive:
    """What gives a body once, and then what comes after it: that the client is gone."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return next_message


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    """An error as MLflow writes its own, so that its client shows the message."""
    body = json.dumps({"error_code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
